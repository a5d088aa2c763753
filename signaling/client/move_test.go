package client_test

import (
	"context"
	"net/http"
	"net/netip"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/netsim"
	"github.com/tolkyn/tolkyn/signaling"
	"github.com/tolkyn/tolkyn/signaling/client"
)

// talker asks the server something all the time and keeps how long the answers took. The server takes 50 requests a second,
// and 100 at once.
type talker struct {
	mu      sync.Mutex
	asked   map[int]time.Time // and not answered yet
	slowest time.Duration
	last    time.Time // the newest answer came then
	failed  error
	stop    context.CancelFunc
	wg      sync.WaitGroup
}

func startTalking(m *member, every time.Duration) *talker {
	ctx, cancel := context.WithCancel(context.Background())
	k := &talker{stop: cancel, asked: map[int]time.Time{}}
	k.wg.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			k.wg.Go(func() {
				start := time.Now()
				k.mu.Lock()
				k.asked[i] = start
				k.mu.Unlock()
				_, err := m.client.Ping(ctx)
				k.mu.Lock()
				defer k.mu.Unlock()
				delete(k.asked, i)
				if err != nil {
					if ctx.Err() == nil {
						k.failed = err
					}
					return
				}
				k.last, k.slowest = time.Now(), max(k.slowest, time.Since(start))
			})
			time.Sleep(every)
		}
	})
	return k
}

// slow returns the longest an answer took, or has been taking, since the last call.
func (k *talker) slow() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, start := range k.asked {
		k.slowest = max(k.slowest, time.Since(start))
	}
	defer func() { k.slowest = 0 }()
	return k.slowest
}

func (k *talker) lastAnswer() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.last
}

func (k *talker) end(t *testing.T) {
	k.stop()
	k.wg.Wait()
	require.NoError(t, k.failed)
}

func TestMoveWithBothPathsUp(t *testing.T) {
	inQUICWorld(t, func(t *testing.T, w *world) {
		p := newPhone(w)
		m := p.dial("aru")
		k := startTalking(m, 30*ms)
		time.Sleep(time.Second)
		require.Equal(t, rtt, k.slow())
		for hop := range 6 {
			p.at.Store(int32((hop + 1) % 2))
			m.client.NetworkChanged()
			time.Sleep(time.Second)
			require.LessOrEqual(t, k.slow(), 2*rtt, "at most one more round trip")
			p.darken(hop%2, true) // the old one is of no use any more
			time.Sleep(time.Second)
			require.Equal(t, rtt, k.slow(), "hop %d", hop)
			p.darken(hop%2, false)
		}
		require.Equal(t, client.SessionStats{QUIC: 1, Moved: 6}, m.client.SessionStats())
		k.end(t)
	})
}

func TestManyMovesEndInANewConnection(t *testing.T) {
	inQUICWorld(t, func(t *testing.T, w *world) {
		p := newPhone(w)
		m := p.dial("aru")
		k := startTalking(m, 30*ms)
		for hop := range 20 {
			time.Sleep(time.Second)
			p.at.Store(int32((hop + 1) % 2))
			m.client.NetworkChanged()
			time.Sleep(time.Second)
			require.LessOrEqual(t, k.slow(), 4*rtt)
		}
		stats := m.client.SessionStats()
		require.Equal(t, client.SessionStats{QUIC: 3, Moved: 18, Resumed: 2}, stats)
		require.Equal(t, 1, w.server.Stats().Sessions)
		k.end(t)
	})
}

// The old network is gone before the new one is there. One round trip checks the way, the next one answers.
func TestBreakBeforeMake(t *testing.T) {
	for _, trip := range []time.Duration{20 * ms, rtt, 300 * ms} {
		for _, dark := range []time.Duration{200 * ms, time.Second, 3 * time.Second} {
			inQUICWorld(t, func(t *testing.T, w *world) {
				p := newPhone(w)
				for _, network := range p.networks {
					w.net.SetPath(w.host, network, netsim.LinkConfig{Delay: trip / 2})
				}
				m := p.dial("aru")
				k := startTalking(m, 100*ms)
				time.Sleep(time.Second)
				p.darken(0, true)
				p.way.cut(true)
				time.Sleep(dark)
				p.way.mend()
				p.at.Store(1)
				back := time.Now()
				m.client.NetworkChanged()
				w.eventually(5*time.Second, "an answer", func() bool { return k.lastAnswer().After(back) })
				took := k.lastAnswer().Sub(back)
				t.Logf("round trip %v, dark for %v: answered after %v", trip, dark, took)
				require.LessOrEqual(t, took, 2*trip)
				require.Equal(t, client.SessionStats{QUIC: 1, Moved: 1}, m.client.SessionStats())
				k.end(t)
			})
		}
	}
}

