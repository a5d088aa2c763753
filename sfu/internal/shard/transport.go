package shard

import (
	"slices"

	"github.com/tolkyn/tolkyn/internal/handover"
	"github.com/tolkyn/tolkyn/internal/udp"
)

// transport is a way to one client beside the shard's socket: an ICE-TCP connection, or a handover.Link, behind which a client is
// that another loop carries. Over a stream nothing is lost, only late, and nobody else can send on it: it needs no proof and no
// consent. A Link of datagrams is as good as a UDP address.
//
//	                  proved by    lost, measured   media leaves by
//	UDP address       our check    yes              the shard's socket, once a turn
//	Link, datagrams   our check    yes              the outlet of the carrier's socket, once a turn; Link.Send without a channel
//	Link, stream      itself       no               Link.Send
//	ICE-TCP           itself       no               the connection's writer
type transport struct {
	// Fixed.
	tcp    *tcpConn       // one of the two
	link   *handover.Link // likewise
	stream bool

	// Owned by the shard's loop.
	peer   *peer   // whose it is; nil: nobody's yet, or no more
	outlet *outlet // of the carrier's socket; nil: none was needed
	frame  []byte  // the packet being written to it, behind its header; nil: it leaves otherwise
	header int     // bytes of that
}

// Send sends a copy of b that is never stale: checks, and packets of the handshake. Safe from any goroutine.
func (v *transport) Send(b []byte) bool {
	if v.tcp != nil {
		return v.tcp.out.Send(b, true)
	}
	return v.link.Send(b, true)
}

// Stream implements handshake.Transport.
func (v *transport) Stream() bool { return v.stream }

// spaceBy is where the next packet of media to the client is written.
func (s *Shard) spaceBy(v *transport) []byte {
	v.frame = nil
	if v.link == nil {
		return s.sealRaw
	}
	via, to, header, n, ok := v.link.Datagrams()
	if !ok {
		return s.sealRaw
	}
	if v.outlet == nil || v.outlet.port != via || v.outlet.closed {
		v.outlet = s.outletOf(via)
	}
	o := v.outlet
	b := o.queue.Next(to)
	if b == nil {
		s.flushOutlet(o)
		b = o.queue.Next(to)
	}
	v.frame, v.header = b, copy(b, header[:n])
	return b[n:]
}

// sendBy sends the packet that was written to spaceBy.
func (s *Shard) sendBy(v *transport, b []byte) {
	switch {
	case v.tcp != nil:
		if !v.tcp.out.Send(b, false) {
			s.stats.Drops.TCPStale++
		}
		return
	case v.frame == nil:
		if !v.link.Send(b, false) {
			s.stats.Drops.LinkUnsent++
			return
		}
	case !v.link.Pays(len(b)):
		s.stats.Drops.LinkUnsent++
		return
	default:
		if v.header == handover.HeaderSize {
			v.frame[2], v.frame[3] = byte(len(b)>>8), byte(len(b))
		}
		o := v.outlet
		o.queue.Commit(v.header + len(b))
		if !o.waits {
			o.waits = true
			s.waitingOut = append(s.waitingOut, o)
		}
	}
	s.stats.HandedOut++
}

// overhead is what is added to a packet to the client up to IP, bytes. Of a relay's TLS nothing is known.
func (v *transport) overhead() int {
	const datagram, stream, frame = 8, 20, 2 // RFC 4571
	switch {
	case v.tcp != nil:
		return stream + frame
	case v.stream:
		return stream + handover.HeaderSize
	}
	return datagram + v.header
}

// outlet is what leaves for clients behind one socket of another loop. It is the shard's alone, as is the sender.
type outlet struct {
	port   udp.Port
	sender udp.Sender
	queue  *udp.Queue
	waits  bool // in Shard.waitingOut
	closed bool
}

// outletRoom is how many packets wait in an outlet at most: what one system call sends. There is an outlet for each socket that
// carries clients of the shard.
const outletRoom = 2 * udp.MaxMessages

