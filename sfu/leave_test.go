package sfu_test

import (
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
