package udp_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/netsim"
	"github.com/tolkyn/tolkyn/internal/udp"
)

// pair is two sockets that reach each other.
type pair struct{ a, b udp.Socket }

// behaviours hold for every form of Socket, over IPv4 and IPv6.
var behaviours = map[string]func(t *testing.T, s pair){
	"datagrams arrive in order":                    testOrder,
	"runs arrive as the datagrams they were":       testRuns,
	"one read takes many datagrams":                testBatching,
	"a read without datagrams is empty":            testEmptyRead,
	"wake ends the current wait or the next":       testWake,
	"wait ends with its timeout":                   testWaitTimeout,
	"wait ends when something can be read":         testWaitReadable,
	"close ends a wait and everything else":        testClose,
	"a datagram too long is dropped and counted":   testTruncation,
	"overflow is bounded and counted":              testOverflow,
	"a bad destination costs only its own":         testBadDestination,
	"any goroutine may write beside a flush":       testWriteTo,
	"a batch and a queue serve more than one form": testSharedBuffers,
}

func listenBoth(listen func(netip.AddrPort) (udp.Socket, error)) func(*testing.T, bool, func(*testing.T, pair)) {
	return func(t *testing.T, ipv6 bool, behaviour func(*testing.T, pair)) {
		addr := netip.MustParseAddrPort("127.0.0.1:0")
		if ipv6 {
			addr = netip.MustParseAddrPort("[::1]:0")
		}
		a, err := listen(addr)
		require.NoError(t, err)
		defer a.Close()
		b, err := listen(addr)
		require.NoError(t, err)
		defer b.Close()
		behaviour(t, pair{a, b})
	}
}

func listenWith(cfg udp.Config) func(netip.AddrPort) (udp.Socket, error) {
	return func(addr netip.AddrPort) (udp.Socket, error) { return udp.Listen(addr, cfg) }
}

// simulated runs a behaviour in a bubble, where a socket that blocked on anything but channels would stop the clock.
func simulated(t *testing.T, ipv6 bool, behaviour func(*testing.T, pair)) {
	synctest.Test(t, func(t *testing.T) {
		n := netsim.New(1)
		defer n.Close()
		first, second := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
		if ipv6 {
			first, second = netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
		}
		a, err := n.Host(first).Socket(0)
		require.NoError(t, err)
		b, err := n.Host(second).Socket(0)
		require.NoError(t, err)
		behaviour(t, pair{a, b})
		require.NoError(t, a.Close())
		require.NoError(t, b.Close())
	})
}

func TestSocket(t *testing.T) {
	forms := map[string]func(t *testing.T, ipv6 bool, behaviour func(*testing.T, pair)){
		"raw":                 listenBoth(listenWith(udp.Config{ReadBuffer: 1 << 20})),
		"raw without offload": listenBoth(listenWith(udp.Config{DisableGSO: true, DisableGRO: true, ReadBuffer: 1 << 20})),
		"raw to plain":        listenBoth(listenWith(udp.Config{DisableGRO: true, ReadBuffer: 1 << 20})),
		"raw with times":      listenBoth(listenWith(udp.Config{Timestamps: true, ReadBuffer: 1 << 20})),
		"portable":            listenBoth(listenWith(udp.Config{Portable: true})),
		"portable single":     listenBoth(udp.ListenSingle),
		"memory":              simulated,
	}
	for form, run := range forms {
		for family, ipv6 := range map[string]bool{"IPv4": false, "IPv6": true} {
			for name, behaviour := range behaviours {
				t.Run(form+"/"+family+"/"+name, func(t *testing.T) { run(t, ipv6, behaviour) })
			}
		}
	}
}

// send flushes datagrams for one destination through q, whenever it is full and at the end.
func (s pair) send(t *testing.T, q *udp.Queue, to netip.AddrPort, datagrams ...[]byte) {
	t.Helper()
	for _, d := range datagrams {
		space := q.Next(to)
		if space == nil {
			require.NoError(t, s.a.Flush(q))
			space = q.Next(to)
		}
		q.Commit(copy(space, d))
	}
	require.NoError(t, s.a.Flush(q))
	require.Zero(t, q.Len())
}

