package udp

import (
	"bytes"
	"net/netip"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tolkyn/tolkyn/internal/packet"
)

func rawPair(t testing.TB, cfg Config) (a, b *rawSocket) {
	t.Helper()
	for _, s := range []**rawSocket{&a, &b} {
		socket, err := Listen(netip.MustParseAddrPort("127.0.0.1:0"), cfg)
		require.NoError(t, err)
		t.Cleanup(func() { _ = socket.Close() })
		*s = socket.(*rawSocket)
	}
	return a, b
}

// fill queues count datagrams of 100 bytes, numbered in their first byte.
func fill(q *Queue, to netip.AddrPort, first, count int) {
	for i := range count {
		q.Next(to)[0] = byte(first + i)
		q.Commit(100)
	}
}

// numbers reads count datagrams and returns their first bytes.
func numbers(t *testing.T, s Socket, count int) []int {
	t.Helper()
	batch := NewBatch()
	var got []int
	for len(got) < count {
		n, err := s.Read(batch)
		require.NoError(t, err)
		for i := range n {
			data, _ := batch.Datagram(i)
			got = append(got, int(data[0]))
		}
		if n == 0 {
			require.NoError(t, s.Wait(5*time.Second))
		}
	}
	return got
}

func upTo(first, end int) []int {
	var all []int
	for i := first; i < end; i++ {
		all = append(all, i)
	}
	return all
}

// refusing stands before the system call and answers some calls as a kernel does that refuses them.
func refusing(s *rawSocket, answer func(messages []message) (int, unix.Errno, bool)) {
	s.sendmmsg = func(fd int, messages []message) (int, unix.Errno) {
		if n, errno, refused := answer(messages); refused {
			return n, errno
		}
		return sendmmsg(fd, messages)
	}
}

func TestRawFallsBackFromGSO(t *testing.T) {
	for _, errno := range []unix.Errno{unix.EIO, unix.EINVAL, unix.EMSGSIZE} {
		a, b := rawPair(t, Config{})
		_, c := rawPair(t, Config{})
		barred := b.LocalAddr().Port()
		a.sendmmsg = func(fd int, messages []message) (int, unix.Errno) {
			for i := range messages {
				name := (*unix.RawSockaddrInet4)(unsafe.Pointer(messages[i].header.Name))
				switch {
				case messages[i].header.Control == nil || port(&name.Port) != barred:
				case i == 0:
					return 0, errno
				default:
					return sendmmsg(fd, messages[:i])
				}
			}
			return sendmmsg(fd, messages)
		}
		q := NewQueue(40)
		fill(q, c.LocalAddr(), 0, 4)
		fill(q, b.LocalAddr(), 4, 8)
		fill(q, c.LocalAddr(), 12, 4)
		require.Equal(t, 3, q.Runs())
		require.NoError(t, a.Flush(q))
		require.Equal(t, upTo(4, 12), numbers(t, b, 8))
		require.Equal(t, append(upTo(0, 4), upTo(12, 16)...), numbers(t, c, 8))
		require.EqualValues(t, 1, a.Stats().GSOFallbacks)
		require.Contains(t, a.own.plain, b.LocalAddr().Addr())

		fill(q, b.LocalAddr(), 0, 8)
		require.NoError(t, a.Flush(q))
		require.Equal(t, upTo(0, 8), numbers(t, b, 8))
		require.EqualValues(t, 1, a.Stats().GSOFallbacks, "the destination is remembered")
		require.Zero(t, a.Stats().SendError)
		require.EqualValues(t, 24, a.Stats().SentDatagrams)
	}
}

func TestRawDoesNotBlameGSOForABadDestination(t *testing.T) {
	a, b := rawPair(t, Config{})
	q := NewQueue(40)
	fill(q, netip.AddrPortFrom(b.LocalAddr().Addr(), 0), 0, 8) // port 0: EINVAL with and without GSO
	require.NoError(t, a.Flush(q))
	require.EqualValues(t, 8, a.Stats().SendError)
	require.Empty(t, a.own.plain)
}