func (s *Shard) outletOf(port udp.Port) *outlet {
	o := s.outs[port]
	if o == nil {
		o = &outlet{port: port, sender: udp.NewSender(port), queue: udp.NewQueue(outletRoom)}
		s.outs[port] = o
	}
	return o
}

// flushOutlet sends what waits. A socket that was closed is forgotten; its clients have gone with it.
func (s *Shard) flushOutlet(o *outlet) {
	if o.sender.Flush(o.queue) != nil && !o.closed {
		o.closed = true
		delete(s.outs, o.port)
	}
}

// flushOutlets sends what was written to the clients of other loops in this turn.
func (s *Shard) flushOutlets() {
	for i, o := range s.waitingOut {
		s.waitingOut[i], o.waits = nil, false
		s.flushOutlet(o)
	}
	s.waitingOut = s.waitingOut[:0]
}

// pathOf is the way that a Link is. It lasts when a check has proved to be a peer's; see keep.
func (s *Shard) pathOf(l *handover.Link) path {
	v := s.links[l]
	if v == nil {
		v = s.unproved
		v.link, v.stream = l, l.Stream()
	}
	return path{l.Addr(), v}
}

// keep remembers the transport of a Link from now on.
func (s *Shard) keep(v *transport) {
	if v == s.unproved && v != nil {
		s.links[v.link] = v
		s.unproved = &transport{}
	}
}

// claim makes a Link's transport a peer's. From the shard where it was so far, it is taken.
func (s *Shard) claim(v *transport, p *peer) {
	v.peer = p
	if v.link == nil {
		return
	}
	v.link.Prove()
	here := int32(s.cfg.Index + 1)
	if before := v.link.Home.Swap(here); before != here && before != 0 && s.cfg.LinkMoved != nil {
		s.cfg.LinkMoved(v.link, int(before-1))
	}
	if v.link.Ended() { // just now, and whoever ended it may not have seen that it is here
		s.Forget(v.link)
	}
}

// elsewhere says whether a Link of datagrams is that of a peer on another shard: who claims to be there has to prove it.
func (s *Shard) elsewhere(v *transport) bool {
	if v == nil || v.link == nil || v.stream {
		return false
	}
	home := v.link.Home.Load()
	return home != 0 && home != int32(s.cfg.Index+1)
}

// endTransport is called when a peer has no more use for its transport: it belongs to one peer, and a connection held open
// afterwards would keep its place for ever.
func (s *Shard) endTransport(v *transport) {
	p := v.peer
	v.peer = nil
	if p.hs != nil {
		p.hs.Detach(v)
	}
	if v.tcp != nil {
		v.tcp.conn.Close()
		return
	}
	delete(s.links, v.link)
	if v.link.Home.CompareAndSwap(int32(s.cfg.Index+1), 0) {
		v.link.Close()
	}
}

// Forget has the shard let go of a Link: its client is gone, or has proved to be a peer of another shard. It does not block.
func (s *Shard) Forget(l *handover.Link) {
	s.forgotten.mu.Lock()
	s.forgotten.links = append(s.forgotten.links, l)
	s.forgotten.mu.Unlock()
	s.forgotten.any.Store(true)
	s.wake()
}

// forget lets go of the Links that Forget named.
func (s *Shard) forget() {
	if !s.forgotten.any.Load() || !s.forgotten.any.Swap(false) {
		return
	}
	for {
		s.forgotten.mu.Lock()
		links := s.forgotten.links
		if len(links) == 0 {
			s.forgotten.mu.Unlock()
			return
		}
		l := links[len(links)-1]
		s.forgotten.links = slices.Delete(links, len(links)-1, len(links))
		s.forgotten.mu.Unlock()
		v := s.links[l]
		if v == nil {
			continue
		}
		if p := v.peer; p != nil {
			s.suspect = p
			s.disallow(p, path{l.Addr(), v})
		}
		delete(s.links, l)
	}
}
