package netem_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/bench/netem"
	"github.com/tolkyn/tolkyn/internal/netsim"
)

const ms = time.Millisecond

// stage is a line in virtual time, over a network that does nothing, to a server that keeps what it hears.
type stage struct {
	t      *testing.T
	net    *netsim.Network
	host   *netsim.Host // the client
	line   *netem.Line
	conn   *netem.Conn
	server net.PacketConn
	log    passages
	events []netem.EventKind
}

// play runs f in a bubble, and closes everything in it: a goroutine left behind would fail the test.
func play(t *testing.T, cfg netem.LineConfig, f func(s *stage)) {
	synctest.Test(t, func(t *testing.T) {
		s := &stage{t: t, net: netsim.New(1)}
		defer s.net.Close()
		s.host = s.net.Host(netip.MustParseAddr("10.0.0.2"))
		var err error
		s.server, err = s.net.Host(netip.MustParseAddr("10.0.0.1")).ListenUDP(0)
		require.NoError(t, err)
		cfg.Log = s.log.add
		cfg.On = func(e netem.Event, err error) {
			require.NoError(t, err)
			s.events = append(s.events, e.Kind)
		}
		s.line, err = netem.NewLine(cfg)
		require.NoError(t, err)
		defer func() { require.NoError(t, s.line.Close()) }()
		s.conn = s.open()
		f(s)
	})
}

func (s *stage) open() *netem.Conn {
	under, err := s.host.ListenUDP(0)
	require.NoError(s.t, err)
	conn, err := s.line.Conn(under, func() (net.PacketConn, error) { return s.host.ListenUDP(0) })
	require.NoError(s.t, err)
	return conn
}

// heard is a datagram that came, and when.
type heard struct {
	number int
	at     time.Duration
	from   string
}

// hear reads numbered datagrams until nothing has come for a minute.
func (s *stage) hear(conn net.PacketConn, began time.Time) []heard {
	var all []heard
	buf := make([]byte, 2000)
	for {
		require.NoError(s.t, conn.SetReadDeadline(time.Now().Add(time.Minute)))
		_, from, err := conn.ReadFrom(buf)
		if err != nil {
			require.ErrorIs(s.t, err, os.ErrDeadlineExceeded)
			return all
		}
		all = append(all, heard{int(binary.BigEndian.Uint32(buf)), time.Since(began), from.String()})
	}
}

func datagram(number, size int) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(number)), make([]byte, size-4)...)
}

// say sends count datagrams of size bytes, one each interval.
func (s *stage) say(from net.PacketConn, to net.Addr, count, size int, interval time.Duration) {
	for i := range count {
		_, err := from.WriteTo(datagram(i, size), to)
		require.NoError(s.t, err)
		time.Sleep(interval)
	}
}

// What arrives, and when, is exactly what the model says of what was sent: both ways, for every kind of trouble.
func TestLineIsTheModel(t *testing.T) {
	const count, seed, payload = 2000, 7, 500
	for name, cfg := range map[string]netsim.LinkConfig{
		"perfect": {},
		"loss":    {Loss: 0.1, Delay: 40 * ms},
		"bursts":  {Burst: netsim.Burst{Enter: 0.02, Leave: 0.3}, Delay: ms},
		"jitter":  {Delay: 20 * ms, Jitter: 50 * ms, Spread: netsim.Pareto},
		"reorder": {Delay: 20 * ms, Jitter: 50 * ms, JitterReorders: true, Duplicate: 0.05},
		"rate":    {Rate: 400_000, QueueTime: 200 * ms, Delay: 30 * ms},
	} {
		t.Run(name, func(t *testing.T) {
			path := netem.Path{Up: cfg, Down: cfg}
			play(t, netem.LineConfig{Seed: seed, Links: []netem.Path{path}}, func(s *stage) {
				began := time.Now()
				for d, ends := range map[netem.Direction][2]net.PacketConn{netem.Up: {s.conn, s.server}, netem.Down: {s.server, s.conn}} {
					begin := time.Since(began)
					go s.say(ends[0], ends[1].LocalAddr(), count, payload, 5*ms)
					got := s.hear(ends[1], began)

					model := netsim.NewLink(cfg, seed+uint64(d))
					var want []heard
					lost := 0
					for i, p := range s.log.of(0, d) {
						require.Equal(t, begin+time.Duration(i)*5*ms, p.Sent)
						require.Equal(t, payload+28, p.Size)
						require.Equal(t, model.Send(p.Sent, p.Size), p.Fate)
						if p.Fate.Verdict != netsim.Arrives {
							lost++
						}
						for range p.Fate.Copies {
							want = append(want, heard{i, p.Fate.At, ends[0].LocalAddr().String()})
						}
					}
					slices.SortStableFunc(want, func(a, b heard) int { return int(a.at - b.at) })
					require.Equal(t, want, got)

					did := s.line.Accounts()[0][d].Did
					require.EqualValues(t, count, did.Sent)
					require.EqualValues(t, lost, did.Lost+did.QueueFull)
					require.EqualValues(t, len(got), did.Arrived)
					require.EqualValues(t, len(got)*(payload+28), did.ArrivedBytes)
					require.Zero(t, did.Late.Max, "virtual time is punctual")
				}
			})
		})
	}
}

