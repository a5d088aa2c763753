package handshake

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const testFingerprint = "sha-256 " +
	"00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF"

// testOffer writes an offer with one m-line for each "kind direction".
func testOffer(mlines ...string) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }
	line("v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0")
	group := "a=group:BUNDLE"
	for i := range mlines {
		group += fmt.Sprintf(" %d", i)
	}
	line("%s", group)
	for i, m := range mlines {
		kind, direction, _ := strings.Cut(m, " ")
		if kind == "video" {
			line("m=video 9 UDP/TLS/RTP/SAVPF 120 124 126")
		} else {
			line("m=audio 9 UDP/TLS/RTP/SAVPF 109 9")
		}
		line("c=IN IP4 0.0.0.0")
		line("a=candidate:1 1 UDP 2122252543 192.0.2.7 50000 typ host")
		line("a=mid:%d", i)
		line("a=%s", direction)
		line("a=ice-ufrag:abcd\r\na=ice-pwd:0123456789abcdef012345")
		line("a=fingerprint:%s", testFingerprint)
		line("a=setup:actpass\r\na=rtcp-mux")
		if kind == "video" {
			line("a=extmap:3 %s\r\na=extmap:7 %s\r\na=extmap:9 %s\r\na=extmap:13 urn:3gpp:video-orientation", uriMID, uriTransportSeq, uriColorSpace)
			line("a=rtpmap:120 VP8/90000\r\na=rtpmap:124 rtx/90000\r\na=fmtp:124 apt=120\r\na=rtpmap:126 H264/90000")
			line("a=fmtp:120 max-fs=12288;max-fr=60\r\na=rtcp-fb:120 nack\r\na=rtcp-fb:120 nack pli\r\na=rtcp-fb:120 goog-remb")
			line("a=rtcp-fb:* transport-cc")
		} else {
			line("a=extmap:1 %s\r\na=extmap:3 %s", uriAudioLevel, uriMID)
			line("a=rtpmap:109 opus/48000/2\r\na=fmtp:109 maxplaybackrate=48000;stereo=1\r\na=rtpmap:9 G722/8000/1")
		}
		if direction == "sendonly" || direction == "sendrecv" {
			line("a=msid:me %s", kind)
			if kind == "video" {
				line("a=ssrc-group:FID %d %d", 1000+i, 2000+i)
			}
			line("a=ssrc:%d cname:me", 1000+i)
		}
	}
	return b.String()
}

func TestAnswerTellsWhatWasAgreed(t *testing.T) {
	h := newHall(t, hallConfig{})
	defer h.close()
	a, err := h.peer.Answer(context.Background(), testOffer("audio sendrecv", "video sendonly", "audio recvonly", "video recvonly"), Policy{}, nil)
	require.NoError(t, err)
	for i := range a.Slots {
		require.NotZero(t, a.Slots[i].SSRC)
		a.Slots[i].SSRC, a.Slots[i].RTXSSRC = 1, min(a.Slots[i].RTXSSRC, 1)
	}
	opus, vp8 := Payload{1, 109, 0}, Payload{2, 120, 124}
	require.Equal(t, []Published{
		{MID: "0", Payload: opus, Ext: ExtensionIDs{MID: 3, AudioLevel: 1}, Encodings: []Encoding{{SSRC: 1000}}},
		{MID: "1", Video: true, Payload: vp8, NACK: true, TransportCC: true, Ext: ExtensionIDs{MID: 3, TransportSeq: 7, ColorSpace: 9}, Encodings: []Encoding{{SSRC: 1001, RTXSSRC: 2001}}},
	}, a.Published)
	require.Equal(t, []Slot{
		{MID: "2", SSRC: 1, Payloads: []Payload{opus}, Ext: ExtensionIDs{MID: 3, AudioLevel: 1}, CNAME: "slot0"},
		{
			MID: "3", Video: true, SSRC: 1, RTXSSRC: 1, Payloads: []Payload{vp8}, NACK: true, TransportCC: true,
			Ext: ExtensionIDs{MID: 3, TransportSeq: 7, ColorSpace: 9}, CNAME: "slot0",
		},
	}, a.Slots)
	require.Equal(t, "abcd", a.RemoteUfrag)
	require.NotContains(t, a.SDP, "goog-remb")
	require.NotContains(t, a.SDP, "video-orientation", "Firefox could not turn the pictures")
	require.NotContains(t, a.SDP, "H264")
	require.NotContains(t, a.SDP, "ccm fir", "not offered")
}

