package signaling

import (
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func addr(t testing.TB, text string) netip.Addr {
	t.Helper()
	a, err := netip.ParseAddr(text)
	require.NoError(t, err)
	return a
}

func TestAnAddressSaysHelloFiveTimesASecond(t *testing.T) {
	a := newAddresses(helloLimit, maxAddresses, nil)
	at := time.UnixMilli(1_000_000)
	for range 20 {
		require.Zero(t, a.take(at, addr(t, "192.0.2.1")))
	}
	require.Equal(t, 200*time.Millisecond, a.take(at, addr(t, "192.0.2.1")))
	require.Equal(t, 200*time.Millisecond, a.take(at, addr(t, "192.0.2.1")), "what is refused does not count")
	require.Equal(t, 1*time.Millisecond, a.take(at.Add(199*time.Millisecond), addr(t, "192.0.2.1")))
	require.Zero(t, a.take(at.Add(200*time.Millisecond), addr(t, "192.0.2.1")))
	require.Equal(t, 200*time.Millisecond, a.take(at.Add(200*time.Millisecond), addr(t, "::ffff:192.0.2.1")), "the same address")
	require.Zero(t, a.take(at, addr(t, "192.0.2.2")), "another one")
	require.EqualValues(t, 4, a.refused)
}

func TestAnIPv6NetworkIsOneAddress(t *testing.T) {
	a := newAddresses(helloLimit, maxAddresses, nil)
	at := time.UnixMilli(0)
	for range 10 {
		require.Zero(t, a.take(at, addr(t, "2001:db8::1")))
		require.Zero(t, a.take(at, addr(t, "2001:db8::ffff:0:0:2%eth0")))
	}
	require.NotZero(t, a.take(at, addr(t, "2001:db8:0:0:8::")))
	require.Zero(t, a.take(at, addr(t, "2001:db8:0:1::1")))
}

func TestLoopbackIsNotLimited(t *testing.T) {
	a := newAddresses(helloLimit, maxAddresses, nil)
	for range 100 {
		for _, from := range []string{"127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"} {
			require.Zero(t, a.take(time.UnixMilli(0), addr(t, from)))
		}
	}
	require.Zero(t, a.take(time.UnixMilli(0), netip.Addr{}), "of no address")
	require.Empty(t, a.table)
}

func TestAddressesThatAreIdleAreForgotten(t *testing.T) {
	a := newAddresses(helloLimit, 100, nil)
	at := time.UnixMilli(0)
	number := func(n int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, byte(n >> 8), byte(n)}) }
	for n := range 100 {
		a.take(at, number(n))
	}
	require.Len(t, a.table, 100)
	a.take(at.Add(4*time.Second), number(0)) // it stays the newest
	for n := range 50 {
		a.take(at.Add(4*time.Second), number(1000+n))
	}
	require.Len(t, a.table, 51, "two go for each that comes")
	require.Contains(t, a.table, network(number(0)))
	require.Zero(t, a.forgotten, "none that mattered")
}

func TestTooManyAddressesForgetTheOldest(t *testing.T) {
	a := newAddresses(helloLimit, 3, nil)
	at := time.UnixMilli(0)
	for range 20 {
		a.take(at, addr(t, "192.0.2.1"))
	}
	require.NotZero(t, a.take(at, addr(t, "192.0.2.1")))
	for _, other := range []string{"192.0.2.2", "192.0.2.3", "192.0.2.4"} {
		require.Zero(t, a.take(at.Add(time.Second), addr(t, other)), "nobody is refused because others are many")
	}
	require.Len(t, a.table, 3)
	require.EqualValues(t, 1, a.forgotten)
	require.NotContains(t, a.table, network(addr(t, "192.0.2.1")))
}

// Whatever greets us: memory is bounded, the ring holds what the table holds from old to new, and no address that is
// remembered passes more often than its limit says.
func TestAddressesAreBoundedWhateverComes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const most = 8
		a := newAddresses(limit{perSecond: 5, burst: 3}, most, nil)
		at := time.UnixMilli(0)
		passed := map[byte][]time.Time{}
		for range rapid.IntRange(0, 200).Draw(t, "greetings") {
			at = at.Add(time.Duration(rapid.IntRange(0, 300).Draw(t, "ms")) * time.Millisecond)
			n := rapid.ByteRange(0, 2*most).Draw(t, "address")
			forgotten := a.forgotten
			wait := a.take(at, netip.AddrFrom4([4]byte{192, 0, 2, n}))
			if wait == 0 {
				passed[n] = append(passed[n], at)
			}
			if a.forgotten != forgotten {
				clear(passed) // somebody starts anew
			}
			for _, times := range passed {
				for i := range times {
					if j := i + 3; j < len(times) && times[j].Sub(times[i]) < 199*time.Millisecond {
						t.Fatalf("4 greetings within %v", times[j].Sub(times[i]))
					}
				}
			}
			seen := 0
			for v, last := a.ring.newer, (time.Time{}); v != &a.ring; v = v.newer {
				if v.last.Before(last) || a.table[v.from] != v || v.newer.older != v {
					t.Fatal("the ring is out of order")
				}
				last = v.last
				seen++
			}
			if seen != len(a.table) || seen > most {
				t.Fatalf("%d in the ring, %d in the table, at most %d", seen, len(a.table), most)
			}
		}
	})
}

func TestWhereARequestComesFrom(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	for _, c := range []struct {
		name, remote string
		forwarded    []string
		want         string
	}{
		{"straight", "192.0.2.1:5", nil, "192.0.2.1"},
		{"who is no proxy is not believed", "192.0.2.1:5", []string{"198.51.100.1"}, "192.0.2.1"},
		{"a proxy", "10.0.0.1:5", []string{"198.51.100.1"}, "198.51.100.1"},
		{"a client that claims to be another", "10.0.0.1:5", []string{"203.0.113.9, 198.51.100.1"}, "198.51.100.1"},
		{"in a header of its own", "10.0.0.1:5", []string{"203.0.113.9", "198.51.100.1"}, "198.51.100.1"},
		{"two proxies", "[::1]:5", []string{"198.51.100.1, 10.2.3.4"}, "198.51.100.1"},
		{"nothing but proxies", "[::1]:5", []string{"10.9.9.9,10.2.3.4"}, "10.9.9.9"},
		{"a proxy that says nothing", "10.0.0.1:5", nil, "10.0.0.1"},
		{"a proxy that says nonsense", "10.0.0.1:5", []string{"203.0.113.9, unknown"}, "10.0.0.1"},
		{"IPv4 in IPv6", "[::ffff:10.0.0.1]:5", []string{"::ffff:198.51.100.1"}, "198.51.100.1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &http.Request{RemoteAddr: c.remote, Header: http.Header{"X-Forwarded-For": c.forwarded}}
			require.Equal(t, c.want, newAddresses(helloLimit, 1, proxies).of(r).String())
		})
	}
	require.False(t, newAddresses(helloLimit, 1, proxies).of(&http.Request{RemoteAddr: "@"}).IsValid())
}
