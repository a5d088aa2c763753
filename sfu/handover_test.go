package sfu_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/handover"
	"github.com/tolkyn/tolkyn/internal/netsim"
	"github.com/tolkyn/tolkyn/internal/udp"
	"github.com/tolkyn/tolkyn/sfu"
)

// TestARelayedClientIsInTheCall: real clients through another loop, beside one with a socket of its own.
func TestARelayedClientIsInTheCall(t *testing.T) {
	for name, kind := range map[string]relayKind{
		"over UDP": {}, "over UDP, a channel later": {binds: 40}, "over UDP, without a channel": {binds: 1 << 30}, "over TCP": {stream: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 1, netsim.LinkConfig{Delay: 20 * time.Millisecond})
				defer w.close()
				r := w.newRelay(kind)
				anna := r.newClient("anna").join("demo").talk()
				boris := w.newClient("boris").join("demo").talk()
				carla := r.newClient("carla").join("demo").talk()
				for _, c := range []*client{anna, boris, carla} {
					for _, other := range []*client{anna, boris, carla} {
						if c != other {
							c.hears(5*time.Second, other)
						}
					}
				}
				before := map[*client]int{}
				for _, c := range []*client{anna, boris, carla} {
					before[c] = c.got(c.others(anna, boris, carla)[0], false)
				}
				time.Sleep(10 * time.Second)
				for c, n := range before {
					require.InDelta(t, 500, c.got(c.others(anna, boris, carla)[0], false)-n, 5, "voice of ten seconds to %s", c.name)
				}
				st := w.shard()
				refused, done, unbound, _ := r.counts()
				require.Zero(t, refused)
				require.Zero(t, done)
				require.Equal(t, 2, st.Links)
				require.Greater(t, st.HandedIn, uint64(2*500))
				require.Greater(t, st.HandedOut, uint64(4*500))
				require.Zero(t, st.Drops.LinkUnsent)
				require.Zero(t, st.Drops.UnknownSource)
				require.Zero(t, st.PathChanges)
				if kind.binds == 0 && !kind.stream {
					require.Zero(t, unbound)
				} else if !kind.stream {
					require.Positive(t, unbound)
				}
			})
		})
	}
}

// others are those of a call but c.
func (c *client) others(all ...*client) (others []*client) {
	for _, o := range all {
		if o != c {
			others = append(others, o)
		}
	}
	return others
}

// TestFromTheRelayToAPathOfOnesOwnAndBack: with a nomination voice goes on after a round trip; a client that does not nominate again,
// pion, moves with its next check, and media shows that it did.
func TestFromTheRelayToAPathOfOnesOwnAndBack(t *testing.T) {
	for name, kind := range map[string]relayKind{"over UDP": {}, "over TCP": {stream: true}} {
		t.Run(name+", nominated", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const delay = 50 * time.Millisecond
				w := newWorld(t, 1, netsim.LinkConfig{Delay: delay})
				defer w.close()
				r := w.newRelay(kind)
				anna := w.newByHand("anna", "demo")
				host := w.newHost()
				own, err := host.ListenUDP(0)
				require.NoError(t, err)
				ways := newRoamer(r.dial(host), own)
				boris := w.byHandOver(ways, "boris", "demo")
				n := 0
				talk := func(d time.Duration) {
					for end := n + int(d/(20*time.Millisecond)); n < end; n++ {
						if n%125 == 0 {
							anna.check(true)
							boris.check(true)
						}
						anna.send(anna.voice(n))
						time.Sleep(20 * time.Millisecond)
					}
				}
				talk(3 * time.Second)
				for moves, way := range []int32{1, 0, 1} {
					ways.by.Store(way)
					boris.check(true)
					before := boris.got("anna")
					talk(3 * time.Second)
					require.GreaterOrEqual(t, boris.got("anna")-before, 149, "nothing is lost while both ways work")
					require.EqualValues(t, moves+1, w.shard().PathChanges)
					handed := w.shard().HandedOut
					talk(time.Second)
					if way == 0 {
						require.Greater(t, w.shard().HandedOut, handed+45)
					} else {
						require.LessOrEqual(t, w.shard().HandedOut, handed+1)
					}
				}
			})
		})
		t.Run(name+", pion", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 1, netsim.LinkConfig{Delay: 20 * time.Millisecond})
				defer w.close()
				r := w.newRelay(kind)
				anna := w.newClient("anna").join("demo").talk()
				host := w.newHost()
				own, err := host.ListenUDP(0)
				require.NoError(t, err)
				ways := newRoamer(r.dial(host), own)
				boris := w.newClientBy("boris", host, ways).join("demo").talk()
				boris.hears(5*time.Second, anna)
				anna.hears(5*time.Second, boris)
				for _, way := range []int32{1, 0} {
					time.Sleep(5 * time.Second)
					moved := time.Now()
					ways.by.Store(way)
					time.Sleep(10 * time.Second)
					gap := gapAfter(anna, boris, false, moved)
					t.Logf("way %d: voice to the others stood still for %v", way, gap)
					require.Less(t, gap, 3*time.Second, "his next check, each 2 s")
					require.Less(t, gapAfter(boris, anna, false, moved), 100*time.Millisecond, "what he is sent goes on by the old way until then")
				}
				require.EqualValues(t, 2, w.shard().PathChanges)
			})
		})
	}
}

