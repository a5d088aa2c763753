package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// browsers that have WebTransport.
var browsers = map[string]func(*testing.T, *chromium) tab{
	"chromium": func(t *testing.T, c *chromium) tab { return c.tab(t) },
	"firefox":  func(t *testing.T, _ *chromium) tab { return startFirefox(t).tab(t) },
}

// loadSlow loads the page where WebSockets open late, so that WebTransport wins on a busy machine, too.
func loadSlow(t *testing.T, p tab, who person, url string) {
	t.Helper()
	load(t, p, who, url)
	eval[any](t, p, "(e2e.slowSocket = 5000, null)")
}

func transport(t *testing.T, p tab) string {
	t.Helper()
	return eval[string](t, p, "e2e.session.transport")
}

// TestWebTransport: WebTransport carries a call, beside one over WebSocket.
func TestWebTransport(t *testing.T) {
	for name, start := range browsers {
		t.Run(name, func(t *testing.T) {
			s, chrome := startServer(t), startChromium(t)
			mine, other := start(t, chrome), chrome.tab(t)
			loadSlow(t, mine, alice, s.url)
			enter(t, mine, alice, slots{})
			load(t, other, bob, s.url)
			eval[any](t, other, "(delete window.WebTransport, null)")
			enter(t, other, bob, slots{})
			require.Equal(t, "webtransport", transport(t, mine))
			require.Equal(t, "websocket", transport(t, other))
			meet(t, map[person]tab{alice: mine, bob: other})
			s.holds(t, 2)
			require.Equal(t, 1, s.counted(t, `tolkyn_signaling_connections_opened_total{transport="webtransport"}`))
			require.Equal(t, 1, s.counted(t, `tolkyn_signaling_connections_opened_total{transport="websocket"}`))
			require.Equal(t, "webtransport", eval[string](t, mine, "(async () => (await new tolkyn.sdk.Meter(e2e.room).read()).signaling)()"))

			// Where WebTransport is, the next session knows without asking.
			eval[any](t, mine, "e2e.room.leave()")
			await(t, other, "bob is told that alice left", `!e2e.present("alice")`)
			enter(t, mine, alice, slots{})
			require.Equal(t, "webtransport", transport(t, mine))
			require.Equal(t, 1, eval[int](t, mine, `performance.getEntriesByType("resource").filter((r) => r.name.endsWith("/v1/transports")).length`))

			// Leaving on the way out is heard.
			eval[any](t, mine, `(addEventListener("pagehide", () => void e2e.room.leave()), null)`)
			require.NoError(t, mine.open(t.Context(), s.url+"/sdk-test.html"))
			s.holds(t, 1)
			require.Empty(t, eval[[]string](t, other, "e2e.errors"))
		})
	}
}

// TestWebTransportFromLocalhost: a page of localhost dials 127.0.0.1, and is the server's own there, too.
func TestWebTransportFromLocalhost(t *testing.T) {
	t.Parallel()
	s, browser := startServer(t), startChromium(t)
	p := browser.tab(t)
	loadSlow(t, p, alice, strings.Replace(s.url, "127.0.0.1", "localhost", 1))
	require.Equal(t, "localhost", eval[string](t, p, "location.hostname"))
	enter(t, p, alice, slots{})
	require.Equal(t, "webtransport", transport(t, p))
	require.Empty(t, eval[[]string](t, p, "e2e.errors"))
}

// TestWebTransportBlocked: on a network that drops UDP the call goes over WebSocket, and the next one without trying, until
// ten minutes have passed.
func TestWebTransportBlocked(t *testing.T) {
	t.Parallel()
	for name, start := range browsers {
		t.Run(name, func(t *testing.T) {
			s, chrome := startServer(t), startChromium(t)
			r, p := startRelay(t, s), start(t, chrome)
			again := func(transports int, want string) {
				t.Helper()
				enter(t, p, alice, slots{})
				require.Equal(t, want, transport(t, p))
				require.Equal(t, transports, eval[int](t, p, "e2e.dialled.length"))
				s.holds(t, 1)
				eval[any](t, p, "e2e.room.leave()")
				s.holds(t, 0)
			}
			load(t, p, alice, r.url)
			r.cut.Store(true)
			again(1, "websocket")
			r.cut.Store(false)
			again(1, "websocket")
			load(t, p, alice, r.url)
			again(0, "websocket")
			eval[any](t, p, `(() => {
				const all = JSON.parse(localStorage["tolkyn.ways"]);
				for (const { failed } of Object.values(all)) for (const network in failed) failed[network] -= 601000;
				localStorage["tolkyn.ways"] = JSON.stringify(all);
			})()`)
			eval[any](t, p, "(e2e.slowSocket = 5000, null)")
			again(1, "webtransport")
			again(2, "webtransport")
			require.Empty(t, eval[[]string](t, p, "e2e.errors"))
		})
	}
}

