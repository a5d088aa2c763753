package oneport

import (
	"container/list"
	"net"
	"net/netip"
	"sync"
)

const (
	// maxPlaces bounds the connections of which it is not known yet what they are for. Each costs two goroutines at most and less
	// than 64 KiB.
	maxPlaces = 1024
	// maxPlacesOfOne bounds those of one network: a carrier's NAT, behind which many connect at once after a restart.
	maxPlacesOfOne = 256
)

// places are the connections of which it is not known yet what they are for. An honest client leaves within a few round trips: where
// there is no place left, who has held one for longest loses it.
type places struct {
	// Guarded by mu.
	mu     sync.Mutex
	all    list.List                   // of *place, oldest first
	of     map[netip.Prefix]*list.List // the same by network
	closed bool
	lost   uint64 // places taken away
}

type place struct {
	conn    net.Conn
	network netip.Prefix
	in, by  *list.Element // nil: left
}

// take gives a connection a place; nil when there are no more to be had. The connection of who loses one is closed.
func (p *places) take(conn net.Conn) *place {
	taken := &place{conn: conn, network: networkOf(conn.RemoteAddr())}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	if p.of == nil {
		p.of = map[netip.Prefix]*list.List{}
	}
	own := p.of[taken.network]
	switch {
	case own != nil && own.Len() >= maxPlacesOfOne:
		p.drop(own.Front().Value.(*place))
	case p.all.Len() >= maxPlaces:
		p.drop(p.all.Front().Value.(*place))
	}
	if own = p.of[taken.network]; own == nil {
		own = list.New()
		p.of[taken.network] = own
	}
	taken.in, taken.by = p.all.PushBack(taken), own.PushBack(taken)
	return taken
}

// drop ends who holds a place. Called with mu held.
func (p *places) drop(held *place) {
	p.lost++
	_ = held.conn.Close() // its own goroutine finds out
	p.remove(held)
}

// leave gives a place back; false when it has been taken away.
func (p *places) leave(held *place) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if held.in == nil {
		return false
	}
	p.remove(held)
	return true
}

// remove is called with mu held.
func (p *places) remove(held *place) {
	own := p.of[held.network]
	p.all.Remove(held.in)
	own.Remove(held.by)
	if own.Len() == 0 {
		delete(p.of, held.network)
	}
	held.in, held.by = nil, nil
}

// close ends all that hold a place; there are none from then on.
func (p *places) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for p.all.Len() > 0 {
		p.drop(p.all.Front().Value.(*place))
	}
}

// networkOf is what one client has for itself: an IPv4 address, or the 64 bits of an IPv6 one that a site is given.
func networkOf(a net.Addr) netip.Prefix {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	address := tcp.AddrPort().Addr().Unmap()
	bits := 64
	if address.Is4() {
		bits = 32
	}
	network, _ := address.Prefix(bits)
	return network
}
