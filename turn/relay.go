package turn

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/tolkyn/tolkyn/internal/handover"
	"github.com/tolkyn/tolkyn/internal/udp"
	"github.com/tolkyn/tolkyn/turn/internal/control"
	"github.com/tolkyn/tolkyn/turn/internal/peers"
)

// maxLinks is how many of our media addresses one allocation may speak to: an ICE agent checks them all.
const maxLinks = 64

// allocation is the data side of a control.Allocation: its Value. Its lane owns it.
type allocation struct {
	// Fixed after lane.allocation.
	lane     *lane
	a        *control.Allocation
	port     udp.Port // reaches the client over UDP
	conn     *conn    // or over a connection
	user, ip *account

	// Owned by the lane.
	links []*link
	last  *link // that was used last
}

// relayPort is a relayed address with a socket.
type relayPort struct {
	// Fixed after lane.open.
	port    udp.Port
	relayed netip.AddrPort
	key     udp.Key

	of *allocation // owned by the lane; nil until the answer to Allocate is on its way
}

// link is an allocation as one of our media addresses sees it.
type link struct {
	*handover.Link

	// Fixed after allocation.link.
	of      *allocation
	own     netip.AddrPort
	channel atomic.Uint32 // 0: none
}

// toPeer relays data of the client.
func (al *allocation) toPeer(peer netip.AddrPort, verdict peers.Verdict, data []byte) {
	l := al.lane
	if verdict == peers.Denied {
		l.dropped(noPermission, 1)
		return
	}
	if !al.passes(len(data), true, l.now) {
		l.dropped(overRate, 1)
		return
	}
	if verdict == peers.Own {
		al.deliver(peer, data)
		return
	}
	rp := l.relays[al.relayed(peer.Addr())]
	if rp == nil {
		l.dropped(noFamily, 1)
		return
	}
	traffic := &l.ways[al.a.Client.Way].ToPeers
	traffic.Packets++
	traffic.Bytes += uint64(len(data))
	l.toPeer(rp.port, peer, data)
}

// relayed is the relayed address of the peer's family.
func (al *allocation) relayed(peer netip.Addr) netip.AddrPort {
	if peer.Is4() {
		return al.a.Relayed[0]
	}
	return al.a.Relayed[1]
}

// passes reports whether the user's and the address's rates allow so many bytes. Any goroutine.
func (al *allocation) passes(size int, up bool, at time.Time) bool {
	limits := &al.lane.server.quotas.limits
	if !limits.inBits() {
		return true
	}
	user, ip, now := &al.user.down, &al.ip.down, at.UnixNano()
	if up {
		user, ip = &al.user.up, &al.ip.up
	}
	return user.take(8*size, limits.BitsPerUser, bitsBurst, now) && ip.take(8*size, limits.BitsPerIP, bitsBurst, now)
}

// deliver hands data to our own media.
func (al *allocation) deliver(own netip.AddrPort, data []byte) {
	l := al.lane
	k := al.link(own)
	if k == nil {
		l.dropped(noPath, 1)
		return
	}
	if !l.server.cfg.Path.Deliver(own, k.Link, data) {
		l.dropped(pathFull, 1)
		return
	}
	traffic := &l.ways[al.a.Client.Way].HandedOver
	traffic.Packets++
	traffic.Bytes += uint64(len(data))
}

// link is the allocation's to this media address; the first packet makes it.
func (al *allocation) link(own netip.AddrPort) *link {
	if al.last != nil && al.last.own == own && !al.last.Ended() {
		return al.last
	}
	for _, k := range al.links {
		if k.own == own {
			al.last = k
			return k
		}
	}
	if al.lane.server.cfg.Path == nil {
		return nil
	}
	if len(al.links) >= maxLinks {
		i := slices.IndexFunc(al.links, func(k *link) bool { return !k.Proved() })
		if i < 0 {
			return nil
		}
		al.end(al.links[i])
	}
	k := &link{of: al, own: own}
	cfg := handover.Config{Addr: al.relayed(own.Addr()), To: al.a.Client.Addr, Stream: al.conn != nil, Port: al.port, Carrier: k}
	if al.lane.server.quotas.limits.inBits() {
		cfg.Pays = k.pays
	}
	k.Link = handover.New(cfg)
	if channel, ok := al.a.Channel(al.lane.now, own); ok {
		k.through(channel)
	}
	al.links = append(al.links, k)
	al.lane.linked[al] = struct{}{}
	al.last = k
	return k
}

