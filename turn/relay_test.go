package turn_test

import (
	"crypto/tls"
	"encoding/binary"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/handover"
	"github.com/tolkyn/tolkyn/internal/udp"
	"github.com/tolkyn/tolkyn/turn"
)

// Clients that others wrote allocate, permit, bind and relay through us, over each way.
func TestRelay(t *testing.T) {
	f := start(t, nil)
	for stranger := range strangers {
		t.Run(stranger, func(t *testing.T) {
			eachWay(t, func(t *testing.T, way turn.Way) {
				before := f.Stats().Ways[way]
				_, relayed := f.mustAllocate(t, stranger, way, user)
				bounce(t, relayed, echo(t))
				eventually(t, "counters", func() bool {
					now := f.Stats().Ways[way]
					return now.Allocations == 1 && now.Allocated == before.Allocated+1 &&
						now.ToPeers.Packets-before.ToPeers.Packets == rounds && now.FromPeers.Packets-before.FromPeers.Packets == rounds &&
						now.ToPeers.Bytes-before.ToPeers.Bytes == now.FromPeers.Bytes-before.FromPeers.Bytes
				})
				require.NoError(t, relayed.Close())
				eventually(t, "the end of the allocation", func() bool { return f.Stats().Ways[way].Allocations == 0 })
			})
		})
	}
}

const rounds = 60

// bounce sends datagrams of many sizes to a peer that echoes them. The first go as indications, later ones through a channel.
func bounce(t testing.TB, relayed net.PacketConn, peer net.Addr) {
	t.Helper()
	b := make([]byte, 2048)
	for i := range rounds {
		sent := make([]byte, 8+i*20) // pion waits for more than 8 bytes of a frame
		binary.BigEndian.PutUint32(sent, uint32(i))
		_, err := relayed.WriteTo(sent, peer)
		require.NoError(t, err)
		require.NoError(t, relayed.SetReadDeadline(time.Now().Add(patience)))
		n, from, err := relayed.ReadFrom(b)
		require.NoError(t, err, "round %d", i)
		require.Equal(t, sent, b[:n])
		require.Equal(t, peer.String(), from.String())
		time.Sleep(time.Millisecond)
	}
}

// Connections that we cannot take out of Go's poller are served by goroutines, to the same effect.
func TestRelayOverForeignConnections(t *testing.T) {
	f := start(t, func(c *turn.Config) {
		c.TCP = []net.Listener{opaque{c.TCP[0]}}
		secure := c.TLS[0]
		c.TLS = []net.Listener{opaque{secure}}
	})
	for _, way := range []turn.Way{turn.TCP, turn.TLS} {
		t.Run(wayNames[way], func(t *testing.T) {
			_, relayed := f.mustAllocate(t, "pion v5", way, user)
			bounce(t, relayed, echo(t))
		})
	}
}

// opaque hides what its connections are.
type opaque struct{ net.Listener }

func (o opaque) Accept() (net.Conn, error) {
	c, err := o.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if t, ok := c.(*tls.Conn); ok {
		if err := t.Handshake(); err != nil {
			return nil, err
		}
	}
	return struct{ net.Conn }{c}, nil
}

// path is a PacketPath that echoes, as the SFU would answer: through the shard's own sender where there is a channel.
type path struct {
	t       testing.TB
	answers int // to each packet; 0: one
	sized   int // bytes of an answer; 0: as long as what came

	mu     sync.Mutex
	links  map[*handover.Link]netip.AddrPort
	closed map[*handover.Link]bool
	direct int // packets answered past the server
	queue  *udp.Queue
	via    map[udp.Port]udp.Sender
}

func newPath(t testing.TB) *path {
	return &path{
		t: t, links: make(map[*handover.Link]netip.AddrPort), closed: make(map[*handover.Link]bool), queue: udp.NewQueue(1),
		via: make(map[udp.Port]udp.Sender),
	}
}