func TestRawRemembersABoundedNumberOfDestinations(t *testing.T) {
	a, b := rawPair(t, Config{})
	a.own.plain = make(map[netip.Addr]struct{})
	for i := range maxPlain {
		a.own.plain[netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})] = struct{}{}
	}
	refusing(a, func(messages []message) (int, unix.Errno, bool) {
		return 0, unix.EIO, messages[0].header.Control != nil
	})
	q := NewQueue(2)
	fill(q, b.LocalAddr(), 0, 2)
	require.NoError(t, a.Flush(q))
	require.Equal(t, upTo(0, 2), numbers(t, b, 2))
	require.Len(t, a.own.plain, 1)
}

func TestRawResumesAfterAPart(t *testing.T) {
	a, b := rawPair(t, Config{DisableGSO: true})
	a.sendmmsg = func(fd int, messages []message) (int, unix.Errno) {
		return sendmmsg(fd, messages[:min(len(messages), 7)])
	}
	q := NewQueue(200)
	fill(q, b.LocalAddr(), 0, 200)
	require.NoError(t, a.Flush(q))
	require.Equal(t, upTo(0, 200), numbers(t, b, 200))
	require.EqualValues(t, 200, a.Stats().SentDatagrams)
}

func TestRawCountsWhatTheKernelRefuses(t *testing.T) {
	refused := func(errno unix.Errno, call int) (Stats, []int) {
		a, b := rawPair(t, Config{DisableGSO: true})
		calls := 0
		refusing(a, func([]message) (int, unix.Errno, bool) {
			calls++
			return 0, errno, calls == call
		})
		q := NewQueue(100)
		fill(q, b.LocalAddr(), 0, 100)
		require.NoError(t, a.Flush(q))
		stats := a.Stats()
		return stats, numbers(t, b, int(stats.SentDatagrams))
	}

	for _, errno := range []unix.Errno{unix.EAGAIN, unix.ENOBUFS} {
		stats, got := refused(errno, 1)
		require.EqualValues(t, 64, stats.SendAgain, "the rest of this call is dropped, the next is tried")
		require.Zero(t, stats.SendError)
		require.Equal(t, upTo(64, 100), got)
	}
	for _, errno := range []unix.Errno{unix.ECONNREFUSED, unix.EHOSTUNREACH, unix.EPERM, 0} {
		stats, got := refused(errno, 2)
		require.EqualValues(t, 1, stats.SendError, "one datagram is dropped")
		require.Zero(t, stats.SendAgain)
		require.Equal(t, append(upTo(0, 64), upTo(65, 100)...), got)
	}
	stats, got := refused(unix.EINTR, 1)
	require.Zero(t, stats.SendError+stats.SendAgain)
	require.Equal(t, upTo(0, 100), got)
}

func TestRawCountsARunThatFailsInBothWays(t *testing.T) {
	a, _ := rawPair(t, Config{})
	for errno, want := range map[unix.Errno]Stats{
		unix.EAGAIN:      {SendAgain: 4},
		unix.ENETUNREACH: {SendError: 4},
	} {
		refusing(a, func(messages []message) (int, unix.Errno, bool) {
			if messages[0].header.Control != nil {
				return 0, unix.EIO, true
			}
			return 0, errno, true
		})
		before := a.Stats()
		q := NewQueue(4)
		fill(q, netip.MustParseAddrPort("127.0.0.1:9"), 0, 4)
		require.NoError(t, a.Flush(q))
		after := a.Stats()
		require.Equal(t, want.SendAgain, after.SendAgain-before.SendAgain)
		require.Equal(t, want.SendError, after.SendError-before.SendError)
		require.Empty(t, a.own.plain)
	}
}

// The kernel's own count of what did not fit, and what was read, make up all that was sent.
func TestRawOverflowIsExact(t *testing.T) {
	a, _ := rawPair(t, Config{})
	_, b := rawPair(t, Config{ReadBuffer: 64 << 10, DisableGRO: true})
	q, batch := NewQueue(100), NewBatch()
	sent := 0
	for range 20 {
		fill(q, b.LocalAddr(), 0, 100)
		sent += 100
		require.NoError(t, a.Flush(q))
	}
	received := 0
	drain := func() {
		for n := -1; n != 0; received += n {
			n, _ = b.Read(batch)
		}
	}
	drain()
	fill(q, b.LocalAddr(), 0, 1) // the count comes with the next datagram
	require.NoError(t, a.Flush(q))
	drain()
	stats := b.Stats()
	require.Positive(t, stats.Overflow)
	require.EqualValues(t, received, stats.ReceivedDatagrams)
	require.EqualValues(t, sent+1, stats.ReceivedDatagrams+stats.Overflow)
}