// TestSlowWebTransport: who loses the race leaves no session behind, whether it opens late or is answered late.
func TestSlowWebTransport(t *testing.T) {
	s, browser := startServer(t), startChromium(t)
	r, p := startRelay(t, s), browser.tab(t)
	load(t, p, alice, r.url)
	r.delay.Store(int64(400 * time.Millisecond))
	enter(t, p, alice, slots{})
	require.Equal(t, "websocket", transport(t, p))
	require.Equal(t, 1, eval[int](t, p, "e2e.dialled.length"))
	s.holds(t, 1)
	eval[any](t, p, "e2e.room.leave()")
	s.holds(t, 0)

	r.delay.Store(0)
	eval[any](t, p, "(localStorage.clear(), e2e.slowSocket = 2000, e2e.holdBack = 8000, null)")
	enter(t, p, bob, slots{})
	require.Equal(t, "websocket", transport(t, p))
	s.holds(t, 2)
	s.holds(t, 1)
	require.Equal(t, 1, s.counted(t, "tolkyn_sfu_peers"), "the one that is left is the one that joined")
	await(t, p, "bob is still in", `e2e.room.state === "connected"`)
	require.Empty(t, eval[[]string](t, p, "e2e.errors"))
}

// most is what a page may notice of a change of transport: half a second more than usual, of either.
var most = seen{Gap: 1000.0/25 + 500, Concealed: 48 * 500}

// within is whether pictures and sound came without such a gap.
func (s seen) within(most seen) bool { return s.Gap < most.Gap && s.Concealed < most.Concealed }

// TestWebTransportDies: when UDP is cut off in mid-call, signaling goes on over WebSocket, and nobody sees or hears it. Another
// page's signaling is left alone: when its pictures stumble too, it was the machine, and UDP is cut off again.
func TestWebTransportDies(t *testing.T) {
	for name, start := range browsers {
		t.Run(name, func(t *testing.T) {
			s, chrome := startServer(t), startChromium(t)
			r := startRelay(t, s)
			mine, other, third := start(t, chrome), chrome.tab(t), chrome.tab(t)
			arrive(t, s, other, bob, slots{})
			for tries := 1; ; tries++ {
				loadSlow(t, mine, alice, r.url)
				eval[any](t, mine, "localStorage.clear()")
				enter(t, mine, alice, slots{})
				require.Equal(t, "webtransport", transport(t, mine))
				seesAndHears(t, mine, alice, bob)
				seesAndHears(t, other, bob, alice)
				got, control := cutOff(t, r, mine, other)
				require.Equal(t, tries, s.counted(t, "tolkyn_signaling_resumes_total"))
				if got.within(most) && control.within(most) {
					break
				}
				require.False(t, control.within(most), "the change of transport was seen or heard")
				require.Less(t, tries, 5, "too busy a machine to judge: pictures stumble without any change too")
				eval[any](t, mine, "e2e.room.leave()")
				await(t, other, "alice has left", `!e2e.present("alice")`)
				r.cut.Store(false)
			}
			arrive(t, s, third, carol, slots{})
			seesAndHears(t, mine, alice, carol)
			seesAndHears(t, third, carol, alice)
			s.holds(t, 3)
			require.Empty(t, eval[[]string](t, mine, "e2e.errors"))
		})
	}
}

// cutOff drops the UDP of alice's signaling and waits until it goes over WebSocket and a while longer. It returns what alice
// saw and heard of bob meanwhile, and he of her.
func cutOff(t *testing.T, r *relay, mine, other tab) (got, control seen) {
	t.Helper()
	eval[any](t, mine, `(() => {
		e2e.states = [];
		e2e.session.on("state", (s) => e2e.states.push(s));
		e2e.session.on("transport", (s) => e2e.states.push(s));
		e2e.room.connection.addEventListener("iceconnectionstatechange", () => e2e.states.push("ice"));
	})()`)
	eval[any](t, mine, "(e2e.slowSocket = 0, null)")
	observe(t, mine, other)
	began := time.Now()
	r.cut.Store(true)
	await(t, mine, "signaling goes on over WebSocket", `e2e.session.transport === "websocket" && e2e.session.state === "open"`)
	took := time.Since(began)
	eval[any](t, mine, "new Promise((done) => setTimeout(done, 2000))")
	got, control = observed(t, mine), observed(t, other)
	t.Logf("over WebSocket after %v: alice got %+v, bob %+v", took.Round(time.Millisecond), got, control)
	require.Equal(t, []string{"reconnecting", "websocket", "open"}, eval[[]string](t, mine, "e2e.states"), "and media was not touched")
	require.Equal(t, 2, eval[int](t, mine, "e2e.descriptions"), "nothing was negotiated")
	return got, control
}
