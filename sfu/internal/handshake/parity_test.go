package handshake

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// withFEC offers parity on every m-line of pictures.
func withFEC(offer, name string) string {
	sections := strings.Split(offer, "\r\nm=")
	for i, s := range sections {
		if strings.HasPrefix(s, "video ") {
			line, rest, _ := strings.Cut(s, "\r\n")
			sections[i] = fmt.Sprintf("%s 55\r\na=rtpmap:55 %s/90000\r\na=fmtp:55 repair-window=200000\r\n%s", line, name, rest)
		}
	}
	return strings.Join(sections, "\r\nm=")
}

// Parity goes to who receives pictures and offers RFC 8627, under an SSRC of its own that stays. Nobody sends us any.
func TestParityByWhatIsOffered(t *testing.T) {
	offer := testOffer("video sendonly", "video recvonly", "audio recvonly")
	for _, test := range []struct {
		name, offer string
		want        bool
	}{
		{"as the Go SDK does", withFEC(offer, "flexfec"), true},
		{"in capitals", withFEC(offer, "FlexFEC"), true},
		{"the draft that browsers do", withFEC(offer, "flexfec-03"), false},
		{"not at all", offer, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHall(t, hallConfig{})
			defer h.close()
			a, err := h.peer.Answer(context.Background(), test.offer, Policy{}, nil)
			require.NoError(t, err)
			video, sound := a.Slots[0], a.Slots[1]
			require.Zero(t, sound.FEC)
			require.Zero(t, sound.FECSSRC)
			if !test.want {
				require.Zero(t, video.FEC)
				require.Zero(t, video.FECSSRC)
				require.NotContains(t, strings.ToLower(a.SDP), "flexfec")
				require.NotContains(t, a.SDP, "FEC-FR")
				return
			}
			require.Equal(t, uint8(55), video.FEC)
			require.NotZero(t, video.FECSSRC)
			require.NotContains(t, []uint32{video.SSRC, video.RTXSSRC}, video.FECSSRC)
			require.Equal(t, 1, strings.Count(a.SDP, "flexfec/90000"), "in the m-line that receives alone")
			for _, line := range []string{
				"a=rtpmap:55 flexfec/90000\r\na=fmtp:55 repair-window=",
				fmt.Sprintf("a=ssrc-group:FEC-FR %d %d\r\n", video.SSRC, video.FECSSRC),
				fmt.Sprintf("a=ssrc:%d cname:%s\r\n", video.FECSSRC, video.CNAME),
			} {
				require.Contains(t, a.SDP, line)
			}
			again, err := h.peer.Answer(context.Background(), test.offer, Policy{}, nil)
			require.NoError(t, err)
			require.Equal(t, video, again.Slots[0])

			// Without it the slot is another, under SSRCs of its own: no number is used twice.
			other, err := h.peer.Answer(context.Background(), offer, Policy{}, nil)
			require.NoError(t, err)
			require.Zero(t, other.Slots[0].FECSSRC)
			require.NotContains(t, []uint32{video.SSRC, video.RTXSSRC, video.FECSSRC}, other.Slots[0].SSRC)
		})
	}
	_, _, err := parseOffer(strings.ReplaceAll(withFEC(offer, "flexfec"), "55", "72"), agreed{}, Policy{})
	require.ErrorContains(t, err, "looks like RTCP")
}
