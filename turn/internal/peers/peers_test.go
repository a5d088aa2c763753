package peers_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tolkyn/tolkyn/turn/internal/peers"
)

// denied is every range that no peer may be in, with addresses at its edges and well known ones in it.
var denied = map[string][]string{
	"0.0.0.0/8":          {"0.0.0.0", "0.0.0.1", "0.255.255.255"},
	"10.0.0.0/8":         {"10.0.0.0", "10.1.2.3", "10.255.255.255"},
	"100.64.0.0/10":      {"100.64.0.0", "100.127.255.255"},
	"100.100.100.200/32": {"100.100.100.200"},
	"127.0.0.0/8":        {"127.0.0.0", "127.0.0.1", "127.255.255.255"},
	"168.63.129.16/32":   {"168.63.129.16"},
	"169.254.0.0/16":     {"169.254.0.0", "169.254.1.1", "169.254.255.255"},
	"169.254.169.254/32": {"169.254.169.254"},
	"172.16.0.0/12":      {"172.16.0.0", "172.31.255.255"},
	"192.0.0.0/24":       {"192.0.0.0", "192.0.0.192", "192.0.0.255"},
	"192.0.2.0/24":       {"192.0.2.0", "192.0.2.255"},
	"192.31.196.0/24":    {"192.31.196.1"},
	"192.52.193.0/24":    {"192.52.193.1"},
	"192.88.99.0/24":     {"192.88.99.0", "192.88.99.1"},
	"192.168.0.0/16":     {"192.168.0.0", "192.168.1.1", "192.168.255.255"},
	"192.175.48.0/24":    {"192.175.48.1"},
	"198.18.0.0/15":      {"198.18.0.0", "198.19.255.255"},
	"198.51.100.0/24":    {"198.51.100.7"},
	"203.0.113.0/24":     {"203.0.113.7"},
	"224.0.0.0/4":        {"224.0.0.1", "239.255.255.255"},
	"240.0.0.0/4":        {"240.0.0.1", "255.255.255.254"},
	"255.255.255.255/32": {"255.255.255.255"},
	"::/128":             {"::"},
	"::1/128":            {"::1"},
	"::/8":               {"::2", "::127.0.0.1", "::1:2:3", "ff::1"},
	"::ffff:0:0:0/96":    {"::ffff:0:1.1.1.1"},
	"64:ff9b::/96":       {"64:ff9b::8.8.8.8", "64:ff9b::127.0.0.1", "64:ff9b::169.254.169.254"},
	"64:ff9b:1::/48":     {"64:ff9b:1::8.8.8.8", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff"},
	"100::/64":           {"100::1", "100::ffff:ffff:ffff:ffff"},
	"100:0:0:1::/64":     {"100:0:0:1::1"},
	"2001::/32":          {"2001::1", "2001:0:ffff::"},
	"2001::/23":          {"2001:1::1", "2001:2::1", "2001:10::1", "2001:20::1", "2001:1ff:ffff::"},
	"2001:db8::/32":      {"2001:db8::1", "2001:db8:ffff::1"},
	"2002::/16":          {"2002:808:808::1", "2002:7f00:1::1", "2002:a9fe:a9fe::"},
	"2620:4f:8000::/48":  {"2620:4f:8000::1"},
	"3fff::/20":          {"3fff::1", "3fff:fff::1"},
	"5f00::/16":          {"5f00::1"},
	"fc00::/7":           {"fc00::1", "fd12:3456::1", "fdff:ffff::"},
	"fd00:ec2::254/128":  {"fd00:ec2::254"},
	"fd20:ce::254/128":   {"fd20:ce::254"},
	"fe80::/10":          {"fe80::1", "febf::1"},
	"fec0::/10":          {"fec0::1"},
	"ff00::/8":           {"ff02::1", "ff0e::1"},
	"4000::/2":           {"4000::1", "7fff::1"},
	"8000::/1":           {"8000::1", "e000::1"},
	"200::/7":            {"200::1"},
	"400::/6":            {"400::1"},
	"800::/5":            {"800::1"},
	"1000::/4":           {"1000::1", "1fff::1"},
}

var everything = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}

func at(ip string) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr(ip), 5000) }

// check judges a peer both ways that a client can name it: with its port, and for a permission. They agree where the port does not
// matter.
func check(t *testing.T, r *peers.Rules, ip string, want peers.Verdict) {
	t.Helper()
	require.Equal(t, want, r.Check(at(ip)), ip)
	require.Equal(t, want, r.CheckAddr(netip.MustParseAddr(ip)), ip)
}