// TestALinkIsNoAddress: a relayed address is a number, and on one machine a client may have it for real.
func TestALinkIsNoAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, netsim.LinkConfig{Delay: 20 * time.Millisecond})
		defer w.close()
		r := w.newRelay(relayKind{})
		host := w.newHost()
		conn, err := host.ListenUDP(5000)
		require.NoError(t, err)
		r.next = netip.AddrPortFrom(host.Addr(), 5000)
		anna := r.newClient("anna").join("demo").talk()
		anna.w.eventually(5*time.Second, "anna is connected", anna.isConnected)
		boris := w.newClientBy("boris", host, conn).join("demo").talk()
		require.Equal(t, r.numbers, map[netip.AddrPort]netip.AddrPort{soleKey(r.numbers): netip.MustParseAddrPort(conn.LocalAddr().String())})
		anna.hears(5*time.Second, boris)
		boris.hears(5*time.Second, anna)
		before := [2]int{anna.got(boris, false), boris.got(anna, false)}
		time.Sleep(10 * time.Second)
		require.InDelta(t, 500, anna.got(boris, false)-before[0], 5)
		require.InDelta(t, 500, boris.got(anna, false)-before[1], 5)
		st := w.shard()
		require.Zero(t, st.PathChanges)
		require.Zero(t, st.Drops.Forged)
	})
}

func soleKey[K comparable, V any](m map[K]V) (key K) {
	for key = range m {
		break
	}
	return key
}

// TestTheOnePort: clients of all shards come to one address, and are told apart by what they ask for; who joins again from the same
// socket on another shard is there once he has proved it.
func TestTheOnePort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorldOf(t, 1, netsim.LinkConfig{Delay: 20 * time.Millisecond}, sfu.Config{Sockets: make([]udp.Socket, 3), Front: sfu.Front{UDP: relayPort}})
		defer w.close()
		r := w.newRelay(relayKind{bare: true})
		var all []*client
		for i := range 6 {
			c := r.newClient(fmt.Sprintf("%c", 'a'+i)).join(fmt.Sprintf("room%d", i/2)).talk()
			all = append(all, c)
		}
		for i, c := range all {
			c.hears(5*time.Second, all[i^1])
		}
		st, _ := w.sfu.Stats()
		for _, s := range st.Shards {
			require.Equal(t, 2, s.Peers, "a room each")
			require.Equal(t, 2, s.Links)
		}
		require.Zero(t, st.Strayed)

		conn := r.dial(w.newHost())
		mallory := w.byHandOver(conn, "mallory", "room0")
		link := soleLink(r, conn)
		require.EqualValues(t, 1, link.Home.Load())
		require.NoError(t, mallory.peer.Leave(t.Context()))
		w.eventually(time.Second, "the link is free", func() bool { return link.Home.Load() == 0 })
	})
}

