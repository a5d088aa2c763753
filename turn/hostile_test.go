package turn_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/pion/stun/v4"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/framed"
	"github.com/tolkyn/tolkyn/turn"
	"github.com/tolkyn/tolkyn/turn/credential"
)

// closes waits until the server ends the connection.
func closes(t testing.TB, conn net.Conn) {
	t.Helper()
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(patience)))
	_, err := io.Copy(io.Discard, conn)
	require.False(t, errors.Is(err, os.ErrDeadlineExceeded), "the connection stays open")
}

// What is no frame ends its connection and no other, and costs no processor: one such frame pins pion/turn's.
func TestBadFrames(t *testing.T) {
	header := func(channel, size uint16) []byte {
		return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, channel), size)
	}
	for name, b := range map[string][]byte{
		"a length that wraps":      header(0x4000, 0xfffc),
		"a giant ChannelData":      header(0x4000, 1600),
		"a giant STUN message":     append([]byte{0, 1, 0xff, 0xfc, 0x21, 0x12, 0xa4, 0x42}, make([]byte, 12)...),
		"neither of both":          []byte("GET / HTTP/1.1\r\n\r\n"),
		"a TLS hello on plain TCP": {0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc},
		"nothing but zeros":        make([]byte, 64),
	} {
		t.Run(name, func(t *testing.T) {
			for _, way := range []turn.Way{turn.TCP, turn.TLS} {
				f := start(t, nil)
				_, relayed := f.mustAllocate(t, "pion v5", way, user)
				before := cpu(t)
				conn := f.dial(t, way)
				_, err := conn.Write(b)
				require.NoError(t, err)
				closes(t, conn)
				eventually(t, "it is counted", func() bool { return f.Stats().Refused["not_turn"] == 1 })
				bounce(t, relayed, echo(t))
				require.Less(t, cpu(t)-before, 3*time.Second)
			}
		})
	}
}

// cpu is what this process has used.
func cpu(t testing.TB) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// A frame that comes byte by byte is answered as one that comes whole; several at once are answered each.
func TestFramesInPiecesAndTogether(t *testing.T) {
	f := start(t, nil)
	for _, way := range []turn.Way{turn.TCP, turn.TLS} {
		conn := f.dial(t, way)
		request := stun.MustBuild(stun.TransactionID, stun.BindingRequest)
		for _, b := range request.Raw {
			_, err := conn.Write([]byte{b})
			require.NoError(t, err)
		}
		_, err := conn.Write(bytes.Repeat(request.Raw, 3))
		require.NoError(t, err)
		for range 4 {
			reply := readSTUN(t, conn)
			require.Equal(t, stun.BindingSuccess, reply.Type)
			require.Equal(t, request.TransactionID, reply.TransactionID)
			var mapped stun.XORMappedAddress
			require.NoError(t, mapped.GetFrom(reply))
			require.Equal(t, conn.LocalAddr().String(), mapped.String())
		}
	}
}

func readSTUN(t testing.TB, conn net.Conn) *stun.Message {
	t.Helper()
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(patience)))
	b := make([]byte, 20)
	_, err := io.ReadFull(conn, b)
	require.NoError(t, err)
	b = append(b, make([]byte, binary.BigEndian.Uint16(b[2:]))...)
	_, err = io.ReadFull(conn, b[20:])
	require.NoError(t, err)
	m := &stun.Message{Raw: b}
	require.NoError(t, m.Decode())
	return m
}

// A client that ends its connection in the middle of a frame leaves nothing behind.
func TestEndInTheMiddleOfAFrame(t *testing.T) {
	f := start(t, nil)
	for _, way := range []turn.Way{turn.TCP, turn.TLS} {
		_, relayed := f.mustAllocate(t, "pion v5", way, user)
		conn := f.dial(t, way)
		_, err := conn.Write(append([]byte{0x40, 0, 1, 0}, make([]byte, 100)...))
		require.NoError(t, err)
		require.NoError(t, conn.Close())
		eventually(t, "the end", func() bool { return f.Stats().Ways[way].Connections == 1 })
		bounce(t, relayed, echo(t))
	}
}