func TestHostileOffers(t *testing.T) {
	good := testOffer("audio sendonly", "video recvonly", "video sendonly")
	replace := func(from, to string) string {
		require.Contains(t, good, from)
		return strings.Replace(good, from, to, 1)
	}
	many := func(n int, m string) string {
		var lines []string
		for range n {
			lines = append(lines, m)
		}
		return testOffer(lines...)
	}
	tests := []struct {
		name, offer string
		kind        error
		says        string
	}{
		{"empty", "", ErrBadSDP, "no m-line"},
		{"not SDP", "hello", ErrBadSDP, "line 1"},
		{"too large", good + strings.Repeat("a=x\r\n", MaxOfferSize/5), ErrTooLarge, "setCodecPreferences"},
		{"129 m-lines", many(129, "audio inactive"), ErrTooManyMLines, "128"},
		{"17 audio slots", many(17, "audio recvonly"), ErrTooManySlots, "16"},
		{"50 video slots", many(50, "video recvonly"), ErrTooManySlots, "49"},
		{"no codec of ours", strings.ReplaceAll(good, "VP8/", "H265/"), ErrNoCodec, "VP8, VP9, H264, AV1"},
		{"no Opus", strings.ReplaceAll(good, "opus/", "speex/"), ErrNoCodec, "opus"},
		{"no mid", replace("a=mid:1\r\n", ""), ErrBadSDP, "a=mid"},
		{"mid twice", replace("a=mid:1\r\n", "a=mid:0\r\n"), ErrBadSDP, "already"},
		{"two mids", replace("a=mid:1\r\n", "a=mid:1\r\na=mid:9\r\n"), ErrBadSDP, "second a=mid"},
		{"mid with blank", replace("a=mid:1\r\n", "a=mid:1 1\r\n"), ErrBadSDP, "no mid"},
		{"one payload type over and over", replace("120 124 126", "120"+strings.Repeat(" 124", 20_000)), ErrBadSDP, "payload type 124 is listed twice"},
		{"long extension name", replace("urn:3gpp:", "urn:"+strings.Repeat("3gpp:", 50)), ErrBadSDP, "at most 255 bytes"},
		{"long mid", replace("a=mid:1\r\n", "a=mid:12345678901234567\r\n"), ErrBadSDP, "no mid"},
		{"not bundled", replace("BUNDLE 0 1 2", "BUNDLE 0 2"), ErrBadSDP, "BUNDLE"},
		{"no bundle", replace("a=group:BUNDLE 0 1 2\r\n", ""), ErrBadSDP, "BUNDLE"},
		{"short ufrag", replace("ufrag:abcd", "ufrag:abc"), ErrBadSDP, "ice-ufrag"},
		{"ufrag with colon", replace("ufrag:abcd", "ufrag:ab:cd"), ErrBadSDP, "ice-ufrag"},
		{"short pwd", replace("a=ice-pwd:0123456789abcdef012345", "a=ice-pwd:0123"), ErrBadSDP, "ice-pwd"},
		{"md5 fingerprint", replace("sha-256", "md5"), ErrBadSDP, "fingerprint"},
		{"half a fingerprint", replace("00:11:22:33", "00:11:22"), ErrBadSDP, "fingerprint"},
		{"we as DTLS client", replace("setup:actpass", "setup:passive"), ErrBadSDP, "actpass"},
		{"payload type 300", replace("a=rtpmap:109", "a=rtpmap:300"), ErrBadSDP, "payload type"},
		{"payload type like RTCP", strings.ReplaceAll(good, "109", "72"), ErrBadSDP, "RTCP"},
		{"one number, two codecs", strings.ReplaceAll(good, "109", "120"), ErrBadSDP, "two codecs"},
		{"two numbers, one codec", strings.Replace(replace("a=rtpmap:120 VP8", "a=rtpmap:120 H265"), "126 H264", "126 VP8", 1), ErrBadSDP, "126"},
		{"a codec and RTX of one number", strings.Replace(good, "a=rtpmap:124 rtx/90000", "a=rtpmap:124 VP9/90000", 1), ErrBadSDP, "124"},
		{"extension id 0", replace("extmap:3", "extmap:0"), ErrBadSDP, "extension id"},
		{"extension id twice", replace("a=extmap:7", "a=extmap:1"), ErrBadSDP, "extension id 1"},
		{"extension with two ids", replace("a=extmap:7", "a=extmap:8"), ErrBadSDP, "ids"},
		{"SSRC 0", replace("FID 1002", "FID 0"), ErrBadSDP, "SSRC"},
		{"SSRC beyond 32 bits", replace("a=ssrc:1000", "a=ssrc:4294967296"), ErrBadSDP, "SSRC"},
		{"SSRC twice", replace("a=ssrc:1000", "a=ssrc:1002"), ErrBadSDP, "1002"},
		{"repairs itself", replace("FID 1002 2002", "FID 1002 1002"), ErrBadSDP, "repair"},
		{"port is no number", replace("m=audio 9 ", "m=audio x "), ErrBadSDP, "port"},
		{"short m-line", replace("m=audio 9 UDP/TLS/RTP/SAVPF 109 9", "m=audio 9"), ErrBadSDP, "few words"},
		{"everything stopped", strings.ReplaceAll(strings.ReplaceAll(good, "audio 9", "audio 0"), "video 9", "video 0"), ErrBadSDP, "stopped"},
		{"control character", replace("a=mid:1", "a=mid:\x00"), ErrBadSDP, "control"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHall(t, hallConfig{})
			defer h.close()
			_, err := h.peer.Answer(context.Background(), test.offer, Policy{}, nil)
			require.ErrorIs(t, err, test.kind)
			require.ErrorContains(t, err, test.says)
			var e *OfferError
			require.True(t, errors.As(err, &e))
			require.NotEmpty(t, e.Fix)
			require.Less(t, len(err.Error()), 400)
			// A refused offer leaves the peer as it was.
			_, err = h.peer.Answer(context.Background(), good, Policy{}, nil)
			require.NoError(t, err)
		})
	}
}

