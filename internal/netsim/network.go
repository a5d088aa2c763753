package netsim

import (
	"container/heap"
	"net/netip"
	"sync"
	"time"

	"github.com/tolkyn/tolkyn/internal/packet"
)

// Network is hosts and the links between them. All its methods and those of its hosts are safe from any goroutine.
type Network struct {
	// Fixed after New.
	seed  uint64
	epoch time.Time

	// Guarded by mu, like the fields of all hosts and NATs.
	mu      sync.Mutex
	owners  map[netip.Addr]owner
	hosts   int
	links   map[direction]*hostLink
	initial LinkConfig
	cut     map[direction]bool
	flying  flights
	sent    uint64
	timer   *time.Timer
	armed   bool          // the timer runs, and ends
	due     time.Duration // then
	stats   Stats
	closed  bool
}

// owner has an address: a Host or a NAT.
type owner interface {
	// locate finds the host and port that a packet from one address to another is for; nil when nobody takes it.
	locate(from, to netip.AddrPort) (*Host, uint16)
}

type direction struct{ from, to *Host }

type hostLink struct {
	*Link
	own bool // set by SetLink, not by SetDefault
}

// Stats counts packets by what became of them.
type Stats struct {
	Sent, Delivered, Duplicated uint64
	Lost, QueueFull             uint64 // by the link
	Cut                         uint64 // by Cut, or dark by the link
	Unreachable                 uint64 // no host, NAT mapping or open port there when it was sent or arrived
}

// New returns an empty network whose links are perfect. The seed decides every loss and delay.
func New(seed uint64) *Network {
	return &Network{
		seed: seed, epoch: time.Now(),
		owners: make(map[netip.Addr]owner), links: make(map[direction]*hostLink), cut: make(map[direction]bool),
	}
}

// Host returns the host with this address and adds it when there is none. It panics when a NAT has the address.
func (n *Network) Host(addr netip.Addr) *Host {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.host(addr, nil)
}

func (n *Network) host(addr netip.Addr, nat *NAT) *Host {
	addr = addr.Unmap()
	if o, ok := n.owners[addr]; ok {
		return o.(*Host)
	}
	n.hosts++
	h := &Host{network: n, number: n.hosts, nat: nat, addr: addr, ports: make(map[uint16]receiver), nextPort: firstPort}
	n.owners[addr] = h
	return h
}

// SetDefault describes both directions of all links that SetLink and SetPath have not.
func (n *Network) SetDefault(cfg LinkConfig) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.initial = cfg
	for _, l := range n.links {
		if !l.own {
			l.Set(cfg)
		}
	}
}

// SetLink describes the link from one host to another, at any time. A NAT between them belongs to the link.
func (n *Network) SetLink(from, to *Host, cfg LinkConfig) {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.link(from, to)
	l.own = true
	l.Set(cfg)
}

// SetPath describes the links in both directions alike.
func (n *Network) SetPath(a, b *Host, cfg LinkConfig) {
	n.SetLink(a, b, cfg)
	n.SetLink(b, a, cfg)
}

// Follow has the link from one host to another be as the trace says, beginning now.
func (n *Network) Follow(from, to *Host, t Trace) {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.link(from, to)
	l.own = true
	l.Follow(t, time.Since(n.epoch))
}

func (n *Network) link(from, to *Host) *hostLink {
	d := direction{from, to}
	l, ok := n.links[d]
	if !ok {
		l = &hostLink{Link: NewLink(n.initial, n.seed<<20^uint64(from.number)<<10^uint64(to.number))}
		n.links[d] = l
	}
	return l
}

// Cut drops everything sent between two hosts from now on, or mends the path again.
func (n *Network) Cut(a, b *Host, cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut[direction{a, b}] = cut
	n.cut[direction{b, a}] = cut
}

// Stats returns the counters since New.
func (n *Network) Stats() Stats {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.stats
}

