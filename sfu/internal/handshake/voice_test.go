package handshake

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// answered cuts the m-line of a mid out of an answer, without the lines of transport before its formats.
func answered(t *testing.T, sdp, mid string) (mline, lines string) {
	t.Helper()
	before, lines, ok := strings.Cut(sdp, "a=mid:"+mid+"\r\n")
	require.True(t, ok)
	mline = before[strings.LastIndex(before, "m="):]
	mline, _, _ = strings.Cut(mline, "\r\n")
	lines, _, _ = strings.Cut(lines, "\r\nm=")
	_, lines, _ = strings.Cut(lines, "a=rtcp-rsize\r\n")
	lines, _, _ = strings.Cut(lines, "\r\na=candidate")
	return mline, strings.ReplaceAll(lines, "\r\n", "\n")
}

// Both ways a voice is repaired: copies in later packets and the same bytes again. Chromium offers no NACK for sound, and does it
// where the answer has it; what it sends again has no transport-wide number then.
func TestAnswerToTheVoicesOfChromium(t *testing.T) {
	h := newHall(t, hallConfig{})
	defer h.close()
	a, err := h.peer.Answer(context.Background(), recorded(t, "chromium-stock"), Policy{}, nil)
	require.NoError(t, err)
	mline, lines := answered(t, a.SDP, "0")
	require.Equal(t, "m=audio 9 UDP/TLS/RTP/SAVPF 111 63", mline, "Opus first: Chromium would send nothing but RED")
	opus := "a=rtpmap:111 opus/48000/2\na=fmtp:111 minptime=10;useinbandfec=1\na=rtcp-fb:111 nack\na=rtcp-fb:111 transport-cc\n"
	red := "a=rtpmap:63 red/48000/2\na=fmtp:63 111/111\n"
	require.Equal(t, opus+red+"a=extmap:4 "+uriMID+"\na=extmap:1 "+uriAudioLevel+"\na=recvonly", lines)
	p := a.Published[0]
	require.Equal(t, uint8(63), p.RED)
	require.True(t, p.NACK)
	require.False(t, p.TransportCC)
	require.Equal(t, ExtensionIDs{MID: 4, AudioLevel: 1}, p.Ext)

	mline, lines = answered(t, a.SDP, "2")
	require.Equal(t, "m=audio 9 UDP/TLS/RTP/SAVPF 111 63", mline)
	require.True(t, strings.HasPrefix(lines, opus+red), lines)
	s := a.Slots[0]
	require.Equal(t, uint8(63), s.RED)
	require.True(t, s.NACK)
	require.True(t, s.TransportCC)
	require.Zero(t, s.RTXSSRC)
}

// Firefox has neither, and keeps its feedback of congestion.
func TestAnswerToTheVoicesOfFirefox(t *testing.T) {
	h := newHall(t, hallConfig{})
	defer h.close()
	a, err := h.peer.Answer(context.Background(), recorded(t, "firefox-stock"), Policy{}, nil)
	require.NoError(t, err)
	for _, mid := range []string{"0", "2"} {
		mline, lines := answered(t, a.SDP, mid)
		require.Equal(t, "m=audio 9 UDP/TLS/RTP/SAVPF 109", mline)
		require.Contains(t, lines, "a=rtcp-fb:109 transport-cc")
		require.NotContains(t, lines, "nack")
	}
	require.Zero(t, a.Published[0].RED)
	require.False(t, a.Published[0].NACK)
	require.True(t, a.Published[0].TransportCC)
	require.Zero(t, a.Slots[0].RED)
	require.False(t, a.Slots[0].NACK)
}