func (p *path) Deliver(to netip.AddrPort, l *handover.Link, b []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.links[l] = to
	if p.sized > 0 {
		b = make([]byte, p.sized)
	}
	sent := true
	for range max(p.answers, 1) {
		sent = p.answer(l, b) && sent
	}
	return sent
}

// answer is called with mu held.
func (p *path) answer(l *handover.Link, b []byte) bool {
	port, client, header, n, ok := l.Datagrams()
	if !ok {
		return l.Send(b, false)
	}
	if !l.Pays(len(b)) {
		return true // it may not leave, which is no fault
	}
	sender := p.via[port]
	if sender == nil {
		sender = udp.NewSender(port)
		p.via[port] = sender
	}
	room := p.queue.Next(client)
	copy(room, header[:n])
	binary.BigEndian.PutUint16(room[2:], uint16(len(b)))
	p.queue.Commit(n + copy(room[n:], b))
	p.direct++
	return sender.Flush(p.queue) == nil
}

func (p *path) Closed(l *handover.Link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed[l] {
		p.t.Errorf("a link was closed twice")
	}
	p.closed[l] = true
}

func (p *path) count() (links, closed, direct int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.links), len(p.closed), p.direct
}

// What clients send to our own media reaches it in memory, and no relay socket is there.
func TestHandOver(t *testing.T) {
	own := []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:5004"), netip.MustParseAddrPort("127.0.0.1:5006")}
	eachWay(t, func(t *testing.T, way turn.Way) {
		p := newPath(t)
		f := start(t, func(c *turn.Config) {
			c.Own, c.Path, c.Allow = own, p, nil
		})
		_, relayed := f.mustAllocate(t, "pion v5", way, user)
		socket, err := net.ListenPacket("udp4", relayed.LocalAddr().String())
		require.NoError(t, err, "nobody binds the relayed address")
		require.NoError(t, socket.Close())
		for _, at := range own {
			bounce(t, relayed, net.UDPAddrFromAddrPort(at))
		}
		links, closed, direct := p.count()
		require.Equal(t, len(own), links, "one link of each media address")
		require.Zero(t, closed)
		if way == turn.UDP {
			require.Greater(t, direct, rounds, "media goes through the channel, past the server")
		} else {
			require.Zero(t, direct)
		}
		for l, at := range p.links {
			require.Contains(t, own, at)
			require.Equal(t, relayed.LocalAddr().String(), l.Addr().String())
			require.Equal(t, way != turn.UDP, l.Stream())
		}
		eventually(t, "counters", func() bool { return f.Stats().Ways[way].HandedOver.Packets == uint64(len(own)*rounds) })
		require.Zero(t, f.Stats().Ways[way].ToPeers.Packets)

		// Of our own addresses only the media's are open.
		_, _ = relayed.WriteTo([]byte("elsewhere"), &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 5005})
		eventually(t, "its drop", func() bool { return f.Stats().Dropped["no_permission"] > 0 })
		require.Zero(t, f.Stats().Ways[way].ToPeers.Packets)
		require.NoError(t, relayed.Close())
		eventually(t, "the end of the links", func() bool {
			_, closed, _ := p.count()
			return closed == len(own)
		})
	})
}

// The SFU may end a link; the client's next packet makes another.
func TestLinkThatTheSFUEnds(t *testing.T) {
	own := netip.MustParseAddrPort("127.0.0.1:5004")
	p := newPath(t)
	f := start(t, func(c *turn.Config) { c.Own, c.Path, c.Allow = []netip.AddrPort{own}, p, nil })
	_, relayed := f.mustAllocate(t, "pion v5", turn.TCP, user)
	bounce(t, relayed, net.UDPAddrFromAddrPort(own))
	p.mu.Lock()
	for l := range p.links {
		l.Close()
	}
	p.mu.Unlock()
	eventually(t, "the end of the link", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		for l := range p.links {
			if !l.Ended() {
				return false
			}
		}
		return true
	})
	bounce(t, relayed, net.UDPAddrFromAddrPort(own))
	links, closed, _ := p.count()
	require.Equal(t, 2, links)
	require.Zero(t, closed, "what the SFU ended it is not told of")
}