func TestRawBuffersAreSet(t *testing.T) {
	a, _ := rawPair(t, Config{ReadBuffer: 300 << 10, WriteBuffer: 200 << 10})
	for option, want := range map[int]int{unix.SO_RCVBUF: 300 << 10, unix.SO_SNDBUF: 200 << 10} {
		got, err := unix.GetsockoptInt(a.fd, unix.SOL_SOCKET, option)
		require.NoError(t, err)
		require.Equal(t, 2*want, got) // the kernel doubles it for its own use
	}
}

// On the local network a peer's address carries its interface, and an answer finds the way back.
func TestAddressesRoundTrip(t *testing.T) {
	for _, test := range []struct {
		inet6    bool
		in, want string
		ok       bool
	}{
		{false, "192.0.2.1:65535", "192.0.2.1:65535", true},
		{false, "[::ffff:192.0.2.1]:258", "192.0.2.1:258", true},
		{false, "[2001:db8::1]:1", "", false},
		{true, "192.0.2.1:1", "192.0.2.1:1", true},
		{true, "[2001:db8::1]:443", "[2001:db8::1]:443", true},
		{true, "[fe80::1%2]:443", "[fe80::1%2]:443", true},
		{true, "[fe80::1%lo]:443", "[fe80::1%1]:443", true},
		{true, "[fe80::1%nowhere]:443", "[fe80::1]:443", true},
	} {
		var name unix.RawSockaddrInet6
		_, ok := (&rawSocket{inet6: test.inet6}).putName(&name, netip.MustParseAddrPort(test.in))
		require.Equal(t, test.ok, ok, test.in)
		if ok {
			require.Equal(t, test.want, addrPort(&name).String())
		}
	}
	_, ok := (&rawSocket{inet6: true}).putName(new(unix.RawSockaddrInet6), netip.AddrPort{})
	require.False(t, ok)
}

// controlMessage is a control message as the kernel writes it.
func controlMessage(level, kind int32, data []byte) []byte {
	b := make([]byte, unix.CmsgSpace(len(data)))
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
	h.Level, h.Type = level, kind
	h.SetLen(unix.CmsgLen(len(data)))
	copy(b[unix.CmsgLen(0):], data)
	return b
}

func TestReadControl(t *testing.T) {
	gro := controlMessage(unix.IPPROTO_UDP, unix.UDP_GRO, []byte{100, 0, 0, 0})
	dropped := controlMessage(unix.SOL_SOCKET, unix.SO_RXQ_OVFL, []byte{7, 0, 0, 0})
	other := controlMessage(unix.SOL_SOCKET, unix.SO_TIMESTAMP, make([]byte, 16))
	short := controlMessage(unix.IPPROTO_UDP, unix.UDP_GRO, []byte{1})
	moment := unix.Timespec{Sec: 1_700_000_000, Nsec: 123_456_789}
	raw := unsafe.Slice((*byte)(unsafe.Pointer(&moment)), unsafe.Sizeof(moment))
	arrived := controlMessage(unix.SOL_SOCKET, unix.SCM_TIMESTAMPNS, raw)
	info := unix.Inet4Pktinfo{Addr: [4]byte{127, 64, 0, 1}}
	local := controlMessage(unix.IPPROTO_IP, unix.IP_PKTINFO, unsafe.Slice((*byte)(unsafe.Pointer(&info)), unsafe.Sizeof(info)))
	class4 := controlMessage(unix.IPPROTO_IP, unix.IP_TOS, []byte{0xb9})
	class6 := controlMessage(unix.IPPROTO_IPV6, unix.IPV6_TCLASS, []byte{3, 0, 0, 0})
	shortened := controlMessage(unix.SOL_SOCKET, unix.SCM_TIMESTAMPNS, raw[:len(raw)-1])
	for _, test := range []struct {
		control []byte
		want    control
	}{
		{nil, control{}},
		{gro, control{segment: 100}},
		{dropped, control{overflow: 7, hasOverflow: true}},
		{bytes.Join([][]byte{other, short, gro, dropped}, nil), control{segment: 100, overflow: 7, hasOverflow: true}},
		{arrived, control{arrived: 1_700_000_000_123_456_789}},
		{
			bytes.Join([][]byte{gro, dropped, arrived}, nil),
			control{segment: 100, overflow: 7, hasOverflow: true, arrived: 1_700_000_000_123_456_789},
		},
		{shortened, control{}},
		{bytes.Join([][]byte{local, gro}, nil), control{segment: 100, to: info.Addr}},
		{bytes.Join([][]byte{class4, gro}, nil), control{segment: 100, ecn: packet.ECT1}},
		{bytes.Join([][]byte{gro, class6}, nil), control{segment: 100, ecn: packet.CE}},
		{controlMessage(unix.IPPROTO_IP, unix.IP_TOS, nil), control{}},
		{controlMessage(unix.IPPROTO_IPV6, unix.IPV6_TCLASS, []byte{3}), control{}},
		{gro[:len(gro)-8], control{}},
		{gro[:5], control{}},
	} {
		require.Equal(t, test.want, readControl(test.control))
	}
	require.LessOrEqual(t, len(gro)+len(dropped)+len(class6)+len(arrived)+len(local), receiveControl)
}

