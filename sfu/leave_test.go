package sfu_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/netsim"
	"github.com/tolkyn/tolkyn/sfu"
)

func TestLeavingEmptiesTheSlotsOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, netsim.LinkConfig{Delay: 20 * time.Millisecond})
		defer w.close()
		anna := w.newClient("anna").join("demo").talk()
		boris := w.newClient("boris").join("demo").talk()
		anna.hears(5*time.Second, boris)
		anna.leave()
		w.eventually(100*time.Millisecond, "boris is told", func() bool {
			return boris.slotOf(anna.peer.ID(), false) == "" && boris.slotOf(anna.peer.ID(), true) == ""
		})
		_, told := lastEvent[sfu.PeerLeft](boris)
		require.True(t, told)
		st, ok := w.sfu.Stats()
		require.True(t, ok)
		require.Equal(t, 1, st.Peers)
		require.Equal(t, 2, st.Shards[0].Uplinks, "boris's own")
	})
}

func TestASilentPeerLeavesItsSlotsAfterFifteenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, netsim.LinkConfig{Delay: 20 * time.Millisecond})
		defer w.close()
		anna := w.newClient("anna").join("demo").talk()
		boris := w.newClient("boris").join("demo").talk()
		boris.hears(5*time.Second, anna)
		w.net.Cut(w.host, anna.host, true)
		took := w.eventually(20*time.Second, "anna's slots are free", func() bool {
			return boris.slotOf(anna.peer.ID(), true) == ""
		})
		require.InDelta(t, 15, took.Seconds(), 0.5)
		gone, told := lastEvent[sfu.Gone](anna)
		require.True(t, told)
		require.Equal(t, sfu.GoneSilent, gone.Reason)
	})
}

func TestASecondJoinWithTheSameIdentityReplacesTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, netsim.LinkConfig{Delay: 20 * time.Millisecond})
		defer w.close()
		old := w.newClient("anna").join("demo").talk()
		boris := w.newClient("boris").join("demo").talk()
		boris.hears(5*time.Second, old)
		fresh := w.newClient("anna").join("demo").talk()
		gone, told := lastEvent[sfu.Gone](old)
		require.True(t, told)
		require.Equal(t, sfu.GoneReplaced, gone.Reason)
		boris.hears(5*time.Second, fresh)
		st, _ := w.sfu.Stats()
		require.Equal(t, 2, st.Peers)
	})
}

func TestMuteIsToldAndKeepsTheSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, netsim.LinkConfig{Delay: 20 * time.Millisecond})
		defer w.close()
		anna := w.newClient("anna").join("demo").talk()
		boris := w.newClient("boris").join("demo").talk()
		boris.hears(5*time.Second, anna)
		anna.camera.muted.Store(true)
		require.NoError(t, anna.peer.Mute(t.Context(), "mic", true))
		told, ok := lastEvent[sfu.TrackMuted](boris)
		require.True(t, ok)
		require.Equal(t, "mic", told.Track.ID)
		require.True(t, told.Track.Muted)
		time.Sleep(time.Second)
		quiet := boris.got(anna, false)
		time.Sleep(time.Second)
		require.Equal(t, quiet, boris.got(anna, false))
		anna.camera.muted.Store(false)
		require.NoError(t, anna.peer.Mute(t.Context(), "mic", false))
		w.eventually(200*time.Millisecond, "anna is heard again in her old slot", func() bool { return boris.got(anna, false) > quiet })
		require.ErrorIs(t, anna.peer.Mute(t.Context(), "no such track", true), sfu.ErrNotFound)
	})
}

// TestAFullRoomLetsItsOwnBackIn: a rejoin takes the place of the identity's own peer. One that is refused leaves that peer
// as it is.
func TestAFullRoomLetsItsOwnBackIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorldOf(t, 1, netsim.LinkConfig{Delay: 20 * time.Millisecond}, sfu.Config{MaxPeers: 2})
		defer w.close()
		anna := w.newClient("anna").join("demo").talk()
		boris := w.newClient("boris").join("demo").talk()
		boris.hears(5*time.Second, anna)
		require.ErrorIs(t, w.newClient("chingiz").tryJoin("demo"), sfu.ErrRoomFull)

		_, _, err := w.sfu.Join(t.Context(), sfu.JoinRequest{Room: "demo", Identity: "anna", Offer: "v=0\r\n", Events: func(sfu.Event) {}})
		require.ErrorIs(t, err, sfu.ErrBadOffer)
		_, gone := lastEvent[sfu.Gone](anna)
		require.False(t, gone, "thrown out by a join that was refused")
		before := boris.got(anna, false)
		w.eventually(time.Second, "boris still hears anna", func() bool { return boris.got(anna, false) > before+10 })

		for range 5 { // again and again: what is being dismantled holds no place
			again := w.newClient("anna").join("demo").talk()
			w.eventually(time.Second, "the old anna is told", func() bool {
				g, gone := lastEvent[sfu.Gone](anna)
				return gone && g.Reason == sfu.GoneReplaced
			})
			boris.hears(5*time.Second, again)
			anna = again
			require.ErrorIs(t, w.newClient("chingiz").tryJoin("demo"), sfu.ErrRoomFull)
		}
		anna.leave()
		w.newClient("chingiz").join("demo")
	})
}

// TestJoinsOfOneIdentityAreFew: an identity takes one place in a room, and no more joins at once than a client that was cut
// off a few times in a row needs.
func TestJoinsOfOneIdentityAreFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorldOf(t, 1, netsim.LinkConfig{}, sfu.Config{MaxPeers: 1})
		defer w.close()
		c := &byHand{ufrag: "abcd", pwd: "0123456789abcdef01234567", ssrcAudio: 1, ssrcCam: 3}
		offer := c.offer(strings.TrimSuffix(strings.Repeat("AB:", 32), ":"), []string{"audio sendonly"})
		errs := make([]error, 50)
		var wg sync.WaitGroup
		for n := range errs {
			wg.Go(func() {
				_, _, errs[n] = w.sfu.Join(t.Context(), sfu.JoinRequest{Room: "demo", Identity: "anna", Publish: true, Offer: offer, Events: func(sfu.Event) {}})
			})
		}
		wg.Wait()
		in := 0
		for _, err := range errs {
			var busy *sfu.BusyError
			switch {
			case err == nil:
				in++
			case errors.As(err, &busy):
				require.Positive(t, busy.RetryAfter)
			default:
				require.ErrorIs(t, err, sfu.ErrGone, "replaced before it was in")
			}
		}
		require.Positive(t, in)
		time.Sleep(time.Second)
		st, ok := w.sfu.Stats()
		require.True(t, ok)
		require.Equal(t, 1, st.Peers)
	})
}
