package handshake

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/codec"
)

// The offers in testdata were made by Chromium 156 and Firefox ESR 153 (with media.webrtc.codec.video.av1.enabled): one
// audio and one video m-line that send, then one slot of each. In -simulcast the video has the RIDs q, h and f; in -svc it
// is AV1 or VP9 alone, scalabilityMode L3T3_KEY, with no audio.
func recorded(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name + ".sdp")
	require.NoError(t, err)
	return string(b)
}

func TestOffersOfBrowsers(t *testing.T) {
	chromiumSlot := []Payload{{codec.VP8, 96, 97}, {codec.VP9, 98, 99}, {codec.H264, 108, 109}, {codec.AV1, 45, 46}}
	firefoxSlot := []Payload{{codec.VP8, 120, 124}, {codec.VP9, 121, 125}, {codec.AV1, 99, 100}}
	simulcast := []Encoding{{RID: "q"}, {RID: "h"}, {RID: "f"}}
	tests := []struct {
		offer      string
		policy     Policy
		video      Payload
		encodings  []Encoding // nil: one
		slot       []Payload
		send       ExtensionIDs
		descriptor uint8 // of the slot: Chromium offers it beside a simulcast or when told to, Firefox does not take it
	}{
		{
			"chromium-stock",
			Policy{},
			Payload{codec.VP8, 96, 97},
			nil, chromiumSlot,
			ExtensionIDs{MID: 4, TransportSeq: 3, ColorSpace: 8, RID: 10, RepairedRID: 11},
			0,
		},
		{
			"chromium-stock",
			Policy{Codecs: []codec.Codec{codec.H264}},
			Payload{codec.H264, 108, 109},
			nil, chromiumSlot,
			ExtensionIDs{MID: 4, TransportSeq: 3, ColorSpace: 8, RID: 10, RepairedRID: 11},
			0,
		},
		{
			"chromium-simulcast",
			Policy{},
			Payload{codec.VP8, 96, 97},
			simulcast, chromiumSlot,
			ExtensionIDs{MID: 4, TransportSeq: 3, ColorSpace: 8, RID: 10, RepairedRID: 11, Descriptor: 12},
			12,
		},
		{
			"chromium-simulcast",
			Policy{MaxEncodings: 1},
			Payload{codec.VP8, 96, 97},
			simulcast[:1], chromiumSlot,
			ExtensionIDs{MID: 4, TransportSeq: 3, ColorSpace: 8, RID: 10, RepairedRID: 11, Descriptor: 12},
			12,
		},
		{
			"chromium-svc",
			Policy{},
			Payload{codec.AV1, 45, 46},
			nil, chromiumSlot,
			ExtensionIDs{MID: 9, TransportSeq: 4, ColorSpace: 8, RID: 10, RepairedRID: 11, Descriptor: 13},
			13,
		},
		{
			"chromium-svc",
			Policy{Codecs: []codec.Codec{codec.H264, codec.VP9, codec.AV1}},
			Payload{codec.VP9, 98, 99},
			nil, chromiumSlot,
			ExtensionIDs{MID: 9, TransportSeq: 4, ColorSpace: 8, RID: 10, RepairedRID: 11, Descriptor: 13},
			13,
		},
		{
			"firefox-stock",
			Policy{},
			Payload{codec.VP8, 120, 124},
			nil, firefoxSlot,
			ExtensionIDs{MID: 3, TransportSeq: 7},
			0,
		},
		{
			"firefox-simulcast",
			Policy{},
			Payload{codec.VP8, 120, 124},
			simulcast, firefoxSlot,
			ExtensionIDs{MID: 3, TransportSeq: 7, RID: 9, RepairedRID: 10, Descriptor: 8},
			0,
		},
		{
			"firefox-svc",
			Policy{},
			Payload{codec.VP9, 121, 125},
			nil, firefoxSlot,
			ExtensionIDs{MID: 3, TransportSeq: 7},
			0,
		},
	}
	for _, test := range tests {
		t.Run(fmt.Sprint(test.offer, test.policy), func(t *testing.T) {
			h := newHall(t, hallConfig{})
			defer h.close()
			offer := recorded(t, test.offer)
			a, err := h.peer.Answer(context.Background(), offer, test.policy, nil)
			require.NoError(t, err)

			p := a.Published[len(a.Published)-1]
			require.True(t, p.Video)
			require.Equal(t, test.video, p.Payload)
			require.Equal(t, test.send, p.Ext)
			require.True(t, p.NACK)
			require.True(t, p.TransportCC)
			if test.encodings != nil {
				require.Equal(t, test.encodings, p.Encodings)
			} else {
				require.Len(t, p.Encodings, 1)
				require.Empty(t, p.Encodings[0].RID)
				require.NotZero(t, p.Encodings[0].SSRC)
				require.NotZero(t, p.Encodings[0].RTXSSRC)
			}

			require.Len(t, a.Slots, 2)
			audio, video := a.Slots[0], a.Slots[1]
			require.Len(t, audio.Payloads, 1)
			require.Equal(t, codec.Opus, audio.Payloads[0].Codec)
			require.True(t, audio.TransportCC)
			chromium := strings.HasPrefix(test.offer, "chromium")
			require.Equal(t, chromium, audio.NACK)
			require.Equal(t, chromium, audio.RED != 0)
			require.Equal(t, test.slot, video.Payloads)
			require.NotZero(t, video.RTXSSRC)
			require.True(t, video.Mixed)
			require.Equal(t, test.descriptor, video.Ext.Descriptor)
			require.Zero(t, video.Ext.RID, "nothing that we send has one")

			require.Equal(t, strings.Count(offer, "\r\nm="), strings.Count(a.SDP, "\r\nm="))
			require.NotContains(t, a.SDP, "goog-remb")
			require.Contains(t, a.SDP, "a=extmap-allow-mixed")
			require.NotContains(t, a.SDP, "profile-id=2")
			again, err := h.peer.Answer(context.Background(), offer, test.policy, nil)
			require.NoError(t, err)
			require.Equal(t, a.Published, again.Published)
			require.Equal(t, a.Slots, again.Slots)
			require.Empty(t, again.Ended)
		})
	}
}