// Loss 5 %, delay 100 ms, jitter 20 ms: the account holds what was asked against what was done.
func TestLineAccounts(t *testing.T) {
	cfg := netsim.LinkConfig{Loss: 0.05, Delay: 100 * ms, Jitter: 20 * ms, JitterReorders: true}
	play(t, netem.LineConfig{Seed: 3, Links: []netem.Path{{Up: cfg}}}, func(s *stage) {
		go s.say(s.conn, s.server.LocalAddr(), 10_000, 200, 10*ms)
		got := s.hear(s.server, time.Now())
		up := s.line.Accounts()[0][netem.Up]
		require.InDelta(t, 0.05, up.Asked.Loss, 1e-9)
		require.Equal(t, float64(10_000-len(got))/10_000, up.Did.Loss, "exact: what is missing at the other end")
		require.InDelta(t, 0.05, up.Did.Loss, 0.01)
		require.Equal(t, 110*ms, up.Asked.Delay)
		require.Equal(t, up.Asked.Due, up.Did.Delay)
		require.InDelta(t, 110, up.Did.Delay.P50.Milliseconds(), 1)
		require.InDelta(t, 120, up.Did.Delay.P99.Milliseconds(), 1)

		rows := netem.Rows("aru", s.line.Accounts())
		require.Len(t, rows, 2)
		require.Equal(t, "aru", rows[0].Name)
		require.Equal(t, "up", rows[0].Direction)
		require.EqualValues(t, 10_000, rows[0].Packets)
		require.InDelta(t, 110, rows[0].AskedMS, 1)
		require.Equal(t, rows[0].AskedMS, rows[0].DelayP50)
		require.Zero(t, rows[1].Packets)
	})
}

// All sockets of a client share its rate: 972 bytes and 28 of headers at 8 Mbit/s take 1 ms each.
func TestLineSharesItsRate(t *testing.T) {
	play(t, netem.LineConfig{Links: []netem.Path{{Up: netsim.LinkConfig{Rate: 8_000_000}}}}, func(s *stage) {
		second := s.open()
		began := time.Now()
		for i := range 10 {
			for _, conn := range []*netem.Conn{s.conn, second} {
				_, err := conn.WriteTo(datagram(i, 972), s.server.LocalAddr())
				require.NoError(t, err)
			}
		}
		got := s.hear(s.server, began)
		require.Len(t, got, 20)
		for i, h := range got {
			require.Equal(t, time.Duration(i+1)*ms, h.at)
		}
	})
}

func TestLineCountsIPv6Headers(t *testing.T) {
	play(t, netem.LineConfig{Links: []netem.Path{{}}}, func(s *stage) {
		_, err := s.conn.WriteTo(make([]byte, 100), &net.UDPAddr{IP: net.ParseIP("fd77::1"), Port: 9})
		require.NoError(t, err)
		require.Equal(t, 148, s.log.of(0, netem.Up)[0].Size)
	})
}