func soleLink(r *relay, conn *relaySocket) *handover.Link {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, l := range r.links {
		if key.client.String() == conn.PacketConn.LocalAddr().String() {
			return l
		}
	}
	return nil
}

// TestWhoJoinsElsewhereFromTheSameSocket: behind the one port a client whose page was loaded anew may find itself on another shard.
// It gets its link once it has answered a check there; until then the peer that it was keeps it, for anybody can write a false
// source address.
func TestWhoJoinsElsewhereFromTheSameSocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorldOf(t, 1, netsim.LinkConfig{Delay: 20 * time.Millisecond}, sfu.Config{Sockets: make([]udp.Socket, 2), Front: sfu.Front{UDP: relayPort}})
		defer w.close()
		r := w.newRelay(relayKind{bare: true})
		anna := w.newByHand("anna", "one")
		conn := r.dial(w.newHost())
		page := newShared(conn)
		boris := w.byHandOver(page.end(), "boris", "one") // on the first shard
		link := soleLink(r, conn)
		require.EqualValues(t, 1, link.Home.Load())
		carla := w.newByHand("carla", "two") // on the second
		dora := w.newByHand("dora", "two")
		n := 0
		talk := func() {
			for range 50 {
				anna.send(anna.voice(n))
				carla.send(carla.voice(n))
				n++
				time.Sleep(20 * time.Millisecond)
			}
		}
		talk()
		heard := boris.got("anna")
		require.InDelta(t, 48, heard, 2)

		for range 10 { // as if from there: dora is not, so who is there answers with a password of his own
			conn.WriteTo(dora.checkBytes(dora.toUfrag+":"+dora.ufrag, dora.toPwd, true), nil)
			time.Sleep(50 * time.Millisecond)
		}
		talk()
		require.EqualValues(t, 1, link.Home.Load())
		require.Equal(t, heard+50, boris.got("anna"))
		st, _ := w.sfu.Stats()
		require.Positive(t, st.Shards[1].Drops.ForgedSTUN, "what boris answered")
		time.Sleep(2 * time.Second) // the second shard's checks end
		st, _ = w.sfu.Stats()
		require.Equal(t, [2]int{1, 0}, [2]int{st.Shards[0].Links, st.Shards[1].Links})

		boris.deaf.Store(true)
		again := w.byHandOver(page.end(), "boris again", "two")
		require.EqualValues(t, 2, link.Home.Load())
		heard = boris.got("anna")
		talk()
		require.InDelta(t, heard, boris.got("anna"), 3)
		require.GreaterOrEqual(t, again.got("carla"), 48)
		st, _ = w.sfu.Stats()
		require.Equal(t, [2]int{0, 1}, [2]int{st.Shards[0].Links, st.Shards[1].Links})
	})
}

// TestAnswersNameTheOnePort: behind the shard's own candidates, or alone.
func TestAnswersNameTheOnePort(t *testing.T) {
	for _, only := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorldOf(t, 1, netsim.LinkConfig{Delay: 20 * time.Millisecond}, sfu.Config{Front: sfu.Front{UDP: relayPort, TCP: 443, Only: only}})
			defer w.close()
			r := w.newRelay(relayKind{bare: true})
			anna := r.newClient("anna").join("demo").talk()
			boris := r.newClient("boris").join("demo").talk()
			anna.hears(5*time.Second, boris)
			var candidates []string
			for line := range strings.SplitSeq(anna.joined.Answer, "\r\n") {
				if v, ok := strings.CutPrefix(line, "a=candidate:"); ok && !contains(candidates, v) {
					candidates = append(candidates, v)
				}
			}
			own := []string{"1 1 udp 2130706431 10.0.0.1 7882 typ host", "2 1 udp 2130706175 10.0.0.1 3478 typ host", "3 1 tcp 1526726143 10.0.0.1 443 typ host tcptype passive"}
			if only {
				own = []string{"1 1 udp 2130706431 10.0.0.1 3478 typ host", "2 1 tcp 1526726399 10.0.0.1 443 typ host tcptype passive"}
			}
			require.Equal(t, own, candidates)
		})
	}
	_, err := sfu.New(sfu.Config{Sockets: make([]udp.Socket, 1), Advertise: []netip.Addr{netip.MustParseAddr("10.0.0.1")}, Front: sfu.Front{Only: true}})
	require.Error(t, err)
}