// One shared socket is many clients, each with an address of its own, to whoever talks to them.
func TestSharedServesManyAddresses(t *testing.T) {
	_, peer := rawPair(t, Config{})
	for _, cfg := range []Config{{DisableGRO: true}, {Timestamps: true, DisableGSO: true}, {}} {
		shared, err := ListenShared(cfg)
		require.NoError(t, err)
		defer shared.Close()
		addresses := []netip.Addr{
			netip.MustParseAddr("127.64.0.1"), netip.MustParseAddr("127.64.1.2"), netip.MustParseAddr("127.65.0.3"),
		}
		q, batch := NewQueue(20), NewBatch()
		for i, from := range addresses {
			for k := range 4 {
				q.NextFrom(from, peer.LocalAddr())[0] = byte(4*i + k)
				q.Commit(100)
			}
			n, err := shared.WriteFrom([]byte{byte(100 + i)}, from, peer.LocalAddr())
			require.NoError(t, err)
			require.Equal(t, 1, n)
		}
		require.Equal(t, 3, q.Runs(), "a run leaves from one address")
		require.NoError(t, shared.Flush(q))
		got := map[byte]netip.Addr{}
		for len(got) < 15 {
			n, err := peer.Read(batch)
			require.NoError(t, err)
			for i := range n {
				data, from := batch.Datagram(i)
				require.Equal(t, shared.LocalAddr().Port(), from.Port())
				require.Zero(t, batch.To(i), "this one has one address")
				got[data[0]] = from.Addr()
			}
		}
		for i, from := range addresses {
			require.Equal(t, from, got[byte(100+i)])
			for k := range 4 {
				require.Equal(t, from, got[byte(4*i+k)])
			}
			for range 2 {
				_, err := peer.WriteTo([]byte{byte(i)}, netip.AddrPortFrom(from, shared.LocalAddr().Port()))
				require.NoError(t, err)
			}
		}
		for count := 0; count < 6; {
			n, err := shared.Read(batch)
			require.NoError(t, err)
			for i := range n {
				data, from := batch.Datagram(i)
				require.Equal(t, addresses[data[0]], batch.To(i))
				require.Equal(t, peer.LocalAddr(), from)
				require.Equal(t, cfg.Timestamps, !batch.Arrived(i).IsZero())
			}
			count += n
		}
		_, err = shared.WriteFrom([]byte{1}, netip.MustParseAddr("::1"), peer.LocalAddr())
		require.Error(t, err)
		_, err = shared.WriteFrom([]byte{1}, netip.MustParseAddr("192.0.2.1"), peer.LocalAddr())
		require.Error(t, err, "not ours")
		require.NoError(t, shared.Close())
		_, err = shared.WriteFrom([]byte{1}, addresses[0], peer.LocalAddr())
		require.ErrorIs(t, err, ErrClosed)
	}
}