// A rebind: the server sees the client elsewhere, the client notices nothing, the old place is closed.
func TestLineRebind(t *testing.T) {
	play(t, netem.LineConfig{Links: []netem.Path{{Down: netsim.LinkConfig{Delay: 10 * ms}}}}, func(s *stage) {
		local := s.conn.LocalAddr().String()
		exchange := func() net.Addr {
			buf := make([]byte, 10)
			_, err := s.conn.WriteTo([]byte("where?"), s.server.LocalAddr())
			require.NoError(t, err)
			_, from, err := s.server.ReadFrom(buf)
			require.NoError(t, err)
			require.Equal(t, s.conn.Mapped().String(), from.String())
			_, err = s.server.WriteTo([]byte("there"), from)
			require.NoError(t, err)
			_, _, err = s.conn.ReadFrom(buf)
			require.NoError(t, err)
			return from
		}
		before := exchange()
		require.Equal(t, local, before.String())
		_, err := s.server.WriteTo(datagram(1, 4), before)
		require.NoError(t, err)
		synctest.Wait() // it has passed the NAT
		require.NoError(t, s.line.Rebind())
		_, err = s.server.WriteTo(datagram(2, 4), before)
		require.NoError(t, err)
		got := s.hear(s.conn, time.Now())
		require.Len(t, got, 1, "what was under way arrives, what comes to the old port does not")
		require.Equal(t, 1, got[0].number)
		require.NoError(t, s.conn.SetReadDeadline(time.Time{}))
		require.NotEqual(t, before.String(), exchange().String())
		require.Equal(t, local, s.conn.LocalAddr().String())

		stuck, err := s.host.ListenUDP(0)
		require.NoError(t, err)
		_, err = s.line.Conn(stuck, nil)
		require.NoError(t, err)
		require.ErrorContains(t, s.line.Rebind(), "no way to open another")
	})
}

// Events happen at their times, and once more after a restart.
func TestLineEvents(t *testing.T) {
	second := time.Second
	play(t, netem.LineConfig{
		Links: []netem.Path{{}, {Up: netsim.LinkConfig{Delay: 300 * ms}}},
		Events: []netem.Event{ // in no order
			{At: 50 * second, Kind: netem.EventCutUDP, Link: 1},
			{At: 60 * second, Kind: netem.EventMendUDP, Link: 1},
			{At: 10 * second, Kind: netem.EventSet, Path: netem.Path{Up: netsim.LinkConfig{Delay: 100 * ms}}},
			{At: 20 * second, Kind: netem.EventRebind},
			{At: 30 * second, Kind: netem.EventBlackout, For: 5 * second},
			{At: 40 * second, Kind: netem.EventMove, Link: 1},
		},
	}, func(s *stage) {
		for round := range 2 {
			began := time.Now()
			time.Sleep(ms / 2) // between the events
			go s.say(s.conn, s.server.LocalAddr(), 70, 100, second)
			got := s.hear(s.server, began)
			synctest.Wait() // for the events
			at := map[int]time.Duration{}
			ports := map[string][]int{}
			for _, h := range got {
				at[h.number] = h.at - time.Duration(h.number)*second - ms/2
				ports[h.from] = append(ports[h.from], h.number)
			}
			for i := range 70 {
				took, came := at[i]
				switch {
				case i >= 30 && i < 35, i >= 50 && i < 60:
					require.False(t, came, i)
				case i < 10:
					require.Zero(t, took, i)
				case i < 40:
					require.Equal(t, 100*ms, took, i)
				default:
					require.Equal(t, 300*ms, took, i)
				}
			}
			require.Len(t, ports, 3, "before the rebind, until the move, after it")
			require.Equal(t, []netem.EventKind{"set", "rebind", "blackout", "move", "cut_udp", "mend_udp"}, s.events[round*6:])
			accounts := s.line.Accounts()
			require.EqualValues(t, 5*(round+1), accounts[0][netem.Up].Did.Dark)
			require.EqualValues(t, 10*(round+1), accounts[1][netem.Up].Did.Blocked)
			require.InDelta(t, 5.0/40, accounts[0][netem.Up].Asked.Loss, 1e-9)
			require.InDelta(t, 5.0/40, accounts[0][netem.Up].Did.Loss, 1e-9)
			s.line.Restart()
		}
	})
}

