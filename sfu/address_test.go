package sfu_test

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	pionrtcp "github.com/pion/rtcp"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/netsim"
)

// elsewhere is where clients move to.
var elsewhere = netip.MustParseAddr("10.0.3.1")

// gapAfter returns the longest time without a packet of a publisher in what c heard after since.
func gapAfter(c *client, from *client, video bool, since time.Time) time.Duration {
	mid := c.slotOf(from.peer.ID(), video)
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.heard[mid]
	last, gap := since, time.Duration(0)
	if r == nil {
		return time.Since(since)
	}
	for _, at := range r.at {
		if at.After(since) {
			gap = max(gap, at.Sub(last))
			last = at
		}
	}
	return max(gap, time.Since(last))
}

// TestMediaFollowsANominationWithinOneRoundTrip: what Chromium does when its network changes.
func TestMediaFollowsANominationWithinOneRoundTrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		link := netsim.LinkConfig{Delay: 150 * time.Millisecond}
		w := newWorld(t, 1, link)
		defer w.close()
		anna := w.newClient("anna").join("demo").talk()
		boris := w.newByHand("boris", "demo")
		w.eventually(3*time.Second, "boris hears anna", func() bool { return boris.got("anna") > 0 })
		boris.host.Move(elsewhere)
		w.net.SetPath(w.host, boris.host, link)
		time.Sleep(2 * time.Second) // silent: nothing tells the server
		before := boris.got("anna")
		boris.check(true)
		// Our check travels back for half a round trip after theirs arrived, and its answer half a one: a round trip from
		// their check's arrival, and the media half a one.
		took := w.eventually(2*time.Second, "media follows", func() bool { return boris.got("anna") > before })
		require.LessOrEqual(t, took, 4*link.Delay+50*time.Millisecond)
		require.EqualValues(t, 1, w.shard().PathChanges)
		_ = anna
	})
}

// TestMediaIsNotAimedAtAThirdParty: a client that can write false addresses into its packets names somebody else's.
func TestMediaIsNotAimedAtAThirdParty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, netsim.LinkConfig{Delay: 20 * time.Millisecond})
		defer w.close()
		w.newClient("anna").join("demo").talk()
		boris := w.newByHand("boris", "demo")
		w.eventually(3*time.Second, "boris hears anna", func() bool { return boris.got("anna") > 0 })
		// The victim's packets are boris's, but its ears are not: it answers nothing.
		boris.deaf.Store(true)
		boris.host.Move(elsewhere)
		w.net.SetPath(w.host, boris.host, w.link)
		before, asked := boris.got("anna"), boris.checksHeard()
		for range 20 {
			boris.check(true)
			time.Sleep(100 * time.Millisecond)
		}
		require.Equal(t, before, boris.got("anna"))
		require.Positive(t, boris.checksHeard()-asked)
		require.Zero(t, w.shard().PathChanges)
		boris.deaf.Store(false)
		boris.check(true)
		w.eventually(200*time.Millisecond, "who answers gets it", func() bool { return boris.got("anna") > before })
	})
}

// TestConsentRunsOut: a client that stops answering gets no media after 30 s, though its own checks go on.
func TestConsentRunsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, netsim.LinkConfig{Delay: 20 * time.Millisecond})
		defer w.close()
		w.newClient("anna").join("demo").talk()
		boris := w.newByHand("boris", "demo")
		w.eventually(3*time.Second, "boris hears anna", func() bool { return boris.got("anna") > 0 })
		boris.deaf.Store(true)
		for range 35 {
			boris.check(true)
			time.Sleep(time.Second)
		}
		before := boris.got("anna")
		time.Sleep(time.Second)
		require.Equal(t, before, boris.got("anna"))
		boris.deaf.Store(false)
		w.eventually(4*time.Second, "consent comes back with the next answer", func() bool { return boris.got("anna") > before })
	})
}

