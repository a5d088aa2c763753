package peers

import "net/netip"

// Verdict says what becomes of packets for a peer.
type Verdict uint8

// The verdicts. The zero Verdict denies.
const (
	Denied  Verdict = iota
	Allowed         // through a relay socket
	Own             // a media address of ours: handed over in this process
)

// Rules say which peers may be relayed to. Set up by New and Refuse, then read from any goroutine.
type Rules struct {
	own   []netip.AddrPort
	allow []netip.Prefix
	ours  []ports
}

// ports of this machine.
type ports struct {
	ip          netip.Addr
	first, last uint16
}

// New returns rules for our own media addresses and the prefixes that the operator allows. A prefix of ::ffff:0:0/96 is taken for
// the IPv4 prefix in it.
func New(own []netip.AddrPort, allow []netip.Prefix) *Rules {
	r := &Rules{}
	for _, p := range own {
		r.own = append(r.own, netip.AddrPortFrom(p.Addr().Unmap().WithZone(""), p.Port()))
	}
	for _, p := range allow {
		if p.IsValid() && p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		if p.IsValid() {
			r.allow = append(r.allow, p.Masked())
		}
	}
	return r
}

// Refuse denies these ports of ip, first to last, whatever is allowed: what we listen on and what we relay from. The rest of a
// public ip, which is this machine, is denied too unless an allowed prefix names this one address.
func (r *Rules) Refuse(ip netip.Addr, first, last uint16) {
	r.ours = append(r.ours, ports{ip.Unmap().WithZone(""), first, last})
}

// Check judges a peer. It is called for each packet and does not allocate.
func (r *Rules) Check(p netip.AddrPort) Verdict {
	ip := p.Addr().Unmap()
	if len(r.own) > 0 {
		p = netip.AddrPortFrom(ip, p.Port())
		for _, own := range r.own {
			if own == p {
				return Own
			}
		}
	}
	if len(r.allow) == 0 || p.Port() == 0 || !r.allowed(ip) || r.isOurs(ip, p.Port()) {
		return Denied
	}
	return Allowed
}

// CheckAddr judges an address for which a permission is asked, which is without a port: the best verdict that one of its ports
// can have.
func (r *Rules) CheckAddr(ip netip.Addr) Verdict {
	ip = ip.Unmap()
	for _, own := range r.own {
		if own.Addr() == ip {
			return Own
		}
	}
	if len(r.allow) == 0 || !r.allowed(ip) {
		return Denied
	}
	return Allowed
}

// isOurs: packets to these would come back to us.
func (r *Rules) isOurs(ip netip.Addr, port uint16) bool {
	if in := inside(ip); in.IsValid() && r.isOurs(in, port) {
		return true
	}
	for i := range r.ours {
		if o := &r.ours[i]; o.ip == ip && o.first <= port && port <= o.last {
			return true
		}
	}
	return false
}

// allowed: a prefix of the operator's has ip in it, and is as narrow as the reserved range that ip is in.
func (r *Rules) allowed(ip netip.Addr) bool {
	if !ip.IsValid() || ip.Zone() != "" {
		return false
	}
	need := inReserved(ip)
	if need < 0 {
		for i := range r.ours {
			if r.ours[i].ip == ip {
				need = ip.BitLen()
			}
		}
	}
	bits := -1
	for i := range r.allow {
		if r.allow[i].Contains(ip) {
			bits = max(bits, r.allow[i].Bits())
		}
	}
	if bits < 0 || bits < need {
		return false
	}
	in := inside(ip)
	return !in.IsValid() || r.leadsTo(ip, in)
}

// leadsTo judges the IPv4 address in an IPv6 one, which the prefix that names its range allows too as long as it is a public one.
func (r *Rules) leadsTo(ip, in netip.Addr) bool {
	if high, _ := number6(ip); high>>16 == 0x0064_ff9b_0001 && high&0xffff != 0 {
		return false // of another length than /96: nothing tells where the IPv4 address is
	}
	for i := range r.ours {
		if r.ours[i].ip == in {
			return r.allowed(in)
		}
	}
	return inReserved(in) < 0 || r.allowed(in)
}