// send puts a datagram on its way.
func (n *Network) send(h *Host, port uint16, data []byte, to netip.AddrPort, ecn packet.ECN) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return
	}
	n.stats.Sent++
	from := h.source(port, to)
	target, _ := n.locate(from, to)
	d := direction{h, target}
	switch {
	case target == nil:
		n.stats.Unreachable++
		return
	case n.cut[d]:
		n.stats.Cut++
		return
	}
	now := time.Since(n.epoch)
	fate := Fate{At: now, Copies: 1} // a host reaches itself at once
	if h != target {
		fate = n.link(h, target).Send(now, len(data)+headerSize(to.Addr()))
	}
	switch fate.Verdict {
	case Lost:
		n.stats.Lost++
	case QueueFull:
		n.stats.QueueFull++
	case Dark:
		n.stats.Cut++
	case Arrives:
		n.stats.Duplicated += uint64(fate.Copies - 1)
		data = append([]byte(nil), data...)
		if fate.Marked && ecn != packet.NotECT {
			ecn = packet.CE
		}
		for range fate.Copies {
			n.sent++
			heap.Push(&n.flying, flight{at: fate.At, number: n.sent, from: from, to: to, data: data, ecn: ecn})
		}
		n.arm(now)
	}
}

// locate finds who an address belongs to at this moment.
func (n *Network) locate(from, to netip.AddrPort) (*Host, uint16) {
	o, ok := n.owners[to.Addr()]
	if !ok {
		return nil, 0
	}
	return o.locate(from, to)
}

// arm lets land run when the next packet arrives.
func (n *Network) arm(now time.Duration) {
	if len(n.flying) == 0 {
		return
	}
	// Not again for what it waits for already: under the race detector, a timer in a bubble that is reset to this very moment
	// crashes the runtime (Go 1.26.8).
	if n.armed && n.due <= n.flying[0].at {
		return
	}
	n.armed, n.due = true, n.flying[0].at
	wait := max(n.due-now, 0)
	if n.timer == nil {
		n.timer = time.AfterFunc(wait, n.land)
	} else {
		n.timer.Reset(wait)
	}
}

// land delivers what has arrived. The way is looked up again: the host may have moved, the NAT forgotten.
func (n *Network) land() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.armed = false
	now := time.Since(n.epoch)
	for !n.closed && len(n.flying) > 0 && n.flying[0].at <= now {
		f := heap.Pop(&n.flying).(flight)
		host, port := n.locate(f.from, f.to)
		if host == nil || host.ports[port] == nil {
			n.stats.Unreachable++
			continue
		}
		n.stats.Delivered++
		host.ports[port].receive(f.data, f.from, f.ecn)
	}
	if !n.closed {
		n.arm(now)
	}
}

// Close drops what is under way and closes all sockets. A second Close does nothing.
func (n *Network) Close() {
	n.mu.Lock()
	n.closed = true
	n.flying = nil
	if n.timer != nil {
		n.timer.Stop()
	}
	var open []receiver
	for _, o := range n.owners {
		if h, ok := o.(*Host); ok {
			for _, r := range h.ports {
				open = append(open, r)
			}
		}
	}
	n.mu.Unlock()
	for _, r := range open {
		_ = r.Close()
	}
}

// headerSize is what IP and UDP add to a datagram.
func headerSize(to netip.Addr) int {
	if to.Is4() {
		return 28
	}
	return 48
}

// flight is a datagram under way.
type flight struct {
	at       time.Duration
	number   uint64 // keeps the order of sending among equal times
	from, to netip.AddrPort
	data     []byte
	ecn      packet.ECN
}

// flights is a heap by time of arrival.
type flights []flight

func (f flights) Len() int      { return len(f) }
func (f flights) Swap(i, j int) { f[i], f[j] = f[j], f[i] }
func (f *flights) Push(x any)   { *f = append(*f, x.(flight)) }

func (f flights) Less(i, j int) bool {
	if f[i].at != f[j].at {
		return f[i].at < f[j].at
	}
	return f[i].number < f[j].number
}

func (f *flights) Pop() any {
	last := len(*f) - 1
	x := (*f)[last]
	(*f)[last] = flight{}
	*f = (*f)[:last]
	return x
}
