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
type Rules struct{}

// New returns rules for our own media addresses and the prefixes that the operator allows.
func New(own []netip.AddrPort, allow []netip.Prefix) *Rules { return &Rules{} }

// Refuse denies these ports of ip, first to last, whatever is allowed: what we listen on and what we relay from. The rest of a
// public ip, which is this machine, is denied too unless an allowed prefix names this one address.
func (r *Rules) Refuse(ip netip.Addr, first, last uint16) {}

// Check judges a peer. It is called for each packet and does not allocate.
func (r *Rules) Check(p netip.AddrPort) Verdict { return Denied }

// CheckAddr judges an address for which a permission is asked, which is without a port: the best verdict that one of its ports
// can have.
func (r *Rules) CheckAddr(ip netip.Addr) Verdict { return Denied }