func TestLaterOfferMustAgreeWithTheFirst(t *testing.T) {
	good := testOffer("audio sendonly", "video recvonly")
	for name, later := range map[string]string{
		"fewer m-lines":      testOffer("audio sendonly"),
		"other payload type": strings.ReplaceAll(good, "120", "121"),
		"other extension id": strings.ReplaceAll(good, "extmap:7", "extmap:8"),
		"other kind":         testOffer("video sendonly", "video recvonly"),
	} {
		t.Run(name, func(t *testing.T) {
			h := newHall(t, hallConfig{})
			defer h.close()
			_, err := h.peer.Answer(context.Background(), good, Policy{}, nil)
			require.NoError(t, err)
			_, err = h.peer.Answer(context.Background(), later, Policy{}, nil)
			require.ErrorIs(t, err, ErrBadSDP)
			_, err = h.peer.Answer(context.Background(), good, Policy{}, nil)
			require.NoError(t, err)
		})
	}
}

func TestOnlyUsefulCandidatesAreKept(t *testing.T) {
	var b strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&b, "a=candidate:%d 1 udp 1 192.0.2.%d %d typ srflx\r\n", i, i%250+1, i+1)
	}
	offer := strings.Replace(testOffer("audio sendonly"), "a=mid:0\r\n", "a=mid:0\r\n"+
		"a=candidate:1 1 tcp 1 192.0.2.1 9 typ host tcptype active\r\n"+
		"a=candidate:1 1 udp 1 e1c5a2a8-1b1b-4b1b-8b1b-1b1b1b1b1b1b.local 5000 typ host\r\n"+
		"a=candidate:1 2 udp 1 192.0.2.1 5001 typ host\r\n"+
		"a=candidate:1 1 udp 1 0.0.0.0 5001 typ host\r\n"+
		"a=candidate:1 1 udp 99999999999 192.0.2.1 5001 typ host\r\n"+
		"a=candidate:\r\n"+
		b.String(), 1)
	o, _, err := parseOffer(offer, agreed{}, Policy{})
	require.NoError(t, err)
	require.Len(t, o.candidates, maxRemoteCandidates)
	require.Equal(t, candidate{2122252543, netip.MustParseAddrPort("192.0.2.7:50000")}, o.candidates[0])
	require.Equal(t, candidate{1, netip.MustParseAddrPort("192.0.2.1:1")}, o.candidates[1])
}