func TestLineFollowsATrace(t *testing.T) {
	trace := netsim.Trace{Steps: []netsim.Step{{Link: netsim.LinkConfig{Delay: 10 * ms}}, {At: time.Second, Link: netsim.LinkConfig{Delay: 20 * ms}}}, Loop: 2 * time.Second}
	play(t, netem.LineConfig{Links: []netem.Path{{UpTrace: trace}}}, func(s *stage) {
		began := time.Now()
		go s.say(s.conn, s.server.LocalAddr(), 40, 100, 100*ms)
		for _, h := range s.hear(s.server, began) {
			want := 10 * ms
			if h.number/10%2 == 1 {
				want = 20 * ms
			}
			require.Equal(t, time.Duration(h.number)*100*ms+want, h.at)
		}
		s.line.Set(0, netem.Up, netsim.LinkConfig{Delay: 5 * ms})
		began = time.Now()
		go s.say(s.conn, s.server.LocalAddr(), 1, 100, 0)
		require.Equal(t, 5*ms, s.hear(s.server, began)[0].at)
	})
}

// Queues are bounded, and what they drop is counted by name.
func TestLineBounds(t *testing.T) {
	play(t, netem.LineConfig{Links: []netem.Path{{Up: netsim.LinkConfig{Delay: time.Second}}}}, func(s *stage) {
		for i := range 10_000 {
			_, err := s.conn.WriteTo(datagram(i, 4), s.server.LocalAddr())
			require.NoError(t, err)
		}
		_, err := s.conn.WriteTo(make([]byte, 1473), s.server.LocalAddr())
		require.NoError(t, err)
		up := s.line.Accounts()[0][netem.Up].Did
		require.EqualValues(t, 10_000-8192, up.Overflow)
		require.EqualValues(t, 1, up.TooLong)

		time.Sleep(2 * time.Second)
		for i := range 500 { // nobody reads
			_, err := s.server.WriteTo(datagram(i, 4), s.conn.LocalAddr())
			require.NoError(t, err)
		}
		time.Sleep(time.Second)
		down := s.line.Accounts()[0][netem.Down].Did
		require.EqualValues(t, 256, down.Arrived)
		require.EqualValues(t, 500-256, down.Refused)
	})
}

// What was sent before Close leaves: the farewell of a call.
func TestConnClose(t *testing.T) {
	play(t, netem.LineConfig{Links: []netem.Path{{Up: netsim.LinkConfig{Delay: 50 * ms}}}}, func(s *stage) {
		began := time.Now()
		_, err := s.conn.WriteTo(datagram(1, 4), s.server.LocalAddr())
		require.NoError(t, err)
		failed := make(chan error)
		go func() {
			_, _, err := s.conn.ReadFrom(make([]byte, 1))
			failed <- err
		}()
		synctest.Wait()
		require.NoError(t, s.conn.Close())
		require.ErrorIs(t, <-failed, net.ErrClosed)
		require.ErrorIs(t, s.conn.Close(), net.ErrClosed)
		_, err = s.conn.WriteTo(nil, s.server.LocalAddr())
		require.ErrorIs(t, err, net.ErrClosed)
		got := s.hear(s.server, began)
		require.Len(t, got, 1)
		require.Equal(t, 50*ms, got[0].at)
		_, err = s.server.WriteTo(datagram(1, 4), s.conn.LocalAddr())
		require.NoError(t, err)
		synctest.Wait()
		require.Positive(t, s.net.Stats().Unreachable, "the real socket is closed by now")

		require.NoError(t, s.line.Close())
		under, err := s.host.ListenUDP(0)
		require.NoError(t, err)
		_, err = s.line.Conn(under, nil)
		require.ErrorIs(t, err, net.ErrClosed)
	})
}