// A client that has filled the dead path with what it wanted to say cannot check another: it opens a new connection.
func TestWritingIntoADeadPath(t *testing.T) {
	inQUICWorld(t, func(t *testing.T, w *world) {
		p := newPhone(w)
		m := p.dial("aru").join()
		k := startTalking(m, 30*ms)
		time.Sleep(time.Second)
		p.darken(0, true)
		p.way.cut(true)
		// Thirty requests of 20 kB: far more than QUIC sends without hearing of anything.
		wishes := make([]client.Wish, 500)
		for i := range wishes {
			wishes[i].ParticipantID = "somebody who has never been here"
		}
		var flood sync.WaitGroup
		for range 30 {
			flood.Go(func() {
				if err := m.room.Subscribe(t.Context(), client.Subscription{Wishes: wishes}); err != nil {
					var refused *client.ServerError
					require.ErrorAs(t, err, &refused) // RATE
				}
			})
		}
		time.Sleep(2 * time.Second)
		p.at.Store(1)
		back := time.Now()
		m.client.NetworkChanged()
		w.eventually(5*time.Second, "an answer", func() bool { return k.lastAnswer().After(back) })
		require.LessOrEqual(t, k.lastAnswer().Sub(back), time.Second+3*rtt)
		require.Equal(t, client.QUIC, m.client.Transport())
		flood.Wait()
		k.end(t)
	})
}

func TestTheRouterForgetsUs(t *testing.T) {
	inQUICWorld(t, func(t *testing.T, w *world) {
		nat := w.net.NAT(netip.MustParseAddr("203.0.113.1"))
		home := nat.Host(netip.MustParseAddr("192.168.77.2"))
		w.net.SetPath(w.host, home, netsim.LinkConfig{Delay: rtt / 2})
		p := newPhone(w)
		p.networks[0] = home
		m := p.dial("aru")
		k := startTalking(m, 30*ms)
		for range 6 {
			time.Sleep(5 * time.Second)
			k.slow()
			nat.Rebind()
			time.Sleep(2 * time.Second)
			require.LessOrEqual(t, k.slow(), 4*rtt)
		}
		require.Equal(t, client.SessionStats{QUIC: 1}, m.client.SessionStats(), "the server follows by itself")
		k.end(t)
	})
}

// The SDK notices by itself that another address leads to the server.
func TestAChangeOfNetworksIsNoticed(t *testing.T) {
	inQUICWorld(t, func(t *testing.T, w *world) {
		p := newPhone(w)
		m := p.dial("aru")
		time.Sleep(time.Second)
		p.at.Store(1)
		time.Sleep(3 * time.Second)
		require.Equal(t, client.SessionStats{QUIC: 1, Moved: 1}, m.client.SessionStats())
		time.Sleep(time.Minute)
		require.Equal(t, uint64(1), m.client.SessionStats().Moved, "and only once")
	})
}

func TestFiveSecondsOfDarknessOverQUIC(t *testing.T) {
	inQUICWorld(t, func(t *testing.T, w *world) {
		p := newPhone(w)
		a, b := p.dial("aru").join(), w.dial("bek").join()
		a.hears(5*time.Second, b)
		require.Equal(t, client.QUIC, a.client.Transport())
		p.darken(0, true)
		p.way.cut(true)
		require.NoError(t, b.room.Mute(t.Context(), "mic", true))
		muting := make(chan error)
		go func() { muting <- a.room.Mute(t.Context(), "cam", true) }()
		time.Sleep(5 * time.Second)
		require.Equal(t, client.Reconnecting, a.room.State())
		p.darken(0, false)
		p.way.mend()
		light := time.Now()
		require.NoError(t, <-muting)
		t.Logf("back after %v", time.Since(light))
		require.Less(t, time.Since(light), 3*time.Second)
		w.eventually(time.Second, "each heard of the other", func() bool {
			return len(all[client.TrackMuted](a)) == 1 && len(all[client.TrackMuted](b)) == 1
		})
		time.Sleep(5 * time.Second)
		require.Len(t, all[client.TrackMuted](b), 1, "done once")
		require.Empty(t, all[client.Rebuilt](a))
	})
}

func TestTransportsChangeInMidSession(t *testing.T) {
	inQUICWorld(t, func(t *testing.T, w *world) {
		p := newPhone(w)
		a, b := p.dial("aru").join(), w.dial("bek").join()
		a.hears(5*time.Second, b)
		mute := func(muted bool) {
			t.Helper()
			require.NoError(t, a.room.Mute(t.Context(), "cam", muted))
		}
		for round := range 2 {
			require.Equal(t, client.QUIC, a.client.Transport())
			p.darken(0, true) // UDP is blocked from now on
			mute(true)
			require.Equal(t, client.WebSocket, a.client.Transport())
			p.darken(0, false)
			p.way.cut(true) // and now it is the other way round
			mute(false)
			p.way.mend()
			w.eventually(time.Second, "bek heard each word once", func() bool { return len(all[client.TrackMuted](b)) == 2*round+2 })
		}
		require.Equal(t, client.QUIC, a.client.Transport())
		require.Equal(t, client.SessionStats{QUIC: 3, WebSocket: 2, Resumed: 4}, a.client.SessionStats())
		require.Empty(t, all[client.Rebuilt](a))
		require.Empty(t, all[client.Failed](a))
		a.hears(time.Second, b)
	})
}

