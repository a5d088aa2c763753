package doctor

import "net/netip"

// reserved are networks that no client of a public relay has to reach (the IANA registries of special-purpose addresses, and where
// clouds keep their metadata), each with an address in it to try.
var reserved = []struct{ network, try string }{
	{"0.0.0.0/8", "0.0.0.0"},
	{"10.0.0.0/8", "10.1.2.3"},
	{"100.64.0.0/10", "100.100.1.1"},
	{"100.100.100.200/32", "100.100.100.200"},
	{"127.0.0.0/8", "127.0.0.1"},
	{"168.63.129.16/32", "168.63.129.16"},
	{"169.254.0.0/16", "169.254.1.1"},
	{"169.254.169.254/32", "169.254.169.254"},
	{"172.16.0.0/12", "172.16.0.1"},
	{"192.0.0.0/24", "192.0.0.192"},
	{"192.0.2.0/24", "192.0.2.1"},
	{"192.88.99.0/24", "192.88.99.1"},
	{"192.168.0.0/16", "192.168.1.1"},
	{"198.18.0.0/15", "198.18.0.1"},
	{"198.51.100.0/24", "198.51.100.1"},
	{"203.0.113.0/24", "203.0.113.1"},
	{"224.0.0.0/4", "224.0.0.251"},
	{"240.0.0.0/4", "240.0.0.1"},
	{"255.255.255.255/32", "255.255.255.255"},
	{"::/128", "::"},
	{"::1/128", "::1"},
	{"::ffff:0:0/96", "::ffff:127.0.0.1"},
	{"::ffff:0:0/96", "::ffff:10.1.2.3"},
	{"64:ff9b::/96", "64:ff9b::127.0.0.1"},
	{"64:ff9b::/96", "64:ff9b::169.254.169.254"},
	{"64:ff9b:1::/48", "64:ff9b:1::10.1.2.3"},
	{"100::/64", "100::1"},
	{"2001::/32", "2001::1"},
	{"2001:db8::/32", "2001:db8::1"},
	{"2002::/16", "2002:7f00:1::1"},
	{"fc00::/7", "fd12:3456::1"},
	{"fd00:ec2::254/128", "fd00:ec2::254"},
	{"fe80::/10", "fe80::1"},
	{"ff00::/8", "ff02::1"},
}

// probes are the addresses to try, of one family. A mapped address is IPv6 here, as a client would send it.
func probes(ipv6 bool) (networks []string, addresses []netip.Addr) {
	for _, r := range reserved {
		if a := netip.MustParseAddr(r.try); a.Is6() == ipv6 {
			networks, addresses = append(networks, r.network), append(addresses, a)
		}
	}
	return networks, addresses
}