// receive reads count datagrams at b.
func (s pair) receive(t *testing.T, count int) [][]byte {
	t.Helper()
	var got [][]byte
	batch := udp.NewBatch()
	for len(got) < count {
		n := next(t, s.b, batch)
		for i := range n {
			data, from := batch.Datagram(i)
			require.Equal(t, s.a.LocalAddr(), from)
			got = append(got, bytes.Clone(data))
		}
	}
	require.Len(t, got, count)
	return got
}

// next waits for the next datagrams, which are known to come.
func next(t *testing.T, s udp.Socket, batch *udp.Batch) int {
	t.Helper()
	for {
		n, err := s.Read(batch)
		require.NoError(t, err)
		require.Equal(t, n, batch.Len())
		if n > 0 {
			return n
		}
		begin := time.Now()
		require.NoError(t, s.Wait(10*time.Second))
		require.Less(t, time.Since(begin), 10*time.Second, "a datagram did not arrive")
	}
}

// datagram makes a datagram of this size that begins with a number.
func datagram(number, size int) []byte {
	d := bytes.Repeat([]byte{byte(number)}, size)
	binary.BigEndian.PutUint32(d, uint32(number))
	return d
}

func testOrder(t *testing.T, s pair) {
	var sent [][]byte
	for i := range 500 {
		sent = append(sent, datagram(i, 4+i*7%1000))
	}
	s.send(t, udp.NewQueue(100), s.b.LocalAddr(), sent...)
	require.Equal(t, sent, s.receive(t, len(sent)))
	out, in := s.a.Stats(), s.b.Stats()
	require.EqualValues(t, len(sent), out.SentDatagrams)
	require.EqualValues(t, len(sent), in.ReceivedDatagrams)
	require.Equal(t, out.SentBytes, in.ReceivedBytes)
}

func testRuns(t *testing.T, s pair) {
	var sent [][]byte
	for _, size := range []int{
		900, 900, 900, 500, // a smaller datagram ends a run
		500, 500, 501, // a larger one begins another
		1200, 1200,
		4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, // more than MaxRun
		1536, 1536, 1, 1,
	} {
		d := bytes.Repeat([]byte{byte(len(sent))}, size)
		sent = append(sent, d)
	}
	s.send(t, udp.NewQueue(len(sent)), s.b.LocalAddr(), sent...)
	require.Equal(t, sent, s.receive(t, len(sent)))
}

func testBatching(t *testing.T, s pair) {
	q := udp.NewQueue(64)
	for i := range 64 {
		copy(q.Next(s.b.LocalAddr()), datagram(i, 100))
		q.Commit(100)
	}
	require.True(t, q.Full())
	require.Nil(t, q.Next(s.b.LocalAddr()))
	require.NoError(t, s.a.Flush(q))
	s.receive(t, 64)
	if calls := s.a.Stats().SendCalls; s.a.Stats().GSO {
		require.EqualValues(t, 1, calls)
	}
}

func testEmptyRead(t *testing.T, s pair) {
	n, err := s.b.Read(udp.NewBatch())
	require.NoError(t, err)
	require.Zero(t, n)
	require.NoError(t, s.a.Flush(udp.NewQueue(1)))
}

func testWake(t *testing.T, s pair) {
	s.b.Wake()
	s.b.Wake()
	require.NoError(t, s.b.Wait(-1))
	begin := time.Now()
	require.NoError(t, s.b.Wait(20*time.Millisecond))
	require.GreaterOrEqual(t, time.Since(begin), 20*time.Millisecond, "two wakes count as one")

	for range 100 { // current or next, as it falls
		waiting, woken := make(chan struct{}), make(chan error, 1)
		go func() {
			close(waiting)
			woken <- s.b.Wait(-1)
		}()
		<-waiting
		s.b.Wake()
		require.NoError(t, <-woken)
	}

	s.b.Wake()
	require.NoError(t, s.b.Wait(0))
	require.NoError(t, s.b.Wait(time.Millisecond), "a wait that does not block takes the wake too")
}