// Who saves is asked for little and is sent little: the parameters that were measured in Chromium.
func TestAnswerToASaver(t *testing.T) {
	for _, offer := range []string{"chromium-stock", "chromium-ccfb", "firefox-stock"} {
		h := newHall(t, hallConfig{})
		a, err := h.peer.Answer(context.Background(), recorded(t, offer), Policy{Saver: true}, nil)
		require.NoError(t, err)
		pt := a.Published[0].PayloadType
		_, lines := answered(t, a.SDP, "0")
		require.Contains(t, lines, fmt.Sprintf("a=fmtp:%d minptime=10;useinbandfec=1;usedtx=1;maxaveragebitrate=12000\n", pt))
		require.Contains(t, lines, "\na=ptime:60\n")
		for _, sdp := range []string{"0", "2"} {
			_, lines := answered(t, a.SDP, sdp)
			for _, dear := range []string{"transport-cc", "transport-wide", "abs-send-time", "ccfb"} {
				require.NotContains(t, lines, dear)
			}
		}
		_, lines = answered(t, a.SDP, "2")
		require.NotContains(t, lines, "ptime:60")
		require.NotContains(t, lines, uriAudioLevel)
		require.Equal(t, ExtensionIDs{MID: a.Slots[0].Ext.MID}, a.Slots[0].Ext)
		require.Equal(t, strings.HasPrefix(offer, "chromium"), a.Slots[0].RED != 0)
		require.Equal(t, a.Slots[0].RED != 0, a.Slots[0].NACK, "loss is told at once, and nothing where there is none")
		require.NotZero(t, a.Published[0].Ext.AudioLevel, "who speaks is found by it")
		require.True(t, a.Published[1].TransportCC, "pictures are held to the path as ever")
		require.True(t, a.Slots[1].TransportCC)
		h.close()
	}
}

// Saving begins and ends in the midst of a call: the m-line that sends goes on, the slot opens anew where its packets change.
func TestSavingBeginsWithALaterOffer(t *testing.T) {
	h := newHall(t, hallConfig{})
	defer h.close()
	offer := recorded(t, "chromium-stock")
	full, err := h.peer.Answer(context.Background(), offer, Policy{}, nil)
	require.NoError(t, err)
	saving, err := h.peer.Answer(context.Background(), offer, Policy{Saver: true}, nil)
	require.NoError(t, err)
	require.Equal(t, full.Published, saving.Published)
	require.Contains(t, saving.SDP, "a=ptime:60")
	require.Equal(t, []string{"2"}, saving.Ended)
	require.NotEqual(t, full.Slots[0].SSRC, saving.Slots[0].SSRC)
	require.Equal(t, full.Slots[1], saving.Slots[1])
	again, err := h.peer.Answer(context.Background(), offer, Policy{}, nil)
	require.NoError(t, err)
	require.NotContains(t, again.SDP, "a=ptime")
	require.True(t, again.Slots[0].TransportCC)
}

func TestREDByWhatIsOffered(t *testing.T) {
	offer := testOffer("audio sendonly", "audio recvonly")
	with := func(lines string) string {
		lines = "a=rtpmap:109 opus/48000/2\r\na=rtpmap:63 " + lines
		return strings.ReplaceAll(strings.ReplaceAll(offer, "SAVPF 109 9", "SAVPF 109 63 9"), "a=rtpmap:109 opus/48000/2", lines)
	}
	for _, test := range []struct {
		name, offer string
		red         uint8
		nack        bool
	}{
		{"as browsers do", with("red/48000/2\r\na=fmtp:63 109/109"), 63, true},
		{"deeper", with("RED/48000/2\r\na=fmtp:63 109/109/109"), 63, true},
		{"no parameters", with("red/48000/2"), 0, false},
		{"of another codec", with("red/48000/2\r\na=fmtp:63 109/9"), 0, false},
		{"one channel", with("red/48000\r\na=fmtp:63 109/109"), 0, false},
		{"NACK alone", strings.ReplaceAll(offer, "a=rtpmap:109", "a=rtcp-fb:109 nack\r\na=rtpmap:109"), 0, true},
		{"keyframes of a voice", strings.ReplaceAll(offer, "a=rtpmap:109", "a=rtcp-fb:109 nack pli\r\na=rtpmap:109"), 0, false},
		{"neither", offer, 0, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHall(t, hallConfig{})
			defer h.close()
			a, err := h.peer.Answer(context.Background(), test.offer, Policy{}, nil)
			require.NoError(t, err)
			require.Equal(t, test.red, a.Published[0].RED)
			require.Equal(t, test.red, a.Slots[0].RED)
			require.Equal(t, test.nack, a.Published[0].NACK)
			require.Equal(t, test.nack, a.Slots[0].NACK)
			require.Equal(t, test.red != 0, strings.Contains(a.SDP, "red/48000/2"))
		})
	}
	_, _, err := parseOffer(strings.Replace(with("red/48000/2\r\na=fmtp:63 109/109"), "63 9\r\n", "9\r\n", 1), agreed{}, Policy{})
	require.NoError(t, err, "one m-line may do without")
	_, _, err = parseOffer(strings.ReplaceAll(with("red/48000/2\r\na=fmtp:63 109/109"), "63", "72"), agreed{}, Policy{})
	require.ErrorContains(t, err, "looks like RTCP")
}