func contains(all []string, one string) bool {
	for _, s := range all {
		if s == one {
			return true
		}
	}
	return false
}

// TestALinkThatClosesIsAConnectionThatBreaks: media goes on by a path of one's own with the next check there, and a link whose peer
// has left is handed back.
func TestALinkThatClosesIsAConnectionThatBreaks(t *testing.T) {
	for name, kind := range map[string]relayKind{"over UDP": {}, "over TCP": {stream: true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 1, netsim.LinkConfig{Delay: 20 * time.Millisecond})
				defer w.close()
				r := w.newRelay(kind)
				anna := w.newByHand("anna", "demo")
				host := w.newHost()
				own, err := host.ListenUDP(0)
				require.NoError(t, err)
				ways := newRoamer(r.dial(host), own)
				boris := w.byHandOver(ways, "boris", "demo")
				n := 0
				talk := func(rounds int) {
					for range rounds {
						anna.send(anna.voice(n))
						n++
						time.Sleep(20 * time.Millisecond)
					}
				}
				talk(50)
				require.Equal(t, 1, w.shard().Links)
				r.hangUp()
				talk(5)
				require.Zero(t, w.shard().Links)
				before := boris.got("anna")
				talk(50)
				require.Equal(t, before, boris.got("anna"), "there is no way to him")
				ways.by.Store(1)
				boris.check(true)
				talk(50)
				require.GreaterOrEqual(t, boris.got("anna"), before+48, "and some of what waited")

				ways.by.Store(0)
				boris.check(true)
				talk(50)
				require.Equal(t, 1, w.shard().Links)
				require.NoError(t, boris.peer.Leave(t.Context()))
				w.eventually(time.Second, "the link is handed back", func() bool {
					_, done, _, links := r.counts()
					return done == 1 && links == 0
				})
				require.Zero(t, w.shard().Links)
			})
		})
	}
}

// TestARelayedPathIsMeasuredAsAnyOther: on a path that carries 600 kbit/s voice is whole, the picture fits and no queue stands.
func TestARelayedPathIsMeasuredAsAnyOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &narrow{world: newWorld(t, 1, netsim.LinkConfig{Delay: 25 * time.Millisecond})}
		defer n.close()
		n.link = netsim.LinkConfig{Delay: 25 * time.Millisecond, QueueTime: 300 * time.Millisecond}
		r := n.newRelay(relayKind{})
		n.anna = n.newClient("anna")
		n.lenses = n.anna.simulcast()
		n.anna.tracks = []sfu.Track{{ID: "sim", Kind: sfu.Video, Source: sfu.Screen, MID: "14"}}
		n.anna.join("demo").talk()
		host := n.newHost()
		n.viewer = n.newClientBy("viewer", host, r.dial(host))
		n.net.SetLink(host, n.host, netsim.LinkConfig{Delay: 25 * time.Millisecond})
		n.carry(600_000)
		n.viewer.join("demo")
		n.until(5*time.Second, "the viewer is connected", n.viewer.isConnected)
		start := time.Now()
		n.live(15 * time.Second)
		st, ok := n.viewer.peer.Path()
		require.True(t, ok)
		require.Less(t, float64(st.Estimate), 900_000.0, "less than it began with: it was measured")
		require.Greater(t, float64(st.Estimate), 300_000.0)
		require.InDelta(t, float64(50*time.Millisecond), float64(st.RTT), float64(30*time.Millisecond))
		waited := n.queues(start.Add(5*time.Second), time.Now())
		require.NotEmpty(t, waited)
		require.Less(t, waited[len(waited)*95/100], 100*time.Millisecond)
		n.requireVoice(start.Add(time.Second), 400*time.Millisecond)
		require.Positive(t, n.shard().HandedOut)
	})
}

