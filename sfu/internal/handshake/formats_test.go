package handshake

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/codec"
)

// videoOffer is an offer of one video m-line whose formats are given as "pt name[ fmtp]", with further lines.
func videoOffer(direction string, formats []string, more ...string) string {
	offer := testOffer("video " + direction)
	head, _, _ := strings.Cut(offer, "a=extmap:3")
	list := ""
	for _, f := range formats {
		pt, _, _ := strings.Cut(f, " ")
		list += " " + pt
	}
	head = strings.Replace(head, " 120 124 126", list, 1)
	for _, f := range formats {
		fields := strings.SplitN(f, " ", 3)
		head += fmt.Sprintf("a=rtpmap:%s %s\r\n", fields[0], fields[1])
		if len(fields) == 3 {
			head += fmt.Sprintf("a=fmtp:%s %s\r\n", fields[0], fields[2])
		}
	}
	for _, line := range more {
		head += line + "\r\n"
	}
	return head
}

func TestFormats(t *testing.T) {
	h264 := func(pt int, level string) string {
		return fmt.Sprintf("%d H264/90000 packetization-mode=1;profile-level-id=%s", pt, level)
	}
	tests := []struct {
		name    string
		offered []string
		send    []codec.Codec // the policy
		sent    Payload       // zero: refused
		slot    []Payload
		says    string // in the answer to a slot
	}{
		{"constrained baseline before what stands first", []string{h264(100, "64001f"), h264(101, "42e01f"), h264(102, "42001f")}, nil, Payload{codec.H264, 101, 0}, []Payload{{codec.H264, 101, 0}}, "packetization-mode=1;profile-level-id=42e01f"},
		{"it may be written as main", []string{h264(100, "42001f"), h264(101, "4de01f")}, nil, Payload{codec.H264, 101, 0}, []Payload{{codec.H264, 101, 0}}, "4de01f"},
		{"main when there is no better", []string{h264(100, "640c1f"), h264(101, "4D001F")}, nil, Payload{codec.H264, 101, 0}, []Payload{{codec.H264, 101, 0}}, "4D001F"},
		{"high when there is only that", []string{h264(100, "640c1f")}, nil, Payload{codec.H264, 100, 0}, []Payload{{codec.H264, 100, 0}}, "640c1f"},
		{"RTX of the profile that is taken", []string{h264(100, "64001f"), "101 rtx/90000 apt=100", h264(102, "42e01f"), "103 rtx/90000 apt=102"}, nil, Payload{codec.H264, 102, 103}, []Payload{{codec.H264, 102, 103}}, "apt=102"},
		{"RTX before its codec", []string{"101 RTX/90000 apt=100", "100 vp8/90000"}, nil, Payload{codec.VP8, 100, 101}, []Payload{{codec.VP8, 100, 101}}, "apt=100"},
		{"no high 4:4:4", []string{h264(100, "f4001f")}, nil, Payload{}, nil, ""},
		{"no single NAL units", []string{"100 H264/90000 profile-level-id=42e01f"}, nil, Payload{}, nil, ""},
		{"nonsense for a level", []string{h264(100, "42e01"), h264(101, "0x42e0"), h264(102, "42e01f0")}, nil, Payload{}, nil, ""},
		{"VP9 profile 0 alone", []string{"100 VP9/90000 profile-id=2", "101 VP9/90000", "102 VP9/90000 profile-id=0"}, nil, Payload{codec.VP9, 101, 0}, []Payload{{codec.VP9, 101, 0}}, "a=fmtp:101 profile-id=0"},
		{"no other VP9", []string{"100 VP9/90000 profile-id=2"}, nil, Payload{}, nil, ""},
		{"AV1 as offered", []string{"100 AV1/90000 LEVEL-IDX=8; Profile=0;tier=1;x=y"}, nil, Payload{codec.AV1, 100, 0}, []Payload{{codec.AV1, 100, 0}}, "a=fmtp:100 level-idx=8;profile=0;tier=1\r\n"},
		{"no AV1 of high profile", []string{"100 AV1/90000 profile=1"}, nil, Payload{}, nil, ""},
		{"all for a slot, the first to send", []string{"35 AV1/90000", "98 VP9/90000", "96 VP8/90000", "97 rtx/90000 apt=96"}, nil, Payload{codec.AV1, 35, 0}, []Payload{{codec.AV1, 35, 0}, {codec.VP9, 98, 0}, {codec.VP8, 96, 97}}, "SAVPF 35 98 96 97\r\n"},
		{"the policy's order", []string{"35 AV1/90000", "98 VP9/90000", "96 VP8/90000"}, []codec.Codec{codec.H264, codec.VP8, codec.VP9}, Payload{codec.VP8, 96, 0}, []Payload{{codec.AV1, 35, 0}, {codec.VP9, 98, 0}, {codec.VP8, 96, 0}}, ""},
		{"nothing that the policy takes", []string{"35 AV1/90000"}, []codec.Codec{codec.H264}, Payload{}, []Payload{{codec.AV1, 35, 0}}, ""},
		{"other clock", []string{"35 AV1/48000", "36 VP8/8000"}, nil, Payload{}, nil, ""},
		{"audio on a video m-line", []string{"35 opus/48000/2"}, nil, Payload{}, nil, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o, _, err := parseOffer(videoOffer("sendonly", test.offered), agreed{}, Policy{Codecs: test.send})
			if test.sent == (Payload{}) {
				require.ErrorIs(t, err, ErrNoCodec)
			} else {
				require.NoError(t, err)
				require.Equal(t, test.sent, o.sections[0].published().Payload)
			}
			h := newHall(t, hallConfig{})
			defer h.close()
			a, err := h.peer.Answer(context.Background(), videoOffer("recvonly", test.offered), Policy{Codecs: test.send}, nil)
			if test.slot == nil {
				require.ErrorIs(t, err, ErrNoCodec)
				return
			}
			require.NoError(t, err)
			require.Equal(t, test.slot, a.Slots[0].Payloads)
			require.Contains(t, a.SDP, test.says)
		})
	}
}

