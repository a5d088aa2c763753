package sfu_test

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/netsim"
	"github.com/tolkyn/tolkyn/internal/udp"
	"github.com/tolkyn/tolkyn/sfu"
)

// TestALargeRoomSpreads: the 51st participant is on another shard, and everybody hears and sees everybody as before; a room
// that is small stays together, on the shard that has less to do.
func TestALargeRoomSpreads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorldOf(t, 1, netsim.LinkConfig{Delay: 20 * time.Millisecond}, sfu.Config{Sockets: make([]udp.Socket, 2)})
		defer w.close()
		anna := w.newClient("anna").join("hall").talk()
		for n := range 49 {
			w.newGuest(fmt.Sprintf("g%d", n), sfu.Device{}, "audio recvonly")
		}
		st, ok := w.sfu.Stats()
		require.True(t, ok)
		require.Equal(t, 50, st.Shards[0].Peers)
		require.Zero(t, st.Shards[1].Peers)
		require.Zero(t, st.Shards[0].Mirrors+st.Shards[1].Mirrors)

		boris := w.newClient("boris").join("hall").talk()
		vera := w.newClient("vera").join("hall").talk()
		boris.hears(5*time.Second, anna, vera)
		anna.hears(5*time.Second, boris, vera)
		vera.hears(5*time.Second, anna, boris)
		st, _ = w.sfu.Stats()
		require.Equal(t, 2, st.Shards[1].Peers)
		require.Equal(t, 2, st.Shards[1].Mirrors, "anna's voice and picture")
		require.Equal(t, 4, st.Shards[0].Mirrors)
		require.Contains(t, boris.joined.Answer, " 7883 typ host")
		require.NotContains(t, boris.joined.Answer, " 7882 typ host")
		require.Len(t, w.sfu.Busy(), 2)

		since := time.Now()
		time.Sleep(5 * time.Second)
		for _, from := range []*client{anna, vera} {
			for _, video := range []bool{false, true} {
				require.Less(t, gapAfter(boris, from, video, since), 150*time.Millisecond)
			}
		}
		st, _ = w.sfu.Stats()
		for _, s := range st.Shards {
			require.Zero(t, s.Faults)
			require.Zero(t, s.Drops.PipeOverflow)
		}

		// He publishes no more, then leaves, then she does whose tracks are mirrored.
		require.NoError(t, boris.peer.Unpublish(t.Context(), []string{"cam"}))
		boris.leave()
		anna.leave()
		time.Sleep(time.Second)
		st, _ = w.sfu.Stats()
		require.Equal(t, 2, st.Shards[0].Mirrors, "vera's")
		require.Zero(t, st.Shards[1].Mirrors)

		// A small room stays together, where there is less to do.
		one := w.newClientAt("one", w.net.Host(netip.MustParseAddr("10.0.3.1")), 1, 1).join("nook").talk()
		two := w.newClientAt("two", w.net.Host(netip.MustParseAddr("10.0.3.2")), 1, 1).join("nook").talk()
		one.hears(5*time.Second, two)
		st, _ = w.sfu.Stats()
		require.Equal(t, 3, st.Shards[1].Peers, "vera, one and two")
	})
}