// Whoever names an address in an offer need not live there. Only a server on loopback, which Firefox does not check by
// itself, checks addresses that are this machine's.
func TestPionChecksNoAddressesOfOthers(t *testing.T) {
	for advertised, want := range map[string]int{"192.0.2.1:7882": 0, "127.0.0.1:7882": maxChecked, "[::1]:7882": maxChecked} {
		engine, err := NewEngine(Config{HostAddrs: []netip.AddrPort{netip.MustParseAddrPort(advertised)}})
		require.NoError(t, err)
		named := []candidate{{1, netip.MustParseAddrPort("192.0.2.7:50000")}}
		for port := range uint16(20) {
			named = append(named, candidate{1, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port+1)})
		}
		lines := engine.checkable(named)
		require.Len(t, lines, want, advertised)
		for _, line := range lines {
			require.Contains(t, line, " 127.0.0.1 ")
		}
	}
}

func TestARefusedOfferIsForgotten(t *testing.T) {
	h := newHall(t, hallConfig{})
	defer h.close()
	ctx := context.Background()
	good := testOffer("audio sendonly", "video recvonly")
	first, err := h.peer.Answer(ctx, good, Policy{}, nil)
	require.NoError(t, err)
	no := errors.New("not this one")
	_, err = h.peer.Answer(ctx, testOffer("audio sendonly", "video recvonly", "video sendonly", "audio recvonly"), Policy{}, func(sending map[string]bool) error {
		require.Equal(t, map[string]bool{"0": false, "2": true}, sending)
		return no
	})
	require.ErrorIs(t, err, no)
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	_, err = h.peer.Answer(cancelled, testOffer("audio sendonly", "video recvonly", "video sendonly"), Policy{}, nil)
	require.ErrorIs(t, err, context.Canceled)
	// Fewer m-lines than in the refused ones, and then others in their places.
	again, err := h.peer.Answer(ctx, good, Policy{}, nil)
	require.NoError(t, err)
	require.Equal(t, first.Slots, again.Slots)
	later, err := h.peer.Answer(ctx, testOffer("audio sendonly", "video recvonly", "audio sendonly", "video recvonly"), Policy{}, nil)
	require.NoError(t, err)
	require.Equal(t, first.Slots[0], later.Slots[0])
	require.Equal(t, 1, later.Slots[1].Index)
	require.Empty(t, h.failed)
}

// What pion does not take after all our checks is our own fault, and the session does not go on as if nothing had been.
func TestASessionThatPionLeavesHalfWayEnds(t *testing.T) {
	h := newHall(t, hallConfig{})
	defer h.close()
	_, err := h.peer.Answer(context.Background(), testOffer("audio sendonly"), Policy{}, nil)
	require.NoError(t, err)
	// Out of step: pion waits for an answer to an offer of its own.
	own, err := h.peer.pc.CreateOffer(nil)
	require.NoError(t, err)
	require.NoError(t, h.peer.pc.SetLocalDescription(own))
	_, err = h.peer.Answer(context.Background(), testOffer("audio sendonly", "video recvonly"), Policy{}, nil)
	require.ErrorIs(t, err, ErrBroken)
	require.ErrorIs(t, <-h.failed, ErrBroken)
}

func TestRecyclingIsBounded(t *testing.T) {
	h := newHall(t, hallConfig{})
	defer h.close()
	var lines []string
	for range MaxMLines {
		lines = append(lines, "audio inactive")
	}
	offer := testOffer(lines...)
	for round := range 5 {
		head, rest, _ := strings.Cut(offer, "a=group:BUNDLE")
		group, body, _ := strings.Cut(rest, "\r\n")
		prefix := fmt.Sprintf("r%d-", round)
		renamed := head + "a=group:BUNDLE" + strings.ReplaceAll(group, " ", " "+prefix) + "\r\n" +
			strings.ReplaceAll(body, "a=mid:", "a=mid:"+prefix)
		_, err := h.peer.Answer(context.Background(), renamed, Policy{}, nil)
		if round*MaxMLines < maxRecycled {
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, ErrTooManyMLines)
			require.ErrorContains(t, err, "join again")
		}
	}
}

func TestDataChannelIsRefusedInItsPlace(t *testing.T) {
	offer := strings.Replace(testOffer("audio sendonly", "video recvonly"), "m=video",
		"m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:data\r\na=sctp-port:5000\r\nm=video", 1)
	h := newHall(t, hallConfig{})
	defer h.close()
	a, err := h.peer.Answer(context.Background(), offer, Policy{}, nil)
	require.NoError(t, err)
	require.Contains(t, a.SDP, "m=application 0 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:data\r\nm=video")
	require.Len(t, a.Slots, 1)
}