// TestReserved: no range of the table is reached by default, nor by who allows the whole internet, mapped or not; the exact range
// opens it.
func TestReserved(t *testing.T) {
	none, all := peers.New(nil, nil), peers.New(nil, everything)
	for prefix, ips := range denied {
		exact := peers.New(nil, []netip.Prefix{netip.MustParsePrefix(prefix)})
		for _, ip := range ips {
			check(t, none, ip, peers.Denied)
			check(t, all, ip, peers.Denied)
			a := netip.MustParseAddr(ip)
			if a.Is4() {
				check(t, all, "::ffff:"+ip, peers.Denied)
				check(t, exact, ip, peers.Allowed)
				check(t, exact, "::ffff:"+ip, peers.Allowed)
				in := a.As4()
				for name, b := range map[string][16]byte{
					"NAT64":     {0, 0x64, 0xff, 0x9b, 12: in[0], 13: in[1], 14: in[2], 15: in[3]},
					"own NAT64": {0, 0x64, 0xff, 0x9b, 0, 1, 12: in[0], 13: in[1], 14: in[2], 15: in[3]},
					"6to4":      {0x20, 2, in[0], in[1], in[2], in[3], 15: 1},
					"Teredo":    {0x20, 1, 12: ^in[0], 13: ^in[1], 14: ^in[2], 15: ^in[3]},
				} {
					lead := netip.AddrFrom16(b)
					check(t, all, lead.String(), peers.Denied)
					named := peers.New(nil, append(everything, netip.MustParsePrefix("64:ff9b::/96"),
						netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("2001::/32")))
					require.Equal(t, peers.Denied, named.Check(netip.AddrPortFrom(lead, 5000)), "%s to %s", name, ip)
				}
			}
		}
	}
}

func TestPublicNeedsAllowing(t *testing.T) {
	for _, ip := range []string{
		"8.8.8.8", "1.1.1.1", "100.63.255.255", "100.128.0.0", "172.15.0.1", "172.32.0.1", "192.0.1.1", "198.17.1.1",
		"223.255.255.255", "2606:4700::1", "2001:200::1", "2a00:1450::1", "2003::1",
	} {
		check(t, peers.New(nil, nil), ip, peers.Denied)
		check(t, peers.New(nil, everything), ip, peers.Allowed)
	}
	some := peers.New(nil, []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("64:ff9b::/96"), {}})
	check(t, some, "10.1.2.3", peers.Allowed) // part of a range is its name too
	check(t, some, "10.2.2.3", peers.Denied)
	check(t, some, "64:ff9b::808:808", peers.Allowed)
	check(t, some, "64:ff9b::a01:203", peers.Allowed) // 10.1.2.3, which is allowed
	check(t, some, "64:ff9b::a02:203", peers.Denied)
	check(t, some, "8.8.8.8", peers.Denied)
	require.Equal(t, peers.Denied, some.Check(netip.MustParseAddrPort("10.1.2.3:0")))
	require.Equal(t, peers.Denied, some.Check(netip.AddrPort{}))
	require.Equal(t, peers.Denied, peers.New(nil, []netip.Prefix{netip.MustParsePrefix("fe80::/10")}).Check(netip.MustParseAddrPort("[fe80::1%eth0]:5")))
	linkLocal := peers.New(nil, []netip.Prefix{netip.MustParsePrefix("169.254.0.0/16")})
	check(t, linkLocal, "169.254.7.7", peers.Allowed)
	check(t, linkLocal, "169.254.169.254", peers.Denied) // metadata needs its own name
}

