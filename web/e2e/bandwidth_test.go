package e2e

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestPageSaysThatTheLinkIsNarrow: a picture that is small, and one that does not come at all, because of what the link carries,
// says so on its tile; and it no longer does once there is no need. The server is told that nobody's link carries more.
func TestPageSaysThatTheLinkIsNarrow(t *testing.T) {
	browser := startChromium(t)
	const why = `(document.querySelector(".tile .why:not([hidden])")?.textContent ?? "")`
	for _, c := range []struct{ name, bitrate, says string }{
		{"small", "400000", `/^(180|360)p: your link carries no more$/`},
		{"paused", "100000", `/^your link carries no more$/`},
		{"wide", "20000000", `/^$/`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("TOLKYN_MEDIA__MAX_BITRATE", c.bitrate)
			t.Setenv("TOLKYN_MEDIA__START_BITRATE", c.bitrate)
			s := startServer(t)
			publisher, viewer := browser.tab(t), browser.tab(t)
			load(t, publisher, alice, s.url)
			publish(t, publisher, alice, "vp8")
			query := url.Values{"room": {"e2e"}, "lang": {"en"}, "name": {"Bob"}, "autojoin": {"1"}}
			show(t, viewer, "bob", s.url+"/?"+query.Encode())
			require.NoError(t, viewer.resize(t.Context(), 1280, 800))
			const shown = `[...tolkyn.room.layers.values()]`
			await(t, viewer, "the server has said what comes of alice", shown+`.length === 1`)
			if c.name == "paused" {
				await(t, viewer, "nothing comes", shown+`[0].height === 0`)
			} else {
				await(t, viewer, "a picture comes", shown+`[0].height > 0 && await e2e.liveTiles() > 1`)
			}
			await(t, viewer, "the tile says why", c.says+`.test(`+why+`)`)
			require.Empty(t, eval[[]string](t, viewer, "e2e.errors"))
			require.NoError(t, viewer.close())
			require.NoError(t, publisher.close())
		})
	}
}
