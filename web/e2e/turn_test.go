package e2e

import (
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// TestRelay: browsers that may use relays alone hold a call through ours, over UDP, TCP and TLS.
func TestRelay(t *testing.T) {
	ca := testAuthority(t)
	s := startServer(t, "--config", ca.settings(t), "--turn-tls", "127.0.0.1:0")
	chrome := startChromium(t, chromedp.Env("HOME="+ca.home(t)))
	pages := map[person]tab{bob: chrome.tab(t)}
	arrive(t, s, pages[bob], bob, slots{})
	for _, browser := range []struct {
		name string
		tab  tab
	}{
		{"chromium", chrome.tab(t)},
		{"firefox", startFirefox(t).tab(t)},
	} {
		t.Run(browser.name, func(t *testing.T) {
			pages[alice] = browser.tab
			load(t, pages[alice], alice, s.url)
			for _, way := range []struct{ name, url string }{
				{"udp", "^turn:.*udp$"}, {"tcp", "^turn:.*tcp$"}, {"tls", "^turns:"},
			} {
				t.Run(way.name, func(t *testing.T) {
					eval[any](t, pages[alice], "(e2e.relayBy = new RegExp(%v), e2e.watched = {}, e2e.heard = {}, null)", way.url)
					eval[string](t, pages[alice], `e2e.join({ name: %v, room: "e2e", slots: {}, relayOnly: true,
						look: { color: e2e.palette[%v], tone: %v, fps: 25 } })`, alice.name, alice.color, alice.tone)
					meet(t, pages)
					pair := eval[selected](t, pages[alice], pathOf)
					t.Logf("%+v", pair)
					require.Equal(t, "relay", pair.Local)
					require.Equal(t, way.name, pair.Protocol)
					require.Empty(t, eval[[]string](t, pages[alice], "e2e.errors"))
					eval[any](t, pages[alice], "e2e.room.leave()")
					await(t, pages[bob], "bob is told that alice left", `!e2e.present("alice")`)
					eval[any](t, pages[bob], "(e2e.watched = {}, e2e.heard = {}, null)")
				})
			}
		})
	}
}
