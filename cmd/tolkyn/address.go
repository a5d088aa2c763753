package main

import (
	"net"
	"net/netip"
	"slices"
)

// advertised returns the addresses that clients are told: those asked for, else the listening one, else, when that is a
// wildcard, what this machine is known by in its network.
func advertised(asked []string, listening netip.Addr) ([]netip.Addr, error) {
	var addresses []netip.Addr
	for _, text := range asked {
		address, err := netip.ParseAddr(text)
		if err != nil {
			return nil, err
		}
		addresses = append(addresses, address.Unmap())
	}
	switch {
	case len(addresses) > 0:
		return addresses, nil
	case !listening.IsUnspecified():
		return []netip.Addr{listening.Unmap()}, nil
	}
	found := []netip.Addr{ownAddress("udp4", "192.0.2.1:9")}
	if listening.Is6() {
		found = append(found, ownAddress("udp6", "[2001:db8::1]:9"))
	}
	found = slices.DeleteFunc(found, func(a netip.Addr) bool { return !a.IsValid() })
	if len(found) == 0 {
		found = interfaceAddresses()
	}
	return found, nil
}

// ownAddress is this machine's address on the route to a far one. Connecting a UDP socket asks the routing table and
// sends nothing; the far address is one for documentation (RFC 5737, RFC 3849).
func ownAddress(network, far string) netip.Addr {
	conn, err := net.Dial(network, far)
	if err != nil {
		return netip.Addr{}
	}
	defer func() { _ = conn.Close() }()
	address := conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
	if address.IsLoopback() || address.IsLinkLocalUnicast() {
		return netip.Addr{}
	}
	return address
}

// interfaceAddresses is for a machine without a default route: the first IPv4 address of its interfaces, or loopback
// when there is none.
func interfaceAddresses() []netip.Addr {
	all, err := net.InterfaceAddrs()
	if err == nil {
		for _, a := range all {
			network, ok := a.(*net.IPNet)
			if !ok {
				continue
			}
			address, ok := netip.AddrFromSlice(network.IP)
			address = address.Unmap()
			if ok && address.Is4() && address.IsGlobalUnicast() {
				return []netip.Addr{address}
			}
		}
	}
	return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}
}