func TestConnDeadline(t *testing.T) {
	play(t, netem.LineConfig{Links: []netem.Path{{}}}, func(s *stage) {
		began := time.Now()
		require.NoError(t, s.conn.SetDeadline(began.Add(time.Second)))
		_, _, err := s.conn.ReadFrom(nil)
		var timeout net.Error
		require.True(t, errors.As(err, &timeout) && timeout.Timeout())
		require.Equal(t, time.Second, time.Since(began))
		require.NoError(t, s.conn.SetReadDeadline(time.Time{}))
		require.NoError(t, s.conn.SetWriteDeadline(began), "a write never blocks")
		_, err = s.server.WriteTo([]byte("late"), s.conn.LocalAddr())
		require.NoError(t, err)
		size, _, err := s.conn.ReadFrom(make([]byte, 3))
		require.NoError(t, err)
		require.Equal(t, 3, size, "cut")
	})
}

// When the real socket dies, whoever reads is told why.
func TestConnTellsOfItsSocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := netsim.New(1)
		defer n.Close()
		under, err := n.Host(netip.MustParseAddr("10.0.0.2")).ListenUDP(0)
		require.NoError(t, err)
		line, err := netem.NewLine(netem.LineConfig{Links: []netem.Path{{}}})
		require.NoError(t, err)
		conn, err := line.Conn(under, nil)
		require.NoError(t, err)
		require.NoError(t, under.Close())
		_, _, err = conn.ReadFrom(nil)
		require.ErrorIs(t, err, net.ErrClosed)
		require.NoError(t, conn.Close())
		require.NoError(t, line.Close())
	})
}

// A pion call over two lines at 5 % loss, with a rebind and a blackout in it, in virtual time.
func TestPionOverLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := netsim.New(1)
		defer n.Close()
		var peers []*webrtc.PeerConnection
		var lines []*netem.Line
		var muxes []ice.UDPMux
		path := netem.RoundTrip(50 * ms)
		path.Up.Loss, path.Down.Loss = 0.05, 0.05
		for i := range 2 {
			host := n.Host(netip.AddrFrom4([4]byte{10, 0, 0, byte(1 + i)}))
			line, err := netem.NewLine(netem.LineConfig{Seed: uint64(i), Links: []netem.Path{path}, Events: []netem.Event{
				{At: 5 * time.Second, Kind: netem.EventBlackout, For: time.Second},
			}})
			require.NoError(t, err)
			under, err := host.ListenUDP(0)
			require.NoError(t, err)
			conn, err := line.Conn(under, func() (net.PacketConn, error) { return host.ListenUDP(0) })
			require.NoError(t, err)
			mux := webrtc.NewICEUDPMux(nil, conn)
			var settings webrtc.SettingEngine
			settings.SetICEUDPMux(mux)
			settings.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
			settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
			pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(settings)).NewPeerConnection(webrtc.Configuration{})
			require.NoError(t, err)
			peers, lines, muxes = append(peers, pc), append(lines, line), append(muxes, mux)
		}
		words := make(chan string, 1000)
		peers[1].OnDataChannel(func(d *webrtc.DataChannel) {
			d.OnMessage(func(m webrtc.DataChannelMessage) { words <- string(m.Data) })
		})
		channel, err := peers[0].CreateDataChannel("words", nil)
		require.NoError(t, err)
		opened := make(chan struct{})
		channel.OnOpen(func() { close(opened) })
		connect(t, peers[0], peers[1])
		<-opened
		for i := range 100 {
			require.NoError(t, channel.SendText(fmt.Sprint(i)))
			require.Equal(t, fmt.Sprint(i), <-words)
			time.Sleep(100 * ms)
		}
		talks := lines[0].Accounts()[0][netem.Up].Did
		require.Positive(t, talks.Lost)
		require.Positive(t, talks.Dark)
		for i := range peers {
			require.NoError(t, peers[i].Close())
			require.NoError(t, muxes[i].Close())
			require.NoError(t, lines[i].Close())
		}
	})
}

// connect exchanges one offer and answer with all candidates in them.
func connect(t *testing.T, offerer, answerer *webrtc.PeerConnection) {
	t.Helper()
	offer, err := offerer.CreateOffer(nil)
	require.NoError(t, err)
	gathered := webrtc.GatheringCompletePromise(offerer)
	require.NoError(t, offerer.SetLocalDescription(offer))
	<-gathered
	require.NoError(t, answerer.SetRemoteDescription(*offerer.LocalDescription()))
	answer, err := answerer.CreateAnswer(nil)
	require.NoError(t, err)
	gathered = webrtc.GatheringCompletePromise(answerer)
	require.NoError(t, answerer.SetLocalDescription(answer))
	<-gathered
	require.NoError(t, offerer.SetRemoteDescription(*answerer.LocalDescription()))
}

