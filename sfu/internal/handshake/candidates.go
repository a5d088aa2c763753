package handshake

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Which addresses that an offer names pion may check. Whoever names an address need not live there, and pion would send
// checks to it: none then, for pion learns where the client is from the client's own checks. But Firefox sends none to
// 127.0.0.1, and a server for one's own machine has no other address: it checks the browser first, at addresses of this
// machine alone.

// maxChecked of them: two families on two interfaces.
const maxChecked = 4

// candidate is a UDP address that an offer names.
type candidate struct {
	priority uint64
	at       netip.AddrPort
}

// readCandidate keeps the first 32 distinct UDP addresses; others (TCP, mDNS names, nonsense) are of no use to us.
func (r *offerReader) readCandidate(value string) {
	f := strings.Fields(value)
	if len(r.offer.candidates) == maxRemoteCandidates || len(f) < 8 || f[1] != "1" || !strings.EqualFold(f[2], "udp") {
		return
	}
	priority, err := strconv.ParseUint(f[3], 10, 31)
	if err != nil {
		return
	}
	ip, err := netip.ParseAddr(f[4])
	if err != nil || ip.Zone() != "" || ip.IsUnspecified() || ip.IsMulticast() {
		return
	}
	port, err := strconv.ParseUint(f[5], 10, 16)
	if err != nil || port == 0 {
		return
	}
	at := netip.AddrPortFrom(ip.Unmap(), uint16(port))
	if r.seen[at] {
		return
	}
	r.seen[at] = true
	r.offer.candidates = append(r.offer.candidates, candidate{priority, at})
}

// checkable writes the candidates that pion may check: none, unless the server is advertised on loopback.
func (e *Engine) checkable(named []candidate) (lines []string) {
	if !e.loopback || len(named) == 0 {
		return nil
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return nil // as if this machine had none: who is elsewhere connects all the same
	}
	own := map[netip.Addr]bool{}
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok {
				own[ip.Unmap()] = true
			}
		}
	}
	for _, c := range named {
		if own[c.at.Addr()] && len(lines) < maxChecked {
			lines = append(lines, fmt.Sprintf("a=candidate:%d 1 udp %d %s %d typ host", len(lines)+1, c.priority, c.at.Addr(), c.at.Port()))
		}
	}
	return lines
}