// TestWhatLinksBringHarmsNobody: wrong addresses, packets of any size and from links that have ended, and a flood by one link beside
// a call that another one carries.
func TestWhatLinksBringHarmsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, netsim.LinkConfig{Delay: 20 * time.Millisecond})
		defer w.close()
		r := w.newRelay(relayKind{})
		anna := w.newByHand("anna", "demo")
		boris := w.byHandOver(r.dial(w.newHost()), "boris", "demo")
		here := netip.AddrPortFrom(w.host.Addr(), firstMedia)
		from := netip.MustParseAddrPort("10.0.9.9:5000")
		foreign := func() *handover.Link {
			return handover.New(handover.Config{Addr: from, To: from, Port: r.port, Bare: true, Carrier: r})
		}
		n := 0
		talk := func(each func()) {
			before := boris.got("anna")
			for range 50 {
				anna.send(anna.voice(n))
				n++
				each()
				time.Sleep(20 * time.Millisecond)
			}
			require.InDelta(t, before+50, boris.got("anna"), 2)
		}
		talk(func() {})

		l := foreign()
		voice := anna.voice(1)
		packet, err := voice.Marshal()
		require.NoError(t, err)
		for _, to := range []string{"10.0.0.1:7883", "10.0.0.2:7882", "[2001:db8::1]:7882", "10.0.0.1:0"} {
			require.False(t, w.sfu.Deliver(netip.MustParseAddrPort(to), l, packet))
		}
		require.False(t, w.sfu.Deliver(netip.AddrPort{}, l, packet), "media behind the one port of nobody known")
		require.False(t, w.sfu.Deliver(netip.AddrPort{}, l, boris.checkBytes("nobody:here", boris.toPwd, true)))
		st, _ := w.sfu.Stats()
		require.EqualValues(t, 6, st.Strayed)
		require.True(t, w.sfu.Deliver(netip.MustParseAddrPort("[::ffff:10.0.0.1]:7882"), l, packet), "the same address")

		require.False(t, w.sfu.Deliver(here, l, make([]byte, handover.MaxSize+1)))
		for size := range handover.MaxSize + 1 {
			b := make([]byte, size)
			if size > 0 {
				b[0] = byte(size)
			}
			w.sfu.Deliver(here, l, b)
			synctest.Wait()
		}
		require.EqualValues(t, 1, w.shard().Drops.LinkOversize)

		before := w.shard()
		talk(func() {
			for range 2000 {
				w.sfu.Deliver(here, l, packet)
			}
		})
		after := w.shard()
		require.Positive(t, after.Drops.LinkFlood-before.Drops.LinkFlood)
		require.Zero(t, after.Drops.LinkOverflow)
		require.Positive(t, after.Drops.UnknownSource-before.Drops.UnknownSource)
		require.Equal(t, 1, after.Links)

		// A check with a wrong password, media sealed with nobody's keys, and all of it once more from links that ended.
		for _, b := range [][]byte{boris.checkBytes(boris.toUfrag+":"+boris.ufrag, "wrong password wrong password", true), packet} {
			w.sfu.Deliver(here, l, b)
		}
		ended := foreign()
		w.sfu.Closed(ended)
		w.sfu.Closed(ended)
		w.sfu.Deliver(here, ended, boris.checkBytes(boris.toUfrag+":"+boris.ufrag, boris.toPwd, true))
		talk(func() {})
		require.Equal(t, 1, w.shard().Links)
		require.Zero(t, w.shard().Faults)
		_, done, _, _ := r.counts()
		require.Zero(t, done)
	})
}

