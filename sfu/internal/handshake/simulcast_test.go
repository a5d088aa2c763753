package handshake

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func simulcastOffer(direction string, more ...string) string {
	return videoOffer(direction, []string{"96 VP8/90000", "97 rtx/90000 apt=96", "98 VP9/90000"}, append([]string{
		"a=extmap:3 " + uriMID, "a=extmap:4 " + uriRID, "a=extmap:5 " + uriRepairedRID,
	}, more...)...)
}

func rids(names ...string) (lines []string) {
	for _, name := range names {
		lines = append(lines, "a=rid:"+name+" send")
	}
	return append(lines, "a=simulcast:send "+strings.Join(names, ";"))
}

func TestSimulcast(t *testing.T) {
	tests := []struct {
		name  string
		lines []string
		limit int
		want  []string // nil: no simulcast in the answer
	}{
		{"three", rids("q", "h", "f"), 0, []string{"q", "h", "f"}},
		{"three of five", rids("a", "b", "c", "d", "e"), 0, []string{"a", "b", "c"}},
		{"two of three", rids("q", "h", "f"), 2, []string{"q", "h"}},
		{"paused ones", []string{"a=rid:q send", "a=rid:h send", "a=simulcast:send ~q;~h"}, 0, []string{"q", "h"}},
		{"both ways", []string{"a=rid:q send", "a=rid:x recv", "a=simulcast:recv x send q"}, 0, []string{"q"}},
		{"alternatives", []string{"a=rid:1 send pt=98", "a=rid:2 send pt=96", "a=rid:3 send", "a=simulcast:send 1,2;1,3"}, 0, []string{"2", "3"}},
		{"restrictions", []string{"a=rid:q send max-width=320;max-fps=15", "a=rid:h send pt=96,97;max-width=640", "a=simulcast:send q;h"}, 0, []string{"q", "h"}},
		{"of another codec", []string{"a=rid:q send pt=98", "a=rid:h send max-br=1;pt=98", "a=simulcast:send q;h"}, 0, nil},
		{"without a=rid", []string{"a=rid:q send", "a=simulcast:send q;h"}, 0, []string{"q"}},
		{"a rid that receives", []string{"a=rid:q recv", "a=simulcast:send q"}, 0, nil},
		{"one twice", []string{"a=rid:q send", "a=simulcast:send q;q;q"}, 0, []string{"q"}},
		{"a rid too long", rids("12345678901234567"), 0, nil},
		{"a rid of other signs", rids("q.1", "h"), 0, []string{"h"}},
		{"cut short", []string{"a=rid:q", "a=rid:", "a=simulcast:send", "a=simulcast:", "a=simulcast:send ;;,~,"}, 0, nil},
		{"old form", []string{"a=rid:q send", "a=simulcast: send rid=q"}, 0, nil},
		{"without a simulcast", []string{"a=rid:q send"}, 0, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHall(t, hallConfig{})
			defer h.close()
			a, err := h.peer.Answer(context.Background(), simulcastOffer("sendonly", test.lines...), Policy{MaxEncodings: test.limit}, nil)
			require.NoError(t, err)
			p := a.Published[0]
			if test.want == nil {
				require.Equal(t, []Encoding{{}}, p.Encodings)
				require.NotContains(t, a.SDP, "a=simulcast")
				require.NotContains(t, a.SDP, "a=rid")
				return
			}
			var encodings []Encoding
			lines := ""
			for _, rid := range test.want {
				encodings = append(encodings, Encoding{RID: rid})
				lines += "a=rid:" + rid + " recv\r\n"
			}
			require.Equal(t, encodings, p.Encodings)
			require.Equal(t, ExtensionIDs{MID: 3, RID: 4, RepairedRID: 5}, p.Ext)
			require.Contains(t, a.SDP, lines+"a=simulcast:recv "+strings.Join(test.want, ";")+"\r\na=recvonly\r\n")
		})
	}
}

