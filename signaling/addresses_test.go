package signaling

import (
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tolkyn/tolkyn/signaling/wire"
)

func addr(t testing.TB, text string) netip.Addr {
	t.Helper()
	a, err := netip.ParseAddr(text)
	require.NoError(t, err)
	return a
}

// fewHellos is a limit that a test reaches soon.
var fewHellos = limit{perSecond: 5, burst: 20}

func TestAnAddressSaysHelloFiveTimesASecond(t *testing.T) {
	a := newAddresses(fewHellos, maxAddresses, nil)
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
	a := newAddresses(fewHellos, maxAddresses, nil)
	at := time.UnixMilli(0)
	for range 10 {
		require.Zero(t, a.take(at, addr(t, "2001:db8::1")))
		require.Zero(t, a.take(at, addr(t, "2001:db8::ffff:0:0:2%eth0")))
	}
	require.NotZero(t, a.take(at, addr(t, "2001:db8:0:0:8::")))
	require.Zero(t, a.take(at, addr(t, "2001:db8:0:1::1")))
}

func TestLoopbackIsNotLimited(t *testing.T) {
	a := newAddresses(fewHellos, maxAddresses, nil)
	for range 100 {
		for _, from := range []string{"127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"} {
			require.Zero(t, a.take(time.UnixMilli(0), addr(t, from)))
		}
	}
	require.Zero(t, a.take(time.UnixMilli(0), netip.Addr{}), "of no address")
	require.Empty(t, a.table)
}

func TestAddressesThatAreIdleAreForgotten(t *testing.T) {
	a := newAddresses(fewHellos, 100, nil)
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
	a := newAddresses(fewHellos, 3, nil)
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

// oneAMinute, since time passes while connections are made.
func oneAMinute(c *Config) { c.HelloPerSecond, c.HelloBurst = 1./60, 20 }

// Whichever way, before any token is looked at; all ways of an address share one limit.
func TestGreetingsOfAnAddressAreLimited(t *testing.T) {
	onStage(t, func(t *testing.T, w *stage) {
		for i := range 10 {
			stranger := w.dial(byQUIC)
			stranger.say(`{"id":"1","hello":{"token":"no"}}`)
			stranger.hearError(wire.Error_UNAUTHORIZED)
			stranger.hangUp()
			stranger = w.dial(byWebTransport)
			stranger.say(`{"id":"%d","resume":{"sessionId":"no"}}`, i)
			stranger.hearError(wire.Error_RESUME_EXPIRED)
			stranger.hangUp()
		}
		token, err := Mint(hsKey, aru, time.Now(), 0)
		require.NoError(t, err)
		for _, frame := range []string{`{"id":"3","hello":{"token":"` + token + `"}}`, `{"id":"3","resume":{"sessionId":"no"}}`} {
			c := w.dial(byQUIC)
			c.say("%s", frame)
			refused := c.hearError(wire.Error_RATE)
			require.True(t, refused.GetFatal())
			require.NotZero(t, refused.GetRetryAfterMs())
			require.LessOrEqual(t, refused.GetRetryAfterMs(), uint32(60_000))
			_, err := c.read()
			require.Equal(t, int(websocket.StatusTryAgainLater), c.closeCode(err))
		}
		require.EqualValues(t, 2, w.server.Stats().HellosRefused)
		time.Sleep(time.Minute)
		c := w.dial(byWebTransport)
		c.say(`{"id":"3","hello":{"token":"%s"}}`, token)
		require.NotNil(t, c.hear().GetWelcome())
	}, oneAMinute)
}

// Who holds a session comes back, however many others are there.
func TestAResumeThatSucceedsIsNotLimited(t *testing.T) {
	onStage(t, func(t *testing.T, w *stage) {
		token, err := Mint(hsKey, aru, time.Now(), 0)
		require.NoError(t, err)
		c := w.dial(byQUIC)
		c.say(`{"id":"3","hello":{"token":"%s"}}`, token)
		welcome := c.hear().GetWelcome()
		require.NotNil(t, welcome)
		for range 20 {
			stranger := w.dial(byQUIC)
			stranger.say(`{"id":"1","hello":{"token":"no"}}`)
			stranger.hear()
			stranger.hangUp()
		}
		for range 10 {
			again := w.dial(byQUIC)
			again.sayFrame(&wire.ClientFrame{Id: 4, Message: &wire.ClientFrame_Resume{Resume: &wire.Resume{
				SessionId: welcome.GetSessionId(), ResumeToken: welcome.GetResumeToken(),
			}}})
			require.NotNil(t, again.hear().GetResumed())
			again.hangUp()
		}
	}, oneAMinute)
}

func TestWhoComesThroughAProxyIsLimitedByItsOwnAddress(t *testing.T) {
	s := testServer(t, func(c *Config) {
		c.HelloPerSecond, c.HelloBurst = 0.001, 1
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	})
	url := serve(t, s)
	greet := func(from string) *wire.Error {
		ws, _, err := websocket.Dial(t.Context(), url, &websocket.DialOptions{
			Subprotocols: []string{wire.JSON.String()}, HTTPHeader: http.Header{"X-Forwarded-For": {from}},
		})
		require.NoError(t, err)
		c := &client{t: t, ws: ws, format: wire.JSON}
		defer func() { _ = ws.CloseNow() }()
		c.say(`{"id":"1","hello":{"token":"no"}}`)
		return c.hear().GetError()
	}
	require.Equal(t, wire.Error_UNAUTHORIZED, greet("198.51.100.1").GetCode())
	require.Equal(t, wire.Error_RATE, greet("198.51.100.1").GetCode())
	require.Equal(t, wire.Error_UNAUTHORIZED, greet("198.51.100.2").GetCode())
	require.Equal(t, wire.Error_RATE, greet("198.51.100.9, 198.51.100.2").GetCode())
}

func TestNoLimitForAddresses(t *testing.T) {
	a := newAddresses(limit{perSecond: -1, burst: 1}, 1, nil)
	for range 100 {
		require.Zero(t, a.take(time.UnixMilli(0), addr(t, "192.0.2.1")))
	}
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
			require.Equal(t, c.want, newAddresses(fewHellos, 1, proxies).of(r).String())
		})
	}
	require.False(t, newAddresses(fewHellos, 1, proxies).of(&http.Request{RemoteAddr: "@"}).IsValid())
}