// Who connects and says nothing, or speaks and never allocates, is shown out at the deadline, in the handshake too.
func TestDeadlineBeforeTheFirstAllocation(t *testing.T) {
	const deadline = 300 * time.Millisecond
	f := start(t, func(c *turn.Config) { c.Limits.AuthDeadline, c.Limits.Idle = deadline, deadline })
	for name, address := range map[string]string{"plain": f.tcp, "before its TLS handshake": f.tls} {
		conn, err := net.Dial("tcp", address)
		require.NoError(t, err)
		began := time.Now()
		closes(t, conn)
		require.GreaterOrEqual(t, time.Since(began), deadline-10*time.Millisecond, name)
		require.NoError(t, conn.Close())
	}
	talks := f.dial(t, turn.TCP)
	stop := time.Now().Add(patience)
	for ; time.Now().Before(stop); time.Sleep(20 * time.Millisecond) {
		if _, err := talks.Write(stun.MustBuild(stun.TransactionID, stun.BindingRequest).Raw); err != nil {
			break
		}
	}
	require.True(t, time.Now().Before(stop), "who asks for its address only is shown out too")

	c, relayed := f.mustAllocate(t, "pion v5", turn.TCP, user)
	time.Sleep(2 * time.Second)
	require.NoError(t, c.CreatePermission(echo(t)), "who has an allocation stays")
	require.NoError(t, relayed.Close())
	eventually(t, "the end of a connection without an allocation", func() bool { return f.Stats().Ways[turn.TCP].Connections == 0 })
	require.Equal(t, uint64(1), f.Stats().Refused["idle"])
}