// What an answer says of a slot's codecs, line by line.
func TestAnswerToASlotOfChromium(t *testing.T) {
	h := newHall(t, hallConfig{})
	defer h.close()
	a, err := h.peer.Answer(context.Background(), recorded(t, "chromium-simulcast"), Policy{}, nil)
	require.NoError(t, err)
	_, slot, _ := strings.Cut(a.SDP, "a=mid:3\r\n")
	_, slot, _ = strings.Cut(slot, "a=rtcp-rsize\r\n")
	feedback := func(pt string) string {
		return "a=rtcp-fb:" + pt + " nack\na=rtcp-fb:" + pt + " nack pli\na=rtcp-fb:" + pt + " ccm fir\na=rtcp-fb:" + pt + " transport-cc\n"
	}
	s := a.Slots[1]
	require.Equal(t, strings.ReplaceAll("a=rtpmap:96 VP8/90000\n"+feedback("96")+
		"a=rtpmap:97 rtx/90000\na=fmtp:97 apt=96\n"+
		"a=rtpmap:98 VP9/90000\na=fmtp:98 profile-id=0\n"+feedback("98")+
		"a=rtpmap:99 rtx/90000\na=fmtp:99 apt=98\n"+
		"a=rtpmap:108 H264/90000\na=fmtp:108 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\n"+feedback("108")+
		"a=rtpmap:109 rtx/90000\na=fmtp:109 apt=108\n"+
		"a=rtpmap:45 AV1/90000\na=fmtp:45 level-idx=5;profile=0;tier=0\n"+feedback("45")+
		"a=rtpmap:46 rtx/90000\na=fmtp:46 apt=45\n"+
		"a=extmap:4 "+uriMID+"\na=extmap:3 "+uriTransportSeq+"\na=extmap:8 "+uriColorSpace+"\na=extmap:12 "+uriDescriptor+"\n"+
		fmt.Sprintf("a=msid:slot0 video0\na=ssrc-group:FID %d %d\na=ssrc:%d cname:slot0\na=ssrc:%d cname:slot0\n", s.SSRC, s.RTXSSRC, s.SSRC, s.RTXSSRC)+
		"a=sendonly\n", "\n", "\r\n"), slot)
	require.Contains(t, a.SDP, "\r\nm=video 9 UDP/TLS/RTP/SAVPF 96 97 98 99 108 109 45 46\r\n")
}

// The most that a browser asks for: every slot there may be, with all that it offers by itself.
func TestFortyNineStockSlots(t *testing.T) {
	for _, browser := range []string{"chromium", "firefox"} {
		offer := recorded(t, browser+"-stock")
		_, slot, _ := strings.Cut(offer, "\r\nm=video")
		_, slot, _ = strings.Cut(slot, "\r\nm=video") // the second one
		var b strings.Builder
		mids := ""
		for i := 1; i < 49; i++ {
			mids += fmt.Sprintf(" more%d", i)
			b.WriteString("m=video" + strings.Replace(slot, "a=mid:3\r\n", fmt.Sprintf("a=mid:more%d\r\n", i), 1))
		}
		offer = strings.Replace(offer, "BUNDLE 0 1 2 3", "BUNDLE 0 1 2 3"+mids, 1) + b.String()
		h := newHall(t, hallConfig{})
		a, err := h.peer.Answer(context.Background(), offer, Policy{}, nil)
		require.NoError(t, err)
		require.Len(t, a.Slots, 50)
		t.Logf("%s: an offer of %d kB, an answer of %d kB", browser, len(offer)/1000, len(a.SDP)/1000)
		require.Less(t, len(a.SDP), 80<<10)
		h.close()
	}
}

func TestHalfABrowsersSlotsTurn(t *testing.T) {
	h := newHall(t, hallConfig{})
	defer h.close()
	offer := recorded(t, "chromium-stock")
	first, err := h.peer.Answer(context.Background(), offer, Policy{}, nil)
	require.NoError(t, err)
	// The slot's codecs change while it lives: the shard has to open it anew.
	head, slot, _ := strings.Cut(offer, "a=mid:3\r\n")
	fewer := head + "a=mid:3\r\n" + strings.ReplaceAll(slot, "AV1/90000", "AV2/90000")
	second, err := h.peer.Answer(context.Background(), fewer, Policy{}, nil)
	require.NoError(t, err)
	require.Equal(t, []string{"3"}, second.Ended)
	require.Len(t, second.Slots[1].Payloads, 3)
	require.Equal(t, first.Slots[1].Index, second.Slots[1].Index)
	require.NotEqual(t, first.Slots[1].SSRC, second.Slots[1].SSRC)
	require.Equal(t, first.Slots[0], second.Slots[0])
}
