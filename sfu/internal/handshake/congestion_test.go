package handshake

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// With --force-fieldtrials=WebRTC-RFC8888CongestionControlFeedback/Enabled,offer:true/ Chromium offers RFC 8888 beside the
// others, for each payload type of every m-line.
func TestChromiumWithCongestionControlFeedback(t *testing.T) {
	h := newHall(t, hallConfig{})
	defer h.close()
	offer := recorded(t, "chromium-ccfb")
	a, err := h.peer.Answer(context.Background(), offer, Policy{}, nil)
	require.NoError(t, err)
	require.Len(t, a.Published, 2)
	for _, p := range a.Published {
		require.True(t, p.CCFB)
		require.False(t, p.TransportCC)
		require.False(t, p.REMB)
		require.Zero(t, p.Ext.TransportSeq)
		require.Zero(t, p.Ext.AbsSendTime)
		require.True(t, p.NACK)
	}
	require.Len(t, a.Slots, 2)
	for _, s := range a.Slots {
		require.True(t, s.CCFB)
		require.False(t, s.TransportCC)
		require.Zero(t, s.Ext.TransportSeq)
		require.True(t, s.NACK)
	}
	require.Equal(t, 4, strings.Count(a.SDP, "ack ccfb"))
	require.Equal(t, 4, strings.Count(a.SDP, "a=rtcp-fb:* ack ccfb\r\n"))
	require.NotContains(t, a.SDP, "transport-cc")
	require.NotContains(t, a.SDP, "transport-wide")
	require.NotContains(t, a.SDP, "goog-remb")

	// It is of the whole path: one m-line without it, and the others do without as well. A stopped one does not count.
	without := strings.Replace(strings.ReplaceAll(offer, "ack ccfb", "ack other"), "ack other", "ack ccfb", 1)
	for _, test := range []struct {
		offer string
		ccfb  bool
	}{
		{without, false},
		{strings.Replace(without, "m=audio 9", "m=audio 0", 1), false},
		{strings.Replace(offer, "m=audio 9", "m=audio 0", 1), true},
		{recorded(t, "chromium-stock"), false},
	} {
		h := newHall(t, hallConfig{})
		a, err := h.peer.Answer(context.Background(), test.offer, Policy{}, nil)
		require.NoError(t, err)
		require.Equal(t, test.ccfb, a.Slots[1].CCFB)
		require.Equal(t, !test.ccfb, a.Slots[1].TransportCC)
		require.Equal(t, test.ccfb, strings.Contains(a.SDP, "ack ccfb"))
		h.close()
	}
}

// The first answer decides for the session: the shard hears of an m-line once.
func TestFeedbackOfCongestionStays(t *testing.T) {
	ctx := context.Background()
	with := recorded(t, "chromium-ccfb")
	without := strings.ReplaceAll(with, "ack ccfb", "ack other")
	h := newHall(t, hallConfig{})
	defer h.close()
	for _, offer := range []string{without, with} {
		a, err := h.peer.Answer(ctx, offer, Policy{}, nil)
		require.NoError(t, err)
		require.True(t, a.Published[1].TransportCC)
		require.True(t, a.Slots[0].TransportCC)
		require.NotContains(t, a.SDP, "ack ccfb")
	}
	other := newHall(t, hallConfig{})
	defer other.close()
	for i, offer := range []string{with, without, with} {
		a, err := other.peer.Answer(ctx, offer, Policy{}, nil)
		require.NoError(t, err)
		require.Equal(t, i != 1, a.Published[0].CCFB)
		require.False(t, a.Published[0].TransportCC, "what was not taken first is not taken later")
		require.Equal(t, i != 1, a.Slots[0].CCFB, "a slot opens anew")
	}
}

func TestFeedbackOfCongestionByWhatIsOffered(t *testing.T) {
	number, sent := "a=extmap:7 "+uriTransportSeq, "a=extmap:6 "+uriAbsSendTime
	for _, test := range []struct {
		name                    string
		lines                   []string
		transportCC, ccfb, remb bool
		ext                     ExtensionIDs // of who sends; of a slot without abs-send-time
	}{
		{"nothing", nil, false, false, false, ExtensionIDs{}},
		{"transport-wide", []string{number, sent, "a=rtcp-fb:* transport-cc"}, true, false, false, ExtensionIDs{TransportSeq: 7}},
		{"before REMB", []string{number, sent, "a=rtcp-fb:96 goog-remb", "a=rtcp-fb:96 transport-cc"}, true, false, false, ExtensionIDs{TransportSeq: 7}},
		{"after RFC 8888", []string{number, sent, "a=rtcp-fb:* ack ccfb", "a=rtcp-fb:96 transport-cc"}, false, true, false, ExtensionIDs{}},
		{"by payload type", []string{"a=rtcp-fb:96 ack ccfb"}, false, true, false, ExtensionIDs{}},
		{"of a payload type that is not taken", []string{"a=rtcp-fb:99 ack ccfb", "a=rtcp-fb:96 goog-remb"}, false, false, true, ExtensionIDs{}},
		{"other words", []string{"a=rtcp-fb:96 ack", "a=rtcp-fb:96 ccfb", "a=rtcp-fb:96 nack ccfb"}, false, false, false, ExtensionIDs{}},
		{"REMB", []string{"a=rtcp-fb:96 goog-remb"}, false, false, true, ExtensionIDs{}},
		{"REMB with send times", []string{number, sent, "a=rtcp-fb:96 goog-remb"}, false, false, true, ExtensionIDs{TransportSeq: 7, AbsSendTime: 6}},
		{"no numbers", []string{sent, "a=rtcp-fb:96 goog-remb", "a=rtcp-fb:96 transport-cc"}, false, false, true, ExtensionIDs{AbsSendTime: 6}},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, direction := range []string{"sendonly", "recvonly"} {
				h := newHall(t, hallConfig{})
				a, err := h.peer.Answer(context.Background(), videoOffer(direction, []string{"96 VP8/90000"}, test.lines...), Policy{}, nil)
				require.NoError(t, err)
				var got []bool
				want := test.ext
				if direction == "sendonly" {
					p := a.Published[0]
					got = []bool{p.TransportCC, p.CCFB, p.REMB}
					require.Equal(t, want, p.Ext)
				} else {
					s := a.Slots[0]
					got = []bool{s.TransportCC, s.CCFB, s.REMB}
					want.AbsSendTime = 0
					require.Equal(t, want, s.Ext)
				}
				require.Equal(t, []bool{test.transportCC, test.ccfb, test.remb}, got)
				require.Equal(t, test.ccfb, strings.Contains(a.SDP, "a=rtcp-fb:* ack ccfb\r\n"))
				require.Equal(t, test.remb, strings.Contains(a.SDP, "a=rtcp-fb:96 goog-remb\r\n"))
				require.Equal(t, want.AbsSendTime != 0, strings.Contains(a.SDP, uriAbsSendTime))
				h.close()
			}
		})
	}
}

// One answer for both kinds of codecs in a slot: what the best of them can.
func TestFeedbackOfASlotsCodecs(t *testing.T) {
	h := newHall(t, hallConfig{})
	defer h.close()
	a, err := h.peer.Answer(context.Background(), videoOffer("recvonly", []string{"96 VP8/90000", "98 VP9/90000"},
		"a=extmap:7 "+uriTransportSeq, "a=rtcp-fb:96 goog-remb", "a=rtcp-fb:98 transport-cc"), Policy{}, nil)
	require.NoError(t, err)
	require.True(t, a.Slots[0].TransportCC)
	require.False(t, a.Slots[0].REMB)
	require.NotContains(t, a.SDP, "goog-remb")
}