// An address has a bounded number of connections, fewer while nothing is allocated on them.
func TestConnectionsOfAnAddress(t *testing.T) {
	f := start(t, func(c *turn.Config) { c.Limits.ConnectionsPerIP, c.Limits.Unproven = 4, 2 })
	open := func() net.Conn {
		conn, err := net.Dial("tcp", f.tcp)
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	first, second := open(), open()
	eventually(t, "two", func() bool { return f.Stats().Ways[turn.TCP].Connections == 2 })
	closes(t, open())
	require.NoError(t, first.Close())
	require.NoError(t, second.Close())
	eventually(t, "none", func() bool { return f.Stats().Ways[turn.TCP].Connections == 0 })
	for range 4 {
		f.mustAllocate(t, "pion v5", turn.TCP, user)
	}
	closes(t, open())
	require.Equal(t, uint64(2), f.Stats().Refused["too_many_connections"])
}

// A reader that stops reading has old media dropped, not queued, and holds no other up; when it reads again, what comes is fresh.
func TestSlowReader(t *testing.T) {
	for _, way := range []turn.Way{turn.TCP, turn.TLS} {
		t.Run(wayNames[way], func(t *testing.T) {
			f := start(t, func(c *turn.Config) { c.Workers = 1 })
			peer, err := net.ListenPacket("udp4", "127.0.0.1:0")
			require.NoError(t, err)
			defer peer.Close()
			conn := f.dial(t, way)
			raw := newRawClient(t, conn)
			relayed := raw.allocate()
			raw.bind(0x4000, peer.LocalAddr())
			_, others := f.mustAllocate(t, "pion v5", way, user)
			others2 := echo(t)

			stamp := func() []byte {
				b := make([]byte, 1000)
				binary.BigEndian.PutUint64(b, uint64(time.Now().UnixNano()))
				return b
			}
			sent := 0
			for began := time.Now(); time.Since(began) < 2*time.Second; sent++ { // the client reads nothing
				_, err := peer.WriteTo(stamp(), net.UDPAddrFromAddrPort(relayed))
				require.NoError(t, err)
				if sent%8 == 0 {
					time.Sleep(time.Millisecond)
				}
			}
			bounce(t, others, others2)
			stats := f.Stats()
			require.Positive(t, stats.Dropped["late"]+stats.Dropped["slow"], "%v", stats.Dropped)
			require.Zero(t, stats.Refused["slow_reader"])

			fresh := time.Now()
			stop := make(chan struct{})
			go func() {
				for {
					select {
					case <-stop:
						return
					case <-time.After(time.Millisecond):
						_, _ = peer.WriteTo(stamp(), net.UDPAddrFromAddrPort(relayed))
					}
				}
			}()
			defer close(stop)
			for {
				b := raw.channelData()
				at := time.Unix(0, int64(binary.BigEndian.Uint64(b)))
				if at.After(fresh) {
					require.Less(t, time.Since(at), framed.Stale+patience/5, "what follows is fresh")
					break
				}
			}
		})
	}
}

// A reader that reads nothing for 5 s while something waits is shown out.
func TestReaderThatNeverReads(t *testing.T) {
	f := start(t, nil)
	peer, err := net.ListenPacket("udp4", "127.0.0.1:0")
	require.NoError(t, err)
	defer peer.Close()
	conn := f.dial(t, turn.TCP)
	require.NoError(t, conn.(*net.TCPConn).SetReadBuffer(16<<10)) // it is full soon
	raw := newRawClient(t, conn)
	relayed := raw.allocate()
	raw.bind(0x4000, peer.LocalAddr())
	b := make([]byte, 1000)
	require.Eventually(t, func() bool {
		for range 20 {
			_, _ = peer.WriteTo(b, net.UDPAddrFromAddrPort(relayed))
		}
		return f.Stats().Refused["slow_reader"] == 1
	}, 3*patience, 5*time.Millisecond, "the end of the connection")
	eventually(t, "the end of its allocation", func() bool { return f.Stats().Ways[turn.TCP].Allocations == 0 })
}

// Nothing is relayed to ourselves: to what we listen on, to relay ports of ours, or to what the rules deny.
func TestNoLoops(t *testing.T) {
	f := start(t, nil)
	c, relayed := f.mustAllocate(t, "pion v5", turn.UDP, user)
	_, other := f.mustAllocate(t, "pion v5", turn.UDP, user)
	require.NoError(t, c.CreatePermission(echo(t)))
	for name, to := range map[string]string{
		"its own relayed address": relayed.LocalAddr().String(), "another's": other.LocalAddr().String(),
		"the listener for UDP": f.udp, "for TCP": f.tcp, "for TLS": f.tls, "metadata": "169.254.169.254:80",
		"a private network": "10.0.0.1:5000", "another loopback address": "127.0.0.2:5000",
	} {
		before := f.Stats()
		peer, err := net.ResolveUDPAddr("udp4", to)
		require.NoError(t, err)
		_, _ = relayed.WriteTo([]byte("loop"), peer) // an error where the permission is refused
		time.Sleep(20 * time.Millisecond)
		require.Equal(t, before.Ways[turn.UDP].ToPeers, f.Stats().Ways[turn.UDP].ToPeers, name)
	}
}

// A flood of allocations takes what the quotas give and no more, and leaves room for others.
func TestQuotaOfAllocations(t *testing.T) {
	f := start(t, func(c *turn.Config) { c.Limits.AllocationsPerUser = 3 })
	var held []client
	refused := 0
	for range 6 {
		c, _, err := f.allocate(t, "pion v5", turn.UDP, user)
		if err != nil {
			refused++
			continue
		}
		held = append(held, c)
	}
	require.Len(t, held, 3)
	require.Equal(t, 3, refused)
	require.Equal(t, uint64(3), f.Stats().Refused["over_quota"])
	_, relayed := f.mustAllocate(t, "pion v5", turn.UDP, "bob")
	bounce(t, relayed, echo(t))
}

func TestQuotaOfPorts(t *testing.T) {
	f := start(t, func(c *turn.Config) { c.RelayPorts[1] = c.RelayPorts[0] + 1 })
	for range 2 {
		f.mustAllocate(t, "pion v5", turn.UDP, user)
	}
	_, _, err := f.allocate(t, "pion v5", turn.UDP, user)
	require.ErrorContains(t, err, "508")
	require.Equal(t, uint64(1), f.Stats().Refused["no_port"])
}

func TestQuotaOfBits(t *testing.T) {
	const rate = 1_000_000
	f := start(t, func(c *turn.Config) { c.Limits.BitsPerUser = rate })
	_, relayed := f.mustAllocate(t, "pion v5", turn.UDP, user)
	to := echo(t)
	bounce(t, relayed, to) // 60 small ones are a burst
	began := time.Now()
	b := make([]byte, 1000)
	for time.Since(began) < time.Second {
		_, err := relayed.WriteTo(b, to)
		require.NoError(t, err)
		time.Sleep(200 * time.Microsecond)
	}
	took := time.Since(began).Seconds() + 0.5 // and the burst
	stats := f.Stats()
	require.LessOrEqual(t, float64(8*stats.Ways[turn.UDP].ToPeers.Bytes), rate*(took+1))
	require.Positive(t, stats.Dropped["over_rate"])
}

// What our own media sends to a client counts as what peers send, by whatever way it leaves.
func TestQuotaOfBitsOfOurOwnMedia(t *testing.T) {
	const rate, answers = 1_000_000, 40
	eachWay(t, func(t *testing.T, way turn.Way) {
		own := netip.MustParseAddrPort("127.0.0.1:5004")
		p := newPath(t)
		p.answers, p.sized = answers, 1000
		f := start(t, func(c *turn.Config) {
			c.Own, c.Path, c.Allow = []netip.AddrPort{own}, p, nil
			c.Limits.BitsPerUser = rate
		})
		client := newRawClient(t, f.dial(t, way))
		client.allocate()
		client.bind(0x4000, net.UDPAddrFromAddrPort(own))
		began, came := time.Now(), 0
		for time.Since(began) < time.Second {
			client.send(0x4000, []byte("more")) // 50 of these ask for 16 Mbit/s, and are nothing themselves
			came += client.bytes(20 * time.Millisecond)
		}
		came += client.bytes(200 * time.Millisecond)
		took := time.Since(began).Seconds()
		require.Less(t, float64(8*came), rate*(took+0.5)*1.05, "and the burst of half a second; headers are not counted")
		require.Greater(t, float64(8*came), rate*0.8, "what it may have, it has")
		stats := f.Stats()
		require.Positive(t, stats.Dropped["over_rate"])
		require.Zero(t, stats.Ways[way].ToPeers.Packets)

		p.mu.Lock()
		defer p.mu.Unlock()
		require.Len(t, p.links, 1)
		for l := range p.links {
			for l.Pays(1000) {
			}
			require.False(t, l.Send([]byte("a picture"), false))
			require.True(t, l.Send([]byte("a check"), true), "without it there would be no call")
		}
	})
}

func TestQuotaOfPeers(t *testing.T) {
	f := start(t, func(c *turn.Config) {
		c.Limits.PeersPerUser = 1
		c.Allow = append(c.Allow, netip.MustParsePrefix("203.0.113.0/24"))
	})
	c, _ := f.mustAllocate(t, "pion v5", turn.UDP, user)
	granted := 0
	for i := range 20 {
		if c.CreatePermission(&net.UDPAddr{IP: net.IPv4(203, 0, 113, byte(i+1)), Port: 5000}) == nil {
			granted++
		}
	}
	require.GreaterOrEqual(t, granted, 4)
	require.LessOrEqual(t, granted, 7, "4 s' worth at once, and what a second or two add")
	require.Equal(t, uint64(20-granted), f.Stats().Refused["too_many_peers"])
}

// Whoever is revoked is cut off at once, and comes no more with the same credential; another call of the user's lives on.
func TestRevoke(t *testing.T) {
	secret := []byte("shared with signaling")
	p := newPath(t)
	own := netip.MustParseAddrPort("127.0.0.1:5004")
	f := start(t, func(c *turn.Config) {
		c.Secrets = [][]byte{[]byte("the next one"), secret}
		c.Own, c.Path = []netip.AddrPort{own}, p
	})
	mint := func(call string) credential.Credential {
		return credential.Mint(secret, credential.Subject{Tenant: "t", User: "u", Call: call}, time.Now(), time.Hour)
	}
	one, two := mint("one"), mint("two")
	allocate := func(c credential.Credential, way turn.Way) *rawClient {
		raw := newRawClient(t, f.dial(t, way))
		raw.user, raw.password = c.Username, c.Password
		raw.allocate()
		raw.bind(0x4000, net.UDPAddrFromAddrPort(own))
		return raw
	}
	eachWay(t, func(t *testing.T, way turn.Way) {
		revoked, stays := allocate(one, way), allocate(two, way)
		revoked.send(0x4000, []byte("one"))
		require.Equal(t, "one", string(revoked.channelData()))
		stays.send(0x4000, []byte("two"))
		require.Equal(t, "two", string(stays.channelData()))

		began := time.Now()
		f.Revoke(credential.Subject{Tenant: "t", Call: "one"})
		eventually(t, "the end of the link", func() bool { _, closed, _ := p.count(); return closed > 0 })
		require.Less(t, time.Since(began), 5*time.Second)
		eventually(t, "the end of the allocation", func() bool { return f.Stats().Ways[way].Allocations == 1 })
		again := newRawClient(t, f.dial(t, way))
		again.user, again.password = one.Username, one.Password
		require.Equal(t, stun.CodeUnauthorized, again.tryAllocate())
		stays.send(0x4000, []byte("still there"))
		require.Equal(t, "still there", string(stays.channelData()))
		f.Revoke(credential.Subject{Call: "nobody's"})
		stays.send(0x4000, []byte("and still"))
		require.Equal(t, "and still", string(stays.channelData()))

		f.Revoke(credential.Subject{Tenant: "t", User: "u", Call: "two"})
		eventually(t, "the end of all", func() bool { return f.Stats().Ways[way].Allocations == 0 })
		// for the next way
		time.Sleep(time.Until(began.Truncate(time.Second).Add(2 * time.Second)))
		one, two = mint("one"), mint("two")
		p.mu.Lock()
		clear(p.closed)
		p.mu.Unlock()
	})
}

// A server that drains keeps whom it has and sends others elsewhere.
func TestDrain(t *testing.T) {
	f := start(t, nil)
	_, relayed := f.mustAllocate(t, "pion v5", turn.TCP, user)
	alternate := netip.MustParseAddrPort("192.0.2.1:3478")
	f.Drain(alternate)
	require.True(t, f.Stats().Draining)
	raw := newRawClient(t, f.dial(t, turn.TCP))
	require.Equal(t, stun.CodeTryAlternate, raw.tryAllocate())
	var to stun.AlternateServer
	require.NoError(t, to.GetFrom(raw.last))
	require.Equal(t, alternate.String(), netip.AddrPortFrom(netip.MustParseAddr(to.IP.String()), uint16(to.Port)).String())
	bounce(t, relayed, echo(t))
	f.Drain(netip.AddrPort{})
	require.Equal(t, stun.CodeAllocQuotaReached, newRawClient(t, f.dial(t, turn.UDP)).tryAllocate())
}

// A nonce is of one client address and no other's.
func TestNonceOfAnotherAddress(t *testing.T) {
	f := start(t, nil)
	eachWay(t, func(t *testing.T, way turn.Way) {
		first := newRawClient(t, f.dial(t, way))
		require.Equal(t, stun.CodeUnauthorized, first.ask())
		second := newRawClient(t, f.dial(t, way))
		second.nonce, second.realm = first.nonce, first.realm
		require.Equal(t, stun.CodeStaleNonce, second.sign())
		require.Zero(t, first.sign())
	})
}

// Garbage over UDP is counted, and those who relay go on.
func TestFloodOfGarbage(t *testing.T) {
	f := start(t, nil)
	_, relayed := f.mustAllocate(t, "pion v5", turn.UDP, user)
	stop := make(chan struct{})
	flooded := make(chan int)
	go func() {
		conn := f.dial(t, turn.UDP)
		request := stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest)).Raw
		n := 0
		for ; ; n++ {
			select {
			case <-stop:
				flooded <- n
				return
			default:
			}
			for _, b := range [][]byte{request, {0x40}, {0x40, 0, 0xff, 0xff}, {0x16, 0xfe, 0xff, 0}, bytes.Repeat([]byte{0x40}, 2000), request[:19]} {
				_, _ = conn.Write(b)
			}
			time.Sleep(time.Millisecond)
		}
	}()
	bounce(t, relayed, echo(t))
	close(stop)
	n := <-flooded
	stats := f.Stats()
	require.Positive(t, stats.Dropped["unknown"], fmt.Sprint(n, stats))
	require.Zero(t, stats.Dropped["fault"])
}