// Sound with NACK has no number or time that would be another when it is sent again: whoever offers what.
func TestNothingResentCarriesAnotherNumber(t *testing.T) {
	offer := strings.ReplaceAll(testOffer("audio sendonly", "audio recvonly"), "a=rtpmap:109", "a=extmap:7 "+uriTransportSeq+
		"\r\na=extmap:6 "+uriAbsSendTime+"\r\na=rtcp-fb:109 %s\r\na=rtcp-fb:109 transport-cc\r\na=rtcp-fb:109 goog-remb\r\na=rtpmap:109")
	for nack, numbered := range map[string]bool{"nack": false, "nack pli": true} {
		h := newHall(t, hallConfig{})
		a, err := h.peer.Answer(context.Background(), fmt.Sprintf(offer, nack, nack), Policy{}, nil)
		require.NoError(t, err)
		p := a.Published[0]
		require.Equal(t, !numbered, p.NACK)
		require.Equal(t, numbered, p.TransportCC)
		require.Equal(t, numbered, p.Ext.TransportSeq != 0)
		require.Zero(t, p.Ext.AbsSendTime)
		require.False(t, p.REMB)
		require.True(t, a.Slots[0].TransportCC)
		h.close()
	}
}

// A live m-line gains neither with a later offer, for its shard was told of none.
func TestALiveVoiceGainsNoRepair(t *testing.T) {
	h := newHall(t, hallConfig{})
	defer h.close()
	with := recorded(t, "chromium-stock")
	without := strings.ReplaceAll(with, "red/48000/2", "blue/48000/2")
	first, err := h.peer.Answer(context.Background(), without, Policy{}, nil)
	require.NoError(t, err)
	require.True(t, first.Published[0].TransportCC)
	second, err := h.peer.Answer(context.Background(), with, Policy{}, nil)
	require.NoError(t, err)
	require.Equal(t, first.Published, second.Published)
	mline, _ := answered(t, second.SDP, "0")
	require.Equal(t, "m=audio 9 UDP/TLS/RTP/SAVPF 111", mline)
	require.Equal(t, uint8(63), second.Slots[0].RED, "a slot opens anew")
	require.Equal(t, []string{"2"}, second.Ended)
}

// Who leaves RED out of a later offer, and with it what NACK was answered for, is asked for packets nevertheless, for the shard is
// told once: they have no transport-wide numbers from the first to the last.
func TestVoicesStayUnnumbered(t *testing.T) {
	h := newHall(t, hallConfig{})
	defer h.close()
	offer := recorded(t, "chromium-stock")
	var later []string
	for _, l := range strings.Split(offer, "\r\n") {
		if strings.Contains(l, "red/48000") || strings.HasPrefix(l, "a=fmtp:63 ") {
			continue
		}
		if strings.HasPrefix(l, "m=audio") {
			l = strings.Replace(l, " 63", "", 1)
		}
		later = append(later, l)
	}
	for i, text := range []string{offer, strings.Join(later, "\r\n"), offer} {
		a, err := h.peer.Answer(context.Background(), text, Policy{}, nil)
		require.NoError(t, err)
		_, lines := answered(t, a.SDP, "0")
		require.Equal(t, i == 0 || i == 2, strings.Contains(lines, " nack\n"), i)
		require.NotContains(t, lines, uriTransportSeq, i)
		require.Zero(t, a.Published[0].Ext.TransportSeq)
	}
}