// TestOwn: our media is handed over wherever it is, by its exact port and no other.
func TestOwn(t *testing.T) {
	r := peers.New([]netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:7882"), netip.MustParseAddrPort("[::ffff:8.8.4.4]:7882")}, nil)
	require.Equal(t, peers.Own, r.Check(netip.MustParseAddrPort("127.0.0.1:7882")))
	require.Equal(t, peers.Own, r.Check(netip.MustParseAddrPort("[::ffff:127.0.0.1]:7882")))
	require.Equal(t, peers.Own, r.Check(netip.MustParseAddrPort("8.8.4.4:7882")))
	require.Equal(t, peers.Denied, r.Check(netip.MustParseAddrPort("127.0.0.1:7883")))
	require.Equal(t, peers.Denied, r.Check(netip.MustParseAddrPort("127.0.0.2:7882")))
	require.Equal(t, peers.Own, r.CheckAddr(netip.MustParseAddr("127.0.0.1")))
	require.Equal(t, peers.Denied, r.CheckAddr(netip.MustParseAddr("127.0.0.2")))
}

// TestNoLoops: what we listen on and relay from is no peer, whatever is allowed and however it is written.
func TestNoLoops(t *testing.T) {
	loopback := peers.New(nil, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")})
	loopback.Refuse(netip.MustParseAddr("127.0.0.1"), 3478, 3478)
	loopback.Refuse(netip.MustParseAddr("127.0.0.1"), 49152, 65535)
	for port, want := range map[uint16]peers.Verdict{
		3477: peers.Allowed, 3478: peers.Denied, 3479: peers.Allowed, 49151: peers.Allowed, 49152: peers.Denied, 60000: peers.Denied, 65535: peers.Denied,
	} {
		for _, ip := range []string{"127.0.0.1", "::ffff:127.0.0.1"} {
			require.Equal(t, want, loopback.Check(netip.AddrPortFrom(netip.MustParseAddr(ip), port)), port)
		}
	}
	public := peers.New(nil, append(everything, netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("2002::/16")))
	public.Refuse(netip.MustParseAddr("8.8.8.8"), 3478, 3478)
	check(t, public, "8.8.8.8", peers.Denied) // this machine's other services
	check(t, public, "64:ff9b::8.8.8.8", peers.Denied)
	check(t, public, "2002:808:808::1", peers.Denied)
	check(t, public, "8.8.8.9", peers.Allowed)
	named := peers.New(nil, append(everything, netip.MustParsePrefix("8.8.8.8/32"), netip.MustParsePrefix("64:ff9b::/96")))
	named.Refuse(netip.MustParseAddr("8.8.8.8"), 3478, 3478)
	check(t, named, "8.8.8.8", peers.Allowed)
	for _, ip := range []string{"8.8.8.8", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"} {
		require.Equal(t, peers.Denied, named.Check(netip.AddrPortFrom(netip.MustParseAddr(ip), 3478)), ip)
	}
}

// TestNoAddressSlipsThrough: whatever the address, a peer that the whole internet's prefixes let through is in none of the ranges.
func TestNoAddressSlipsThrough(t *testing.T) {
	all := peers.New(nil, everything)
	var ranges []netip.Prefix
	for prefix := range denied {
		ranges = append(ranges, netip.MustParsePrefix(prefix))
	}
	rapid.Check(t, func(t *rapid.T) {
		in := ranges[rapid.IntRange(0, len(ranges)-1).Draw(t, "range")]
		b := rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "bytes")
		ip, _ := netip.AddrFromSlice(b[:in.Addr().BitLen()/8])
		if rapid.Bool().Draw(t, "inside") {
			base, rest := in.Addr().AsSlice(), ip.AsSlice()
			for i := range in.Bits() {
				bit := byte(1) << (7 - i&7)
				rest[i/8] = rest[i/8]&^bit | base[i/8]&bit
			}
			ip, _ = netip.AddrFromSlice(rest)
		}
		want := peers.Allowed
		for _, p := range ranges {
			if p.Contains(ip.Unmap()) {
				want = peers.Denied
			}
		}
		require.Equal(t, want, all.Check(netip.AddrPortFrom(ip, 1)), ip)
	})
}

func TestCheckDoesNotAllocate(t *testing.T) {
	r := peers.New([]netip.AddrPort{at("127.0.0.1")}, everything)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		r.Check(at2)
		r.Check(at1)
	}))
}

var at1, at2 = at("8.8.8.8"), at("2606:4700::1")

func BenchmarkCheck(b *testing.B) {
	r := peers.New([]netip.AddrPort{at("127.0.0.1")}, everything)
	for name, p := range map[string]netip.AddrPort{"own": at("127.0.0.1"), "IPv4": at1, "IPv6": at2} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				r.Check(p)
			}
		})
	}
}

// TestLoopbackIsNoIPv4: ::1 leads to no IPv4 address, so who is allowed it by name is.
func TestLoopbackIsNoIPv4(t *testing.T) {
	one := netip.MustParseAddrPort("[::1]:5000")
	require.Equal(t, peers.Allowed, peers.New(nil, []netip.Prefix{netip.MustParsePrefix("::1/128")}).Check(one))
	for _, wider := range []string{"::/0", "::/8", "::/96"} {
		require.Equal(t, peers.Denied, peers.New(nil, []netip.Prefix{netip.MustParsePrefix(wider)}).Check(one), wider)
	}
}