func TestNoSimulcastWithoutTheExtensionOrOnASlot(t *testing.T) {
	h := newHall(t, hallConfig{})
	defer h.close()
	a, err := h.peer.Answer(context.Background(), videoOffer("sendonly", []string{"96 VP8/90000"}, rids("q", "h")...), Policy{}, nil)
	require.NoError(t, err)
	require.Len(t, a.Published[0].Encodings, 1)
	require.NotContains(t, a.SDP, "a=rid")
	slot := newHall(t, hallConfig{})
	defer slot.close()
	a, err = slot.peer.Answer(context.Background(), simulcastOffer("recvonly", rids("q", "h")...), Policy{}, nil)
	require.NoError(t, err)
	require.NotContains(t, a.SDP, "a=rid")
	require.NotContains(t, a.SDP, uriRID)
}

// Firefox names the SSRCs of a simulcast, Chromium does not: a packet is known by its RID.
func TestSSRCsOfASimulcastDoNotCount(t *testing.T) {
	lines := append(rids("q", "h"), "a=ssrc-group:FID 10 20", "a=ssrc-group:FID 11 21", "a=ssrc:10 cname:x", "a=ssrc:11 cname:x")
	o, _, err := parseOffer(simulcastOffer("sendonly", lines...), agreed{}, Policy{})
	require.NoError(t, err)
	p := o.sections[0].published()
	require.Equal(t, []Encoding{{RID: "q"}, {RID: "h"}}, p.Encodings)
}

// The streams of a live m-line are those of its first answer: some may be missing for a while, none is new.
func TestSimulcastOfALiveMLine(t *testing.T) {
	h := newHall(t, hallConfig{})
	defer h.close()
	ctx := context.Background()
	offer := func(direction string, names ...string) ([]Encoding, error) {
		lines := rids(names...)
		if len(names) == 0 {
			lines = nil
		}
		a, err := h.peer.Answer(ctx, simulcastOffer(direction, lines...), Policy{MaxEncodings: 2}, nil)
		if err != nil || len(a.Published) == 0 {
			return nil, err
		}
		return a.Published[0].Encodings, nil
	}
	check := func(want []Encoding, direction string, names ...string) {
		t.Helper()
		got, err := offer(direction, names...)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	check([]Encoding{{RID: "q"}, {RID: "h"}}, "sendonly", "q", "h", "f")
	check([]Encoding{{RID: "h"}}, "sendonly", "f", "h")
	check(nil, "inactive", "q", "h", "f")
	check([]Encoding{{RID: "q"}, {RID: "h"}}, "sendonly", "q", "h", "f")
	_, err := offer("sendonly", "f", "x")
	require.ErrorIs(t, err, ErrBadSDP)
	require.ErrorContains(t, err, "q, h")
	_, err = offer("sendonly")
	require.ErrorIs(t, err, ErrBadSDP)
	check([]Encoding{{RID: "q"}, {RID: "h"}}, "sendonly", "q", "h", "f")
	// Once the m-line was something else, the choice is free.
	check(nil, "recvonly")
	check([]Encoding{{}}, "sendonly")
	check([]Encoding{{}}, "sendonly", "q", "h")
}

// Firefox, told that only one stream is taken, offers that m-line without a simulcast from then on.
func TestSimulcastOfOneGoesOnWithoutItsName(t *testing.T) {
	h := newHall(t, hallConfig{})
	defer h.close()
	ctx, one := context.Background(), Policy{MaxEncodings: 1}
	for range 2 {
		a, err := h.peer.Answer(ctx, simulcastOffer("sendonly", rids("q", "h", "f")...), one, nil)
		require.NoError(t, err)
		require.Equal(t, []Encoding{{RID: "q"}}, a.Published[0].Encodings)
		a, err = h.peer.Answer(ctx, simulcastOffer("sendonly", "a=ssrc-group:FID 10 20"), one, nil)
		require.NoError(t, err)
		require.Equal(t, []Encoding{{RID: "q", SSRC: 10, RTXSSRC: 20}}, a.Published[0].Encodings)
		require.NotContains(t, a.SDP, "a=simulcast")
	}
}
