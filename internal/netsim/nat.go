package netsim

import "net/netip"

// NAT is a home router or a carrier's: hosts behind it share its public address. A private port keeps one public port for all
// destinations, and only those it has sent to may answer (RFC 4787: endpoint-independent mapping, address and port-dependent
// filtering).
type NAT struct {
	// Fixed after Network.NAT.
	network *Network
	public  netip.Addr

	// Guarded by network.mu.
	out      map[endpoint]uint16
	in       map[uint16]*mapping
	nextPort uint16
}

type endpoint struct {
	host *Host
	port uint16
}

type mapping struct {
	endpoint
	peers map[netip.AddrPort]bool // that may answer
}

// NAT adds a NAT with this public address. It panics when the address is taken.
func (n *Network) NAT(public netip.Addr) *NAT {
	n.mu.Lock()
	defer n.mu.Unlock()
	public = public.Unmap()
	if n.owners[public] != nil {
		panic("netsim: NAT at " + public.String() + ": address in use")
	}
	t := &NAT{network: n, public: public, nextPort: firstPort}
	t.clear()
	n.owners[public] = t
	return t
}

// Host returns the host behind the NAT with this private address and adds it when there is none.
func (t *NAT) Host(private netip.Addr) *Host {
	t.network.mu.Lock()
	defer t.network.mu.Unlock()
	return t.network.host(private, t)
}

// Public is the NAT's public address.
func (t *NAT) Public() netip.Addr { return t.public }

// Rebind forgets all mappings, as a router does that restarts or was idle too long: what hosts send next comes from new
// public ports, and nothing arrives at the old ones.
func (t *NAT) Rebind() {
	t.network.mu.Lock()
	defer t.network.mu.Unlock()
	t.clear()
}

func (t *NAT) clear() {
	t.out, t.in = make(map[endpoint]uint16), make(map[uint16]*mapping)
}

func (t *NAT) forget(h *Host) {
	for e, port := range t.out {
		if e.host == h {
			delete(t.out, e)
			delete(t.in, port)
		}
	}
}

// source maps a private port and lets the destination answer.
func (t *NAT) source(h *Host, port uint16, to netip.AddrPort) netip.AddrPort {
	e := endpoint{h, port}
	public, ok := t.out[e]
	if !ok {
		for t.in[t.nextPort] != nil {
			t.nextPort = max(t.nextPort+1, firstPort)
		}
		public = t.nextPort
		t.nextPort = max(t.nextPort+1, firstPort)
		t.out[e] = public
		t.in[public] = &mapping{endpoint: e, peers: make(map[netip.AddrPort]bool)}
	}
	t.in[public].peers[to] = true
	return netip.AddrPortFrom(t.public, public)
}

// locate finds the host whose mapping admits the sender.
func (t *NAT) locate(from, to netip.AddrPort) (*Host, uint16) {
	m, ok := t.in[to.Port()]
	if !ok || !m.peers[from] {
		return nil, 0
	}
	return m.host, m.port
}