// through lets the link have this channel; 0: none.
func (k *link) through(channel uint16) {
	k.channel.Store(uint32(channel))
	k.Bind(channel)
}

// end takes a link from the SFU.
func (al *allocation) end(k *link) {
	if al.last == k {
		al.last = nil
	}
	al.links = slices.DeleteFunc(al.links, func(other *link) bool { return other == k })
	if len(al.links) == 0 {
		delete(al.lane.linked, al)
	}
	if !k.Ended() {
		k.End()
		al.lane.server.cfg.Path.Closed(k.Link)
	}
}

// refresh ends the links whose permission ran out.
func (al *allocation) refresh(now time.Time) {
	for i := len(al.links) - 1; i >= 0; i-- {
		k := al.links[i]
		if al.a.May(now, k.own) != peers.Own {
			al.end(k)
		}
	}
}

// bound is control.Config.Bound.
func (al *allocation) bound(peer netip.AddrPort, channel uint16) {
	for _, k := range al.links {
		if k.own == peer {
			k.through(channel)
		}
	}
}

// pays is handover.Config.Pays: what the SFU sends counts as what a peer does. Any goroutine.
func (k *link) pays(size int) bool {
	if !k.of.passes(size, false, time.Now()) {
		k.of.lane.server.unpaid.Add(1)
		return false
	}
	return true
}

// Send is handover.Carrier.Send: streams, and datagrams as long as there is no channel. Checks and handshakes are counted, and leave
// whatever was. Any goroutine.
func (k *link) Send(_ *handover.Link, b []byte, always bool) bool {
	if k.of.lane.server.quotas.limits.inBits() && !k.pays(len(b)) && !always {
		return false
	}
	channel := uint16(k.channel.Load())
	c := k.of.conn
	if c == nil {
		out := buffers.Get().(*[packetRoom]byte)
		defer buffers.Put(out)
		n := 0
		if channel != 0 {
			h := channelHeader(channel, len(b))
			n = copy(out[:], h[:])
			n += copy(out[n:], b)
		} else {
			n = len(k.of.lane.indication(out[:0], k.own, b))
		}
		_, err := k.of.port.WriteTo(out[:n], k.of.a.Client.Addr)
		return err == nil
	}
	now := time.Now()
	sent := false
	if channel != 0 {
		h := channelHeader(channel, len(b))
		sent = c.send(h[:], b, now, always)
	} else {
		out := buffers.Get().(*[packetRoom]byte)
		sent = c.send(nil, k.of.lane.indication(out[:0], k.own, b), now, always)
		buffers.Put(out)
	}
	if !sent {
		return false
	}
	k.of.lane.call(c)
	return true
}

// Done is handover.Carrier.Done.
func (k *link) Done(*handover.Link) {
	k.of.lane.post(func(*lane) {
		k.End()
		k.of.end(k)
	})
}

// fromPeer brings a peer's datagram to the client.
func (al *allocation) fromPeer(peer netip.AddrPort, data []byte) {
	l := al.lane
	if al.a.May(l.now, peer) != peers.Allowed {
		l.dropped(noPermission, 1)
		return
	}
	if !al.passes(len(data), false, l.now) {
		l.dropped(overRate, 1)
		return
	}
	channel, bound := al.a.Channel(l.now, peer)
	switch {
	case al.conn != nil:
		sent := false
		if bound {
			h := channelHeader(channel, len(data))
			sent = al.conn.send(h[:], data, l.now, false)
		} else {
			l.room = l.indication(l.room[:0], peer, data)
			sent = al.conn.send(nil, l.room, l.now, false)
		}
		if !sent {
			l.dropped(slow, 1)
			return
		}
		l.write(al.conn)
	case len(data) > maxData:
		l.dropped(oversized, 1)
		return
	default:
		b := l.toClient(al.port, al.a.Client.Addr)
		if bound {
			binary.BigEndian.PutUint16(b, channel)
			binary.BigEndian.PutUint16(b[2:], uint16(len(data)))
			l.out.Commit(handover.HeaderSize + copy(b[handover.HeaderSize:], data))
		} else {
			l.out.Commit(len(l.indication(b[:0], peer, data)))
		}
	}
	traffic := &l.ways[al.a.Client.Way].FromPeers
	traffic.Packets++
	traffic.Bytes += uint64(len(data))
}

// close ends what the allocation has of the shell's in one family, whose relayed address is given back.
func (al *allocation) close(ipv4 bool) {
	for i := len(al.links) - 1; i >= 0; i-- {
		if k := al.links[i]; k.own.Addr().Is4() == ipv4 {
			al.end(k)
		}
	}
}