// The m-line that stands first in the BUNDLE group speaks for those that say nothing of ICE and DTLS, even a data channel's.
func TestTheTaggedMLineSpeaksForTheOthers(t *testing.T) {
	const transport = "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789abcdef012345\r\na=fingerprint:" + testFingerprint + "\r\na=setup:actpass\r\n"
	offer := strings.ReplaceAll(testOffer("audio sendonly", "video recvonly"), transport, "")
	offer = strings.Replace(offer, "BUNDLE 0 1", "BUNDLE data 0 1", 1)
	for name, offer := range map[string]string{
		"first": strings.Replace(offer, "m=audio", "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:data\r\n"+transport+"m=audio", 1),
		"last":  offer + "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:data\r\n" + transport,
	} {
		t.Run(name, func(t *testing.T) {
			h := newHall(t, hallConfig{})
			defer h.close()
			a, err := h.peer.Answer(context.Background(), offer, Policy{}, nil)
			require.NoError(t, err)
			require.Equal(t, "abcd", a.RemoteUfrag)
			require.Contains(t, a.SDP, "a=group:BUNDLE 0 1\r\n")
		})
	}
}

func FuzzParseOffer(f *testing.F) {
	f.Add(testOffer("audio sendonly", "video recvonly", "video sendonly"))
	f.Add("v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=rtpmap:111 opus/48000/2\r\n")
	f.Add("v=0\nm=video 0 x y\na=mid:a\n")
	f.Add(simulcastOffer("sendonly", rids("q", "h", "f")...))
	f.Add(videoOffer("recvonly", []string{"35 H264/90000 packetization-mode=1;profile-level-id=42e01f", "36 rtx/90000 apt=35", "99 AV1/90000 profile=0"},
		"a=extmap-allow-mixed", "a=extmap:200/recvonly "+uriDescriptor, "a=rtcp-fb:* nack"))
	for _, name := range []string{"chromium-simulcast", "firefox-simulcast"} {
		f.Add(recorded(f, name))
	}
	f.Fuzz(func(t *testing.T, text string) {
		o, have, err := parseOffer(text, agreed{}, Policy{})
		if err != nil {
			var e *OfferError
			require.True(t, errors.As(err, &e), "%v", err)
			return
		}
		require.LessOrEqual(t, len(o.sections), MaxMLines)
		require.LessOrEqual(t, len(o.candidates), maxRemoteCandidates)
		for _, s := range o.sections {
			require.Equal(t, s.refused, len(s.taken) == 0)
			require.LessOrEqual(t, len(s.rids), defaultEncodings)
			require.True(t, !s.sends() || len(s.taken) <= 1)
		}
		// What was accepted is accepted again, and so is what pion gets.
		again, _, err := parseOffer(text, have, Policy{})
		require.NoError(t, err)
		require.Equal(t, o.sections, again.sections)
		_, _, err = parseOffer(o.reduce(nil), agreed{}, Policy{})
		require.NoError(t, err)
	})
}

// FuzzAnswer takes offers through pion as well: whatever passes the check must not upset it.
func FuzzAnswer(f *testing.F) {
	f.Add(testOffer("audio sendonly", "video recvonly", "video sendonly"), testOffer("audio sendonly", "video inactive", "video sendonly"))
	f.Add(testOffer("video recvonly"), testOffer("video sendonly", "audio recvonly"))
	f.Add(simulcastOffer("sendonly", rids("q", "h", "f")...), simulcastOffer("sendonly", rids("h")...))
	f.Add(recorded(f, "chromium-simulcast"), recorded(f, "firefox-svc"))
	engine, err := NewEngine(Config{HostAddrs: append(Config{}.HostAddrs, serverAddr)})
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, first, second string) {
		p, err := engine.NewPeer(nowhere{}, Hooks{})
		require.NoError(t, err)
		defer func() { require.NoError(t, p.Close()) }()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		for _, offer := range []string{first, second} {
			if a, err := p.Answer(ctx, offer, Policy{}, nil); err == nil {
				require.NotEmpty(t, a.SDP)
			} else {
				var e *OfferError
				require.True(t, errors.As(err, &e), "%v", err)
				require.NotContains(t, e.Problem, "InvalidStateError")
			}
		}
	})
}