// The codec of a live m-line stays, whatever the policy and the order of a later offer are: the SFU reads it by that.
func TestCodecOfALiveMLineStays(t *testing.T) {
	h := newHall(t, hallConfig{})
	defer h.close()
	ctx := context.Background()
	both, turned := []string{"96 VP8/90000", "98 VP9/90000"}, []string{"98 VP9/90000", "96 VP8/90000"}
	for _, direction := range []string{"sendonly", "inactive", "sendonly"} {
		a, err := h.peer.Answer(ctx, videoOffer(direction, both), Policy{}, nil)
		require.NoError(t, err)
		require.Contains(t, a.SDP, "SAVPF 96\r\n")
		both = turned
	}
	a, err := h.peer.Answer(ctx, videoOffer("sendonly", turned), Policy{Codecs: []codec.Codec{codec.VP9}}, nil)
	require.NoError(t, err)
	require.Equal(t, codec.VP8, a.Published[0].Codec)
	_, err = h.peer.Answer(ctx, videoOffer("sendonly", turned[:1]), Policy{}, nil)
	require.ErrorIs(t, err, ErrBadSDP)
	require.ErrorContains(t, err, "sent VP8 before")
	// Once it was stopped, or a slot, the choice is free.
	_, err = h.peer.Answer(ctx, videoOffer("recvonly", turned), Policy{}, nil)
	require.NoError(t, err)
	a, err = h.peer.Answer(ctx, videoOffer("sendonly", turned), Policy{}, nil)
	require.NoError(t, err)
	require.Equal(t, codec.VP9, a.Published[0].Codec)
}