func testWaitTimeout(t *testing.T, s pair) {
	for _, timeout := range []time.Duration{time.Millisecond, 30 * time.Millisecond} {
		begin := time.Now()
		require.NoError(t, s.b.Wait(timeout))
		require.GreaterOrEqual(t, time.Since(begin), timeout)
	}
	require.NoError(t, s.b.Wait(0))
}

func testWaitReadable(t *testing.T, s pair) {
	done := make(chan error, 1)
	go func() { done <- s.b.Wait(-1) }()
	_, err := s.a.WriteTo([]byte("hello"), s.b.LocalAddr())
	require.NoError(t, err)
	require.NoError(t, <-done)
	require.NoError(t, s.b.Wait(-1), "still to be read")
	require.Equal(t, [][]byte{[]byte("hello")}, s.receive(t, 1))
}

func testClose(t *testing.T, s pair) {
	done := make(chan error, 1)
	go func() { done <- s.b.Wait(-1) }()
	require.NoError(t, s.b.Close())
	require.ErrorIs(t, <-done, udp.ErrClosed)
	require.NoError(t, s.b.Close())

	_, err := s.b.Read(udp.NewBatch())
	require.ErrorIs(t, err, udp.ErrClosed)
	require.ErrorIs(t, s.b.Flush(udp.NewQueue(1)), udp.ErrClosed)
	_, err = s.b.WriteTo([]byte("hello"), s.a.LocalAddr())
	require.ErrorIs(t, err, udp.ErrClosed)
	for _, timeout := range []time.Duration{-1, 0, time.Second} {
		require.ErrorIs(t, s.b.Wait(timeout), udp.ErrClosed)
	}
	s.b.Wake()
	s.b.Stats()
	require.True(t, s.b.LocalAddr().IsValid())
}

func testTruncation(t *testing.T, s pair) {
	for _, size := range []int{udp.MaxDatagram, udp.MaxDatagram + 1, 20000, 10} {
		_, err := s.a.WriteTo(datagram(size, size), s.b.LocalAddr())
		require.NoError(t, err)
	}
	require.Equal(t, [][]byte{datagram(udp.MaxDatagram, udp.MaxDatagram), datagram(10, 10)}, s.receive(t, 2))
	require.EqualValues(t, 2, s.b.Stats().Truncated)
}

func testOverflow(t *testing.T, s pair) {
	q, batch := udp.NewQueue(1000), udp.NewBatch()
	sent, received := 0, 0
	for s.b.Stats().Overflow == 0 { // more comes than is read
		require.Less(t, sent, 1_000_000)
		for !q.Full() {
			copy(q.Next(s.b.LocalAddr()), datagram(sent, 100))
			q.Commit(100 + sent%2) // no runs, that each datagram takes its place
			sent++
		}
		require.NoError(t, s.a.Flush(q))
		require.NoError(t, s.b.Wait(time.Millisecond))
		n, err := s.b.Read(batch)
		require.NoError(t, err)
		received += n
	}
	require.Less(t, received, sent)
	require.EqualValues(t, sent, s.a.Stats().SentDatagrams)
}

func testBadDestination(t *testing.T, s pair) {
	other := netip.MustParseAddrPort("127.0.0.1:9")
	if s.b.LocalAddr().Addr().Is4() {
		other = netip.MustParseAddrPort("[::1]:9")
	}
	q := udp.NewQueue(20)
	number := 0
	for _, to := range []netip.AddrPort{
		other,
		s.b.LocalAddr(),
		netip.AddrPortFrom(s.b.LocalAddr().Addr(), 0),
		s.b.LocalAddr(),
		{},
		s.b.LocalAddr(),
	} {
		for range 2 {
			copy(q.Next(to), datagram(number, 100))
			q.Commit(100)
			number++
		}
	}
	require.NoError(t, s.a.Flush(q))
	var want [][]byte
	for _, number := range []int{2, 3, 6, 7, 10, 11} {
		want = append(want, datagram(number, 100))
	}
	require.Equal(t, want, s.receive(t, 6))
	require.EqualValues(t, 6, s.a.Stats().SendError)

	_, err := s.a.WriteTo([]byte("hello"), other)
	require.Error(t, err)
	require.EqualValues(t, 7, s.a.Stats().SendError)
}

