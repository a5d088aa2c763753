package udp

import (
	"errors"
	"net/netip"
	"sync"
	"time"
)

// portableGroup is the form for systems other than Linux: each port's reader goroutine tells it. It looks at all of them, which is
// for tens of ports, not for thousands.
type portableGroup struct {
	// Fixed after newPortableGroup.
	changed chan struct{} // holds a token when something came since the last look
	ended   chan struct{} // closed by Close

	// Guarded by mu.
	mu     sync.Mutex
	ports  map[*groupedPort]Key
	inner  map[*portableGroup]Key
	outer  *portableGroup
	woken  bool
	closed bool
}

// groupedPort is a port that leaves its group when it closes.
type groupedPort struct {
	*portableSocket
	group *portableGroup
}

func newPortableGroup() *portableGroup {
	return &portableGroup{
		changed: make(chan struct{}, 1), ended: make(chan struct{}),
		ports: make(map[*groupedPort]Key), inner: make(map[*portableGroup]Key),
	}
}

func (g *portableGroup) Listen(addr netip.AddrPort, cfg Config, key Key) (Port, error) {
	addr, err := listenable(addr)
	if err != nil {
		return nil, err
	}
	conn, err := listenConn(addr, cfg.withDefaults())
	if err != nil {
		return nil, err
	}
	p := &groupedPort{group: g}
	g.mu.Lock()
	defer g.mu.Unlock()
	p.portableSocket = newPortable(conn, newMover(conn), g.signal)
	g.ports[p] = key
	return p, nil
}

// Close is Port.Close.
func (p *groupedPort) Close() error {
	p.group.mu.Lock()
	delete(p.group.ports, p)
	p.group.mu.Unlock()
	return p.portableSocket.Close()
}

func (g *portableGroup) Watch(int, Key) error { return errors.ErrUnsupported }
func (g *portableGroup) Unwatch(int)          {}

func (g *portableGroup) Join(inner Group, key Key) error {
	in, ok := inner.(*portableGroup)
	if !ok {
		return errors.ErrUnsupported
	}
	in.mu.Lock()
	in.outer = g
	in.mu.Unlock()
	g.mu.Lock()
	g.inner[in] = key
	g.mu.Unlock()
	g.signal()
	return nil
}

func (g *portableGroup) Leave(inner Group) {
	in, ok := inner.(*portableGroup)
	if !ok {
		return
	}
	in.mu.Lock()
	in.outer = nil
	in.mu.Unlock()
	g.mu.Lock()
	delete(g.inner, in)
	g.mu.Unlock()
}

func (g *portableGroup) Wait(timeout time.Duration, ready []Key) ([]Key, error) {
	var expired <-chan time.Time
	for {
		told := len(ready)
		var over bool
		var err error
		if ready, over, err = g.look(ready); over || err != nil || timeout == 0 || len(ready) > told {
			return ready, err
		}
		if timeout > 0 && expired == nil {
			timer := time.NewTimer(timeout)
			defer timer.Stop()
			expired = timer.C
		}
		select {
		case <-g.changed:
		case <-expired:
			return ready, nil
		case <-g.ended:
			return ready, ErrClosed
		}
	}
}

// look appends what is ready, takes the wake if there was one and reports that.
func (g *portableGroup) look(ready []Key) ([]Key, bool, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return ready, false, ErrClosed
	}
	for p, key := range g.ports {
		if p.inbox.Len() > 0 {
			ready = append(ready, key)
		}
	}
	for in, key := range g.inner {
		if in.pending() {
			ready = append(ready, key)
		}
	}
	woken := g.woken
	g.woken = false
	return ready, woken, nil
}

func (g *portableGroup) pending() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for p := range g.ports {
		if p.inbox.Len() > 0 {
			return true
		}
	}
	return g.woken
}

func (g *portableGroup) Wake() {
	g.mu.Lock()
	g.woken = true
	g.mu.Unlock()
	g.signal()
}

func (g *portableGroup) signal() {
	select {
	case g.changed <- struct{}{}:
	default:
	}
	g.mu.Lock()
	outer := g.outer
	g.mu.Unlock()
	if outer != nil {
		outer.signal()
	}
}

func (g *portableGroup) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		g.closed = true
		close(g.ended)
	}
	return nil
}
