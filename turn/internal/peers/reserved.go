package peers

import (
	"encoding/binary"
	"net/netip"
)

// reserved are the ranges that no stranger's peer is in (the IANA IPv4 and IPv6 Special-Purpose Address Registries, multicast, and
// where clouds keep a machine's secrets). What lies in one is denied unless the operator allowed that range by name.
var reserved = []string{
	"0.0.0.0/8",          // this network (RFC 791)
	"10.0.0.0/8",         // private (RFC 1918)
	"100.64.0.0/10",      // carrier NAT (RFC 6598)
	"100.100.100.200/32", // metadata: Alibaba
	"127.0.0.0/8",        // loopback
	"168.63.129.16/32",   // metadata: Azure, a public address
	"169.254.0.0/16",     // link-local (RFC 3927)
	"169.254.169.254/32", // metadata: most clouds
	"172.16.0.0/12",      // private
	"192.0.0.0/24",       // IETF protocols, with metadata at Oracle (RFC 6890)
	"192.0.2.0/24",       // documentation (RFC 5737)
	"192.31.196.0/24",    // AS112 (RFC 7535)
	"192.52.193.0/24",    // AMT (RFC 7450)
	"192.88.99.0/24",     // 6to4 relays (RFC 7526)
	"192.168.0.0/16",     // private
	"192.175.48.0/24",    // AS112 (RFC 7534)
	"198.18.0.0/15",      // benchmarks (RFC 2544)
	"198.51.100.0/24",    // documentation
	"203.0.113.0/24",     // documentation
	"224.0.0.0/4",        // multicast
	"240.0.0.0/4",        // reserved (RFC 1112)
	"255.255.255.255/32", // broadcast

	"::/8",              // unspecified, loopback, IPv4-compatible, v4-mapped on the wire (RFC 4291), NAT46 of old
	"64:ff9b::/96",      // NAT64 (RFC 6052)
	"64:ff9b:1::/48",    // NAT64 of one's own (RFC 8215)
	"100::/64",          // discard (RFC 6666)
	"100:0:0:1::/64",    // dummy (RFC 9780)
	"2001::/23",         // IETF protocols: ORCHID, benchmarks, AMT, drones
	"2001::/32",         // Teredo (RFC 4380)
	"2001:db8::/32",     // documentation (RFC 3849)
	"2002::/16",         // 6to4 (RFC 3056)
	"2620:4f:8000::/48", // AS112
	"3fff::/20",         // documentation (RFC 9637)
	"5f00::/16",         // segment routing (RFC 9602)
	"fc00::/7",          // unique local (RFC 4193)
	"fd00:ec2::254/128", // metadata: Amazon
	"fd20:ce::254/128",  // metadata: Google
	"fe80::/10",         // link-local
	"fec0::/10",         // site-local (RFC 3879)
	"ff00::/8",          // multicast
	"::ffff:0:0:0/96",   // IPv4-translated (RFC 7915)
	"::ffff:0:0/96",     // v4-mapped
	"::/128", "::1/128", // unspecified, loopback
	"4000::/2", "8000::/1", // no global unicast (RFC 4291: that is 2000::/3)
	"200::/7", "400::/6", // likewise
	"800::/5", "1000::/4", // likewise
}

// range4 and range6 are prefixes as numbers.
type range4 struct {
	base, mask uint32
	bits       int
}

type range6 struct {
	base, mask [2]uint64
	bits       int
}

// reserved4 and reserved6 have the ranges by the first byte of the addresses in them: most addresses meet none.
var reserved4, reserved6 = compile(reserved)

func compile(all []string) (four [256][]range4, six [256][]range6) {
	for _, text := range all {
		p := netip.MustParsePrefix(text)
		first := int(p.Addr().AsSlice()[0])
		last := first | 0xFF>>min(p.Bits(), 8)
		for b := first; b <= last; b++ {
			if p.Addr().Is4() {
				four[b] = append(four[b], range4{number4(p.Addr()), ^uint32(0) << (32 - p.Bits()), p.Bits()})
			} else {
				high, low := number6(p.Addr())
				mask := [2]uint64{^uint64(0) << max(0, 64-p.Bits()), ^uint64(0) << min(64, 128-p.Bits())}
				six[b] = append(six[b], range6{[2]uint64{high, low}, mask, p.Bits()})
			}
		}
	}
	return four, six
}

func number4(ip netip.Addr) uint32 {
	b := ip.As4()
	return binary.BigEndian.Uint32(b[:])
}

func number6(ip netip.Addr) (high, low uint64) {
	b := ip.As16()
	return binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
}

// inReserved returns the length in bits of the narrowest reserved range that ip is in; -1: in none.
func inReserved(ip netip.Addr) int {
	bits := -1
	if ip.Is4() {
		n := number4(ip)
		for _, r := range reserved4[n>>24] {
			if n&r.mask == r.base {
				bits = max(bits, r.bits)
			}
		}
		return bits
	}
	high, low := number6(ip)
	for _, r := range reserved6[high>>56] {
		if high&r.mask[0] == r.base[0] && low&r.mask[1] == r.base[1] {
			bits = max(bits, r.bits)
		}
	}
	return bits
}

// inside returns the IPv4 address that an IPv6 address leads to; none: not valid.
func inside(ip netip.Addr) netip.Addr {
	if ip.Is4() {
		return netip.Addr{}
	}
	b := ip.As16()
	high, low := number6(ip)
	switch {
	case high == 0x0064_ff9b_0000_0000 && low>>32 == 0, // 64:ff9b::/96
		high>>16 == 0x0064_ff9b_0001,         // 64:ff9b:1::/48, by the /96 in it
		high == 0 && low>>32 == 0 && low > 1, // IPv4-compatible; :: and ::1 are not (RFC 4291 §2.5.5.1)
		high == 0 && low>>32 == 0xffff_0000:  // IPv4-translated
		return netip.AddrFrom4([4]byte(b[12:]))
	case high>>48 == 0x2002: // 6to4
		return netip.AddrFrom4([4]byte(b[2:6]))
	case high>>32 == 0x2001_0000: // Teredo: the client's, inverted
		return netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]})
	}
	return netip.Addr{}
}