// What the client sends is read by what the first answer took: later answers add nothing to it, and what was left out for a
// while may come back.
func TestALiveMLineGainsNothing(t *testing.T) {
	high, baseline := "100 H264/90000 packetization-mode=1;profile-level-id=64001f", "102 H264/90000 packetization-mode=1;profile-level-id=42e01f"
	rtx := "101 rtx/90000 apt=100"
	mid, rid := "a=extmap:3 "+uriMID, "a=extmap:4 "+uriRID
	answer := func(h *hall, direction string, formats []string, more ...string) (*Answer, error) {
		return h.peer.Answer(context.Background(), videoOffer(direction, formats, more...), Policy{}, nil)
	}
	h := newHall(t, hallConfig{})
	defer h.close()
	first, err := answer(h, "sendonly", []string{high}, mid)
	require.NoError(t, err)
	for _, direction := range []string{"sendonly", "inactive", "sendonly"} {
		a, err := answer(h, direction, []string{baseline, high, rtx}, mid, rid, "a=rtcp-fb:* nack")
		require.NoError(t, err)
		require.Contains(t, a.SDP, "SAVPF 100\r\n")
		require.NotContains(t, a.SDP, uriRID)
		if direction == "sendonly" {
			require.Equal(t, first.Published, a.Published)
		}
	}
	_, err = answer(h, "sendonly", []string{baseline}, mid)
	require.ErrorIs(t, err, ErrBadSDP)
	require.ErrorContains(t, err, "64001f before")
	a, err := answer(h, "sendonly", []string{high})
	require.NoError(t, err)
	require.Zero(t, a.Published[0].Ext)
	a, err = answer(h, "sendonly", []string{high}, mid)
	require.NoError(t, err)
	require.Equal(t, first.Published, a.Published)
	// A slot is free to.
	a, err = answer(h, "recvonly", []string{baseline, high, rtx}, mid, "a=rtcp-fb:* nack")
	require.NoError(t, err)
	require.Equal(t, []Payload{{codec.H264, 102, 0}}, a.Slots[0].Payloads)
}

func TestExtensionsWithLongIDs(t *testing.T) {
	lines := []string{"a=extmap:20 " + uriDescriptor, "a=extmap:15 " + uriColorSpace, "a=extmap:300 " + uriAudioLevel, "a=extmap:21 " + uriTransportSeq, "a=rtcp-fb:* transport-cc", "a=extmap:2/sendrecv " + uriMID}
	for mixed, want := range map[bool]ExtensionIDs{false: {MID: 2}, true: {MID: 2, Descriptor: 20}} {
		more := lines
		if mixed {
			more = append(more, "a=extmap-allow-mixed")
		}
		h := newHall(t, hallConfig{})
		a, err := h.peer.Answer(context.Background(), videoOffer("recvonly", []string{"96 VP8/90000"}, more...), Policy{}, nil)
		require.NoError(t, err)
		require.Equal(t, want, a.Slots[0].Ext)
		require.False(t, a.Slots[0].TransportCC)
		require.Equal(t, mixed, a.Slots[0].Mixed)
		require.Equal(t, mixed, strings.Contains(a.SDP, "a=extmap-allow-mixed\r\n"))
		h.close()
	}
	// What comes in is read in either form.
	h := newHall(t, hallConfig{})
	defer h.close()
	a, err := h.peer.Answer(context.Background(), videoOffer("sendonly", []string{"96 VP8/90000"}, append(lines, "a=extmap-allow-mixed")...), Policy{}, nil)
	require.NoError(t, err)
	require.Equal(t, ExtensionIDs{MID: 2, Descriptor: 20, TransportSeq: 21}, a.Published[0].Ext)
	require.True(t, a.Published[0].TransportCC)
}

// Who says which way an extension goes is held to it (RFC 8285 §6), and answered the other way.
func TestDirectionsOfExtensions(t *testing.T) {
	formats := []string{"96 VP8/90000"}
	for _, test := range []struct {
		line, way string
		answered  string
	}{
		{"sendonly", "/sendonly", "/recvonly"},
		{"sendonly", "/recvonly", ""},
		{"sendonly", "/inactive", ""},
		{"sendonly", "/sendrecv", " "},
		{"recvonly", "/recvonly", "/sendonly"},
		{"recvonly", "/sendonly", ""},
		{"recvonly", "", " "},
	} {
		h := newHall(t, hallConfig{})
		a, err := h.peer.Answer(context.Background(), videoOffer(test.line, formats, "a=extmap:5"+test.way+" "+uriDescriptor), Policy{}, nil)
		require.NoError(t, err)
		_, answered, _ := strings.Cut(a.SDP, "a=extmap:5")
		require.Equal(t, test.answered != "", strings.HasPrefix(answered, test.answered) && answered != "", "%v", test)
		h.close()
	}
}