// Who glances gets the beginning of datagrams and their whole size, of chosen ones everything, and back to all afterwards.
func TestRawGlances(t *testing.T) {
	for _, cfg := range []Config{{DisableGRO: true}, {DisableGRO: true, Timestamps: true}, {}} {
		a, b := rawPair(t, cfg)
		batch := NewBatch()
		sizes := []int{100, 1500, 40, 1500, MaxDatagram + 1, 64, 1500}
		receive := func(want ...int) {
			for i, size := range sizes {
				d := bytes.Repeat([]byte{byte(i)}, size)
				_, err := a.WriteTo(d, b.LocalAddr())
				require.NoError(t, err)
			}
			n, err := b.Read(batch)
			require.NoError(t, err)
			require.Equal(t, len(sizes)-1, n, "all but the one too long")
			at := 0
			for i, size := range sizes {
				if size > MaxDatagram {
					continue
				}
				data, from := batch.Datagram(at)
				if cfg.DisableGRO {
					require.Equal(t, bytes.Repeat([]byte{byte(i)}, want[i]), data)
				} else {
					require.Len(t, data, size, "what was joined is taken whole")
				}
				require.Equal(t, size, batch.Size(at))
				require.Equal(t, a.LocalAddr(), from)
				require.Equal(t, cfg.Timestamps, !batch.Arrived(at).IsZero())
				at++
			}
		}
		before := b.Stats().Truncated
		receive(sizes...)
		batch.Glance(64, 1<<1)
		receive(64, 1500, 40, 64, 0, 64, 64)
		batch.Glance(64, 1<<3|1<<6)
		receive(64, 64, 40, 1500, 0, 64, 1500)
		batch.Glance(0, 0)
		receive(sizes...)
		require.EqualValues(t, 4, b.Stats().Truncated-before)
	}
}

// A turn of the shard's loop on the packet path allocates nothing.
func TestRawAllocatesNothing(t *testing.T) {
	for _, cfg := range []Config{{}, {DisableGSO: true, DisableGRO: true}, {Timestamps: true}, {ECN: true}} {
		a, b := rawPair(t, cfg)
		q, batch := NewQueue(64), NewBatch()
		to, payload := b.LocalAddr(), make([]byte, 100)
		received := 0
		turn := func() {
			for !q.Full() {
				q.Next(to)
				if cfg.ECN {
					q.Mark(packet.ECT1)
				}
				q.Commit(100)
			}
			_ = a.Flush(q)
			_, _ = a.WriteTo(payload, to)
			b.Wake()
			_ = b.Wait(time.Second)
			for n := -1; n != 0; {
				n, _ = b.Read(batch)
				received += n
			}
		}
		turn() // the batch gets its memory
		require.Zero(t, testing.AllocsPerRun(100, turn))
		require.Equal(t, 65*102, received)
	}
}

// A run that has to be cut by hand keeps its marks, and so does one that leaves from an address of a shared socket.
func TestRawMarksWithoutGSOAndFromAnAddress(t *testing.T) {
	a, b := rawPair(t, Config{ECN: true})
	refusing(a, func(messages []message) (int, unix.Errno, bool) {
		return 0, unix.EIO, messages[0].header.Controllen > uint64(unsafe.Sizeof(classControl{}))
	})
	shared, err := ListenShared(Config{ECN: true})
	require.NoError(t, err)
	defer shared.Close()
	q := NewQueue(10)
	for range 3 {
		q.Next(b.LocalAddr())
		q.Mark(packet.ECT1)
		q.Commit(100)
	}
	require.NoError(t, a.Flush(q))
	require.Equal(t, uint64(1), a.Stats().GSOFallbacks)
	for _, count := range []int{1, 3} {
		for range count {
			q.NextFrom(netip.MustParseAddr("127.64.0.1"), b.LocalAddr())
			q.Mark(packet.ECT0)
			q.Commit(100)
		}
		require.NoError(t, shared.Flush(q))
	}
	var got []packet.ECN
	for batch := NewBatch(); len(got) < 7; {
		n, err := b.Read(batch)
		require.NoError(t, err)
		for i := range n {
			_, from := batch.Datagram(i)
			require.Equal(t, len(got) >= 3, from.Addr() == netip.MustParseAddr("127.64.0.1"))
			got = append(got, batch.ECN(i))
		}
		if n == 0 {
			require.NoError(t, b.Wait(5*time.Second))
		}
	}
	e, c := packet.ECT1, packet.ECT0
	require.Equal(t, []packet.ECN{e, e, e, c, c, c, c}, got)
}