// TestWhoClaimsAnothersLinkHasToProveIt: an authentic check of mallory's own comes through the link of boris, whose source address is
// easy to write. The answer to ours tells who is there.
func TestWhoClaimsAnothersLinkHasToProveIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, netsim.LinkConfig{Delay: 20 * time.Millisecond})
		defer w.close()
		r := w.newRelay(relayKind{})
		anna := w.newByHand("anna", "demo")
		conn := r.dial(w.newHost())
		boris := w.byHandOver(conn, "boris", "demo")
		mallory := w.newByHand("mallory", "demo")
		for n := range 250 {
			if n%10 == 0 {
				conn.WriteTo(mallory.checkBytes(mallory.toUfrag+":"+mallory.ufrag, mallory.toPwd, true), boris.server)
			}
			anna.send(anna.voice(n))
			time.Sleep(20 * time.Millisecond)
		}
		require.GreaterOrEqual(t, boris.got("anna"), 248)
		require.GreaterOrEqual(t, mallory.got("anna"), 248)
		require.Zero(t, w.shard().PathChanges)
		require.Positive(t, w.shard().Drops.ForgedSTUN)
	})
}

// TestOneRelayedAddressBeforeTwoOfOurs: a client checks all candidates through its relay, and so comes by a link for each, all of one
// address; rooms are on different shards, which the port names, and the front's port names none.
func TestOneRelayedAddressBeforeTwoOfOurs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const front = firstMedia + 8
		w := newWorldOf(t, 1, netsim.LinkConfig{Delay: 20 * time.Millisecond}, sfu.Config{Sockets: make([]udp.Socket, 2), Front: sfu.Front{UDP: front}})
		defer w.close()
		r := w.newRelay(relayKind{})
		var all []*client
		for i := range 4 {
			all = append(all, r.newClient(fmt.Sprintf("%c", 'a'+i)).join(fmt.Sprintf("room%d", i/2)).talk())
		}
		for i, c := range all {
			c.hears(5*time.Second, all[i^1])
		}
		time.Sleep(5 * time.Second)
		before := all[3].got(all[2], false)
		time.Sleep(5 * time.Second)
		require.InDelta(t, 250, all[3].got(all[2], false)-before, 3)
		st, _ := w.sfu.Stats()
		for _, s := range st.Shards {
			require.Equal(t, 2, s.Peers)
			require.Equal(t, 4, s.Links, "two each")
		}
		require.Zero(t, st.Strayed)
		for key, l := range r.links {
			require.Equal(t, r.numbers[key.client], l.Addr())
		}
	})
}

// TestARelayedClientRestartsICE: its new checks come by the link that it has.
func TestARelayedClientRestartsICE(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorldOf(t, 1, netsim.LinkConfig{Delay: 20 * time.Millisecond}, sfu.Config{Front: sfu.Front{UDP: relayPort, Only: true}})
		defer w.close()
		r := w.newRelay(relayKind{bare: true})
		anna := r.newClient("anna").join("demo").talk()
		boris := r.newClient("boris").join("demo").talk()
		anna.hears(5*time.Second, boris)
		for range 3 { // the ufrag before the last is forgotten
			boris.negotiate(&webrtc.OfferOptions{ICERestart: true})
			restarted := time.Now()
			time.Sleep(6 * time.Second)
			require.Less(t, gapAfter(anna, boris, false, restarted), 200*time.Millisecond)
			require.Less(t, gapAfter(boris, anna, false, restarted), 200*time.Millisecond)
		}
		require.Equal(t, 2, w.shard().Links)
		st, _ := w.sfu.Stats()
		require.Zero(t, st.Strayed)

		// Who has left is found no more.
		ufrag := ""
		for line := range strings.SplitSeq(boris.joined.Answer, "\r\n") {
			if v, ok := strings.CutPrefix(line, "a=ice-ufrag:"); ok {
				ufrag = v
			}
		}
		_, known := w.sfu.Home([]byte(ufrag))
		require.False(t, known, "three generations ago")
		for line := range strings.SplitSeq(anna.joined.Answer, "\r\n") {
			if v, ok := strings.CutPrefix(line, "a=ice-ufrag:"); ok {
				ufrag = v
			}
		}
		home, known := w.sfu.Home([]byte(ufrag))
		require.True(t, known)
		require.Zero(t, home)
		anna.leave()
		_, known = w.sfu.Home([]byte(ufrag))
		require.False(t, known)
	})
}