func testWriteTo(t *testing.T, s pair) {
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for i := range 100 {
				d := datagram(1000*(w+1)+i, 50)
				if n, err := s.a.WriteTo(d, s.b.LocalAddr()); err != nil || n != len(d) {
					t.Errorf("wrote %d bytes: %v", n, err)
				}
				s.a.Wake()
				s.a.Stats()
			}
		})
	}
	var flushed [][]byte
	for i := range 100 {
		flushed = append(flushed, datagram(i, 50))
	}
	q := udp.NewQueue(8)
	s.send(t, q, s.b.LocalAddr(), flushed...)
	writers.Wait()
	last := make(map[int]int) // each writer's datagrams keep their order
	for _, d := range s.receive(t, 500) {
		number := int(binary.BigEndian.Uint32(d))
		if before, ok := last[number/1000]; ok {
			require.Equal(t, before+1, number)
		}
		last[number/1000] = number
	}
	require.Len(t, last, 5)
}

func testSharedBuffers(t *testing.T, s pair) {
	batch := udp.NewBatch()
	require.True(t, batch.Put([]byte("first"), s.a.LocalAddr()))
	require.False(t, batch.Put(make([]byte, udp.MaxDatagram+1), s.a.LocalAddr()))
	data, from := batch.Datagram(0)
	require.Equal(t, "first", string(data))
	require.Equal(t, s.a.LocalAddr(), from)
	for _, word := range []string{"one", "two"} {
		_, err := s.a.WriteTo([]byte(word), s.b.LocalAddr())
		require.NoError(t, err)
		require.Equal(t, 1, next(t, s.b, batch))
		data, _ = batch.Datagram(0)
		require.Equal(t, word, string(data))
		data[0] = 'x' // the caller may write
	}
}

// Every form that is asked for times gives each datagram the time of its arrival, or of Read where it knows no better.
func TestArrived(t *testing.T) {
	for form, run := range map[string]func(t *testing.T, ipv6 bool, behaviour func(*testing.T, pair)){
		"raw":             listenBoth(listenWith(udp.Config{Timestamps: true})),
		"raw to plain":    listenBoth(listenWith(udp.Config{Timestamps: true, DisableGRO: true})),
		"portable":        listenBoth(listenWith(udp.Config{Timestamps: true, Portable: true})),
		"portable single": listenBoth(udp.ListenSingle),
		"memory":          simulated,
	} {
		for family, ipv6 := range map[string]bool{"IPv4": false, "IPv6": true} {
			t.Run(form+"/"+family, func(t *testing.T) { run(t, ipv6, testArrived) })
		}
	}
}

func testArrived(t *testing.T, s pair) {
	batch := udp.NewBatch()
	q := udp.NewQueue(3)
	for range 3 { // the memory of a batch is used again
		begin := time.Now()
		s.send(t, q, s.b.LocalAddr(), datagram(1, 100), datagram(2, 100), datagram(3, 100))
		for got := 0; got < 3; {
			n := next(t, s.b, batch)
			for i := range n {
				require.WithinRange(t, batch.Arrived(i), begin.Add(-slack), time.Now().Add(slack))
			}
			got += n
		}
	}
	batch.Reset()
	require.True(t, batch.Put([]byte("first"), s.a.LocalAddr()))
	require.Zero(t, batch.Arrived(0), "what was put in by hand has no time")
}