// TestANATRebindIsFollowedByMedia: the publisher's packets come from a new port, and the server's check there, answered
// by a real ICE agent, moves both directions long before the client's next check.
func TestANATRebindIsFollowedByMedia(t *testing.T) {
	for _, delay := range []time.Duration{20 * time.Millisecond, 150 * time.Millisecond, 300 * time.Millisecond} {
		t.Run(delay.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 1, netsim.LinkConfig{Delay: delay})
				defer w.close()
				nat := w.net.NAT(netip.MustParseAddr("198.51.100.7"))
				home := nat.Host(netip.MustParseAddr("192.168.1.2"))
				w.net.SetPath(w.host, home, w.link)
				anna := w.newClientAt("anna", home, 3, 9).join("demo").talk()
				boris := w.newClient("boris").join("demo").talk()
				anna.hears(10*time.Second, boris)
				boris.hears(10*time.Second, anna)
				time.Sleep(time.Second)
				rebound := time.Now()
				nat.Rebind()
				time.Sleep(5 * time.Second)
				// A packet up, our check down, its answer up, media down: two round trips are the least there can be.
				limit := max(time.Second, 4*delay+50*time.Millisecond)
				for _, video := range []bool{false, true} {
					require.LessOrEqual(t, gapAfter(anna, boris, video, rebound), limit, "to the rebound client, video %v", video)
					require.LessOrEqual(t, gapAfter(boris, anna, video, rebound), limit, "from the rebound client, video %v", video)
				}
				require.LessOrEqual(t, gapAfter(boris, anna, false, rebound), 200*time.Millisecond, "whose keys say whose it is")
				require.EqualValues(t, 1, w.shard().PathChanges)
			})
		})
	}
}

// TestARebindWithLossIsFollowed: the check is repeated.
func TestARebindWithLossIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 5, netsim.LinkConfig{Delay: 50 * time.Millisecond, Loss: 0.3})
		defer w.close()
		nat := w.net.NAT(netip.MustParseAddr("198.51.100.7"))
		home := nat.Host(netip.MustParseAddr("192.168.1.2"))
		w.net.SetPath(w.host, home, w.link)
		anna := w.newClientAt("anna", home, 3, 9).join("demo").talk()
		boris := w.newClient("boris").join("demo").talk()
		anna.hears(20*time.Second, boris)
		for range 10 {
			time.Sleep(time.Second)
			rebound := time.Now()
			nat.Rebind()
			time.Sleep(3 * time.Second)
			require.LessOrEqual(t, gapAfter(anna, boris, false, rebound), 2500*time.Millisecond)
		}
	})
}

// TestAMutedPublisherIsFollowedByItsReports: it sends nothing but RTCP.
func TestAMutedPublisherIsFollowedByItsReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, netsim.LinkConfig{Delay: 50 * time.Millisecond})
		defer w.close()
		w.newClient("anna").join("demo").talk()
		boris := w.newByHand("boris", "demo")
		w.eventually(3*time.Second, "boris hears anna", func() bool { return boris.got("anna") > 0 })
		boris.host.Move(elsewhere)
		w.net.SetPath(w.host, boris.host, w.link)
		before := boris.got("anna")
		boris.sendRTCP(&pionrtcp.ReceiverReport{SSRC: boris.ssrcAudio})
		took := w.eventually(time.Second, "media follows", func() bool { return boris.got("anna") > before })
		require.LessOrEqual(t, took, 4*w.link.Delay+50*time.Millisecond)
	})
}

// TestAReceiverThatNeverNominatesIsFollowed: pion's own agent checks its pair every 2 s without USE-CANDIDATE after a
// move. Media follows once nothing has come from the old address for 3 s.
func TestAReceiverThatNeverNominatesIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, netsim.LinkConfig{Delay: 50 * time.Millisecond})
		defer w.close()
		w.newClient("anna").join("demo").talk()
		boris := w.newByHand("boris", "demo")
		w.eventually(3*time.Second, "boris hears anna", func() bool { return boris.got("anna") > 0 })
		boris.host.Move(elsewhere)
		w.net.SetPath(w.host, boris.host, w.link)
		before, moved := boris.got("anna"), time.Now()
		for boris.got("anna") == before {
			require.Less(t, time.Since(moved), 6*time.Second)
			boris.check(false)
			time.Sleep(time.Second)
		}
		require.GreaterOrEqual(t, time.Since(moved), 3*time.Second)
	})
}

// TestALivingPathIsKept: checks and stray media from another of the peer's addresses move nothing while the destination
// lives, for ICE agents check paths that they do not use.
func TestALivingPathIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, netsim.LinkConfig{Delay: 20 * time.Millisecond})
		defer w.close()
		w.newClient("anna").join("demo").talk()
		boris := w.newByHand("boris", "demo")
		second, err := w.net.Host(elsewhere).ListenUDP(0)
		require.NoError(t, err)
		defer second.Close()
		for n := range 100 {
			boris.send(boris.voice(n))
			second.WriteTo(boris.checkBytes(boris.toUfrag+":"+boris.ufrag, boris.toPwd, false), boris.server)
			time.Sleep(100 * time.Millisecond)
		}
		require.Zero(t, w.shard().PathChanges)
	})
}