// crash takes the server away without a word and starts another in its place after a second.
func (w *world) crash(paths ...*netsim.Host) {
	for _, h := range paths {
		w.net.Cut(w.host, h, true)
	}
	for _, m := range w.members {
		w.net.Cut(w.host, m.host, true)
	}
	killed, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(w.t, w.server.Close(killed), context.Canceled)
	w.quic.stop(w)
	require.NoError(w.t, w.web.Close())
	require.ErrorIs(w.t, <-w.served, http.ErrServerClosed)
	require.NoError(w.t, w.sfu.Close())
	time.Sleep(time.Second)
	w.startMedia()
	w.startServer()
	for _, h := range paths {
		w.net.Cut(w.host, h, false)
	}
	for _, m := range w.members {
		w.net.Cut(w.host, m.host, false)
	}
}

func TestAServerThatCrashesIsJoinedAgain(t *testing.T) {
	for name, forget := range map[string]bool{"with the same secret": false, "with another secret": true} {
		limit := 1500 * ms
		if forget {
			limit = 3 * time.Second
		}
		t.Run(name, func(t *testing.T) {
			inQUICWorld(t, func(t *testing.T, w *world) {
				p, q := newPhone(w), newPhone(w)
				q.networks = []*netsim.Host{w.net.Host(netip.MustParseAddr("192.168.200.2"))}
				w.net.SetPath(w.host, q.networks[0], netsim.LinkConfig{Delay: rtt / 2})
				a, b := p.dial("aru").join(), q.dial("bek").join()
				a.hears(5*time.Second, b)
				time.Sleep(2 * time.Second)
				if forget {
					w.quic.secret = signaling.NewSecret()
				}
				w.crash(p.networks[0], q.networks[0])
				restarted := time.Now()
				w.eventually(limit, "both are back in the room", func() bool {
					return a.room.State() == client.Connected && b.room.State() == client.Connected &&
						len(all[client.Rebuilt](a)) == 1 && len(all[client.Rebuilt](b)) == 1
				})
				t.Logf("back %v after the restart", time.Since(restarted))
				a.hears(2*time.Second, b)
				require.Equal(t, client.QUIC, a.client.Transport())
			})
		})
	}
}

// A server that has lost its keys cannot reset; one that has them is heard at the next packet, also where we have moved.
func TestACrashIsHeardAtTheNextPacket(t *testing.T) {
	for _, moves := range []int{0, 1, 5} {
		inQUICWorld(t, func(t *testing.T, w *world) {
			p := newPhone(w)
			m := p.dial("aru")
			for i := range moves {
				time.Sleep(time.Second)
				p.at.Store(int32((i + 1) % 2))
				m.client.NetworkChanged()
			}
			time.Sleep(11 * time.Second) // between two Pings of the SDK's own
			// The watcher may see a change at the very instant we tell of it, and move once more.
			require.GreaterOrEqual(t, m.client.SessionStats().Moved, uint64(moves))
			dark := time.Now()
			w.crash(p.networks...)
			require.Less(t, time.Since(dark), 2*time.Second)
			require.Equal(t, uint64(1), m.client.SessionStats().QUIC, "not noticed yet")
			start := time.Now()
			w.eventually(time.Second, "the next server answers", func() bool {
				_, err := m.client.Ping(t.Context()) // fails while a session of the one before is being replaced
				return err == nil && m.client.SessionStats().QUIC == 2
			})
			t.Logf("%d moves: answered after %v", moves, time.Since(start))
		})
	}
}

// pion keeps to the addresses it has: a change of networks restarts ICE, once, and the call goes on.
func TestAChangeOfNetworksRestartsICE(t *testing.T) {
	inQUICWorld(t, func(t *testing.T, w *world) {
		p := newPhone(w)
		a, b := p.dial("aru").join(), w.dial("bek").join()
		a.hears(5*time.Second, b)
		credentials := func() string {
			description := a.room.Connection().CurrentLocalDescription().SDP
			return regexp.MustCompile(`a=ice-ufrag:(\S+)`).FindStringSubmatch(description)[1]
		}
		before := credentials()
		p.at.Store(1)
		a.client.NetworkChanged()
		w.eventually(time.Second, "ICE has new credentials", func() bool { return credentials() != before })
		a.hears(time.Second, b)
		b.hears(time.Second, a)
		after := credentials()
		time.Sleep(10 * time.Second)
		require.Equal(t, after, credentials(), "restarted once")
		require.Empty(t, all[client.Rebuilt](a))
		require.Empty(t, all[client.Failed](a))
		require.Equal(t, uint64(1), a.client.SessionStats().Moved)
	})
}