// Without a socket that asks, nothing looks at the clock; with one, the time is the kernel's and not that of a late Read.
func TestTimestampsAreOfArrivalNotOfReading(t *testing.T) {
	for _, cfg := range []udp.Config{{Timestamps: true}, {Timestamps: true, DisableGRO: true}, {}} {
		s, err := udp.Listen(netip.MustParseAddrPort("127.0.0.1:0"), cfg)
		require.NoError(t, err)
		defer s.Close()
		// The kernel begins to stamp some time after the first socket has asked: what came before that has the time of Read.
		batch := udp.NewBatch()
		for again := true; again; {
			before := time.Now()
			q := udp.NewQueue(3)
			for range 3 {
				q.Next(s.LocalAddr())
				q.Commit(100)
			}
			require.NoError(t, s.Flush(q))
			sent := time.Now()
			for time.Since(sent) < 2*time.Millisecond { // until reading is told from arriving
				runtime.Gosched()
			}
			require.Equal(t, 3, next(t, s, batch))
			again = false
			for i := range 3 {
				at := batch.Arrived(i)
				if !cfg.Timestamps {
					require.Zero(t, at)
					continue
				}
				again = again || at.After(sent.Add(slack))
				require.False(t, at.Before(before.Add(-slack)))
			}
		}
	}
}

// slack is what two readings of the clock may differ by when one comes through another clock source's rounding.
const slack = time.Millisecond

// A socket on [::] serves both families, knows IPv4 peers by their IPv4 address, and answers from the address they sent to.
func TestWildcard(t *testing.T) {
	for name, cfg := range map[string]udp.Config{"raw": {}, "portable": {Portable: true}} {
		for wildcard, peers := range map[string][]string{
			"[::]:0":    {"127.0.0.1:0", "[::1]:0"},
			"0.0.0.0:0": {"127.0.0.1:0"},
		} {
			t.Run(name+wildcard, func(t *testing.T) {
				server, err := udp.Listen(netip.MustParseAddrPort(wildcard), cfg)
				require.NoError(t, err)
				defer server.Close()
				for _, addr := range peers {
					peer, err := udp.Listen(netip.MustParseAddrPort(addr), cfg)
					require.NoError(t, err)
					defer peer.Close()
					to := netip.AddrPortFrom(peer.LocalAddr().Addr(), server.LocalAddr().Port())
					_, err = peer.WriteTo([]byte("hello"), to)
					require.NoError(t, err)
					batch := udp.NewBatch()
					require.Equal(t, 1, next(t, server, batch))
					_, from := batch.Datagram(0)
					require.Equal(t, peer.LocalAddr(), from)

					q := udp.NewQueue(2)
					for range 2 {
						copy(q.Next(from), "answer")
						q.Commit(6)
					}
					require.NoError(t, server.Flush(q))
					for got := 0; got < 2; {
						n := next(t, peer, batch)
						for i := range n {
							data, sender := batch.Datagram(i)
							require.Equal(t, "answer", string(data))
							require.Equal(t, to, sender)
						}
						got += n
					}
				}
			})
		}
	}
}

func TestListenFails(t *testing.T) {
	taken, err := udp.Listen(netip.MustParseAddrPort("127.0.0.1:0"), udp.Config{})
	require.NoError(t, err)
	defer taken.Close()
	for _, cfg := range []udp.Config{{}, {Portable: true}} {
		_, err := udp.Listen(taken.LocalAddr(), cfg)
		require.ErrorContains(t, err, taken.LocalAddr().String())
		require.ErrorContains(t, err, "address already in use")
		_, err = udp.Listen(netip.AddrPort{}, cfg)
		require.Error(t, err)
	}
}

// A closed socket may be closed while its methods run: under the race detector this shows that no descriptor outlives Close.
func TestCloseDuringUse(t *testing.T) {
	for name, cfg := range map[string]udp.Config{"raw": {}, "portable": {Portable: true}} {
		t.Run(name, func(t *testing.T) {
			for range 20 {
				s, err := udp.Listen(netip.MustParseAddrPort("127.0.0.1:0"), cfg)
				require.NoError(t, err)
				var users sync.WaitGroup
				for range 2 {
					users.Go(func() {
						for {
							if _, err := s.WriteTo([]byte("hello"), s.LocalAddr()); err != nil {
								return
							}
							s.Wake()
						}
					})
				}
				users.Go(func() {
					batch := udp.NewBatch()
					for s.Wait(-1) == nil {
						if _, err := s.Read(batch); err != nil {
							return
						}
					}
				})
				require.NoError(t, s.Close())
				users.Wait()
			}
		})
	}
}
