package sfu_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/netsim"
	"github.com/tolkyn/tolkyn/sfu"
)

func TestAPeerPublishesSixteenTracksAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, netsim.LinkConfig{Delay: 20 * time.Millisecond})
		defer w.close()
		join := func(lines int) error {
			c := &byHand{w: w, ufrag: "abcd", pwd: "0123456789abcdef012345"}
			var offered []string
			var tracks []sfu.Track
			for n := range lines {
				offered = append(offered, "audio sendrecv")
				tracks = append(tracks, sfu.Track{ID: fmt.Sprint(n), Kind: sfu.Audio, Source: sfu.Microphone, MID: fmt.Sprint(n)})
			}
			offer := strings.ReplaceAll(c.offer(fmt.Sprintf("%064d", 0), offered), "a=ssrc:0 cname:c\r\n", "") // found by mid
			peer, _, err := w.sfu.Join(t.Context(), sfu.JoinRequest{
				Room: "demo", Identity: "anna", Publish: true, Subscribe: true, Tracks: tracks, Offer: offer,
				Events: func(sfu.Event) {},
			})
			if err == nil {
				return peer.Leave(t.Context())
			}
			return err
		}
		require.NoError(t, join(16))
		require.ErrorIs(t, join(17), sfu.ErrBadOffer)
	})
}