// In real time, over real sockets: never early, and what is late is told.
func TestLineInRealTime(t *testing.T) {
	for _, family := range []string{"127.0.0.1", "::1"} {
		server, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(family)})
		require.NoError(t, err)
		defer server.Close()
		var log passages
		line, err := netem.NewLine(netem.LineConfig{
			Links: []netem.Path{{Up: netsim.LinkConfig{Delay: 30 * ms}, Down: netsim.LinkConfig{Delay: 20 * ms}}}, Log: log.add,
		})
		require.NoError(t, err)
		conn, err := line.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(family)})
		require.NoError(t, err)
		require.NoError(t, conn.SetReadBuffer(1<<20))
		require.NoError(t, conn.SetWriteBuffer(1<<20))
		go echo(server)
		for i := range 6 {
			if i == 3 {
				require.NoError(t, line.Rebind())
			}
			began := time.Now()
			_, err = conn.WriteTo(datagram(i, 100), server.LocalAddr())
			require.NoError(t, err)
			require.NoError(t, conn.SetReadDeadline(began.Add(10*time.Second)))
			buf := make([]byte, 200)
			size, from, err := conn.ReadFrom(buf)
			require.NoError(t, err)
			require.Equal(t, datagram(i, 100), buf[:size])
			require.Equal(t, server.LocalAddr().String(), from.String())
			require.GreaterOrEqual(t, time.Since(began), 50*ms)
		}
		for d, delay := range map[netem.Direction]time.Duration{netem.Up: 30 * ms, netem.Down: 20 * ms} {
			passed := log.of(0, d)
			require.Len(t, passed, 6)
			for _, p := range passed {
				require.Equal(t, delay, p.Fate.At-p.Sent)
			}
			did := line.Accounts()[0][d].Did
			require.GreaterOrEqual(t, did.Delay.Max, delay)
			t.Logf("%v: late by p50 %v, at most %v", d, did.Late.P50, did.Late.Max)
		}
		require.NoError(t, line.Close())
	}
}

func TestNewLineNamesWhatIsWrong(t *testing.T) {
	for want, cfg := range map[string]netem.LineConfig{
		"Config.Links":              {},
		"trace up: step":            {Links: []netem.Path{{UpTrace: netsim.Trace{Steps: []netsim.Step{{At: -1}}}}}},
		"trace down: the":           {Links: []netem.Path{{DownTrace: netsim.Trace{Loop: -1}}}},
		"give a time from 0":        {Links: []netem.Path{{}}, Events: []netem.Event{{At: -1, Kind: netem.EventRebind}}},
		"give 0 to 0":               {Links: []netem.Path{{}}, Events: []netem.Event{{Kind: netem.EventMove, Link: 1}}},
		`unknown kind "earthquake"`: {Links: []netem.Path{{}}, Events: []netem.Event{{Kind: "earthquake"}}},
		"a blackout of 0s":          {Links: []netem.Path{{}}, Events: []netem.Event{{Kind: netem.EventBlackout}}},
		"Events[0]: trace up":       {Links: []netem.Path{{}}, Events: []netem.Event{{Kind: netem.EventSet, Path: netem.Path{UpTrace: netsim.Trace{Loop: -1}}}}},
	} {
		_, err := netem.NewLine(cfg)
		require.ErrorContains(t, err, want)
	}
}

// A datagram to a server and back over real sockets.
func BenchmarkLine(b *testing.B) {
	server, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(b, err)
	defer server.Close()
	go echo(server)
	line, err := netem.NewLine(netem.LineConfig{Links: []netem.Path{{}}})
	require.NoError(b, err)
	defer line.Close()
	conn, err := line.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(b, err)
	buf := make([]byte, 1200)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := conn.WriteTo(buf, server.LocalAddr()); err != nil {
			b.Fatal(err)
		}
		if _, _, err := conn.ReadFrom(buf); err != nil {
			b.Fatal(err)
		}
	}
}
