package e2e

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var codeBlock = regexp.MustCompile("(?s)```js\n(.*?)```")

// readmeSample is the web SDK in the README, as it stands there.
func readmeSample(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	blocks := codeBlock.FindAllStringSubmatch(string(text), -1)
	require.Len(t, blocks, 1, "README.md has one block of JavaScript")
	return blocks[0][1]
}

// startSite serves a page of somebody who uses the SDK: a button, the sample, and the server on the same host.
func startSite(t *testing.T, s *server, sample string) string {
	t.Helper()
	target, err := url.Parse(s.url)
	require.NoError(t, err)
	behind := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host
	}}
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/":
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = w.Write([]byte(`<!doctype html><button id="leave">Leave</button><script type="module" src="/call.js"></script>`))
		case "/call.js":
			w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
			_, _ = w.Write([]byte(sample)) // the browser may have gone; there is nobody to tell
		default:
			behind.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(site.Close)
	return site.URL
}

// TestReadmeSample: two pages with the README's code see and hear each other, until one leaves.
func TestReadmeSample(t *testing.T) {
	t.Parallel()
	sample := readmeSample(t)
	lines := 0
	for line := range strings.Lines(sample) {
		if strings.TrimSpace(line) != "" {
			lines++
		}
	}
	require.LessOrEqual(t, lines, 20, "lines of code that a reader has to take in")

	s, browser := startServer(t), startChromium(t)
	site := startSite(t, s, sample)
	pages := []tab{browser.tab(t), browser.tab(t)}
	for _, p := range pages {
		show(t, p, "sample", site)
	}
	const visible = `[...document.querySelectorAll("video")].filter((v) => !v.hidden)`
	for _, p := range pages {
		await(t, p, "one picture moves", visible+`.length === 1 && `+visible+`[0].getVideoPlaybackQuality().totalVideoFrames > 20`)
		await(t, p, "and is large enough to be a camera's", visible+`[0].videoWidth >= 160`)
		await(t, p, "a sound is played", `[...document.querySelectorAll("audio")].some((a) => !a.hidden && a.currentTime > 0)`)
		await(t, p, "and is none of silence",
			`(await e2e.stats()).some((s) => s.type === "inbound-rtp" && s.kind === "audio" && s.totalAudioEnergy > 0)`)
	}
	eval[any](t, pages[0], `document.querySelector("#leave").click()`)
	await(t, pages[1], "the picture goes with its person", visible+".length === 0")
	for _, p := range pages {
		require.Empty(t, eval[[]string](t, p, "e2e.errors"))
	}
}
