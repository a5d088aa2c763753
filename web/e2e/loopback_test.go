package e2e

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// loopback connects two peer connections of one page, so that page.js can be judged without a server.
const loopback = `(async () => {
	const stream = await e2e.source({ color: e2e.palette.green, tone: 660 });
	const a = new RTCPeerConnection(), b = new RTCPeerConnection();
	a.onicecandidate = (e) => b.addIceCandidate(e.candidate);
	b.onicecandidate = (e) => a.addIceCandidate(e.candidate);
	b.ontrack = (e) => (e.track.kind === "video" ? e2e.watch("there", e.track) : e2e.hear("there", e.track));
	for (const track of stream.getTracks()) a.addTrack(track, stream);
	await a.setLocalDescription();
	await b.setRemoteDescription(a.localDescription);
	await b.setLocalDescription();
	await a.setRemoteDescription(b.localDescription);
})()`

// TestLoopback proves the drivers and the page script: a picture and a sound through the browser's own WebRTC are
// recognised, and are in sync.
func TestLoopback(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte("<!doctype html><title>loopback</title><body>")) // nobody to tell
	}))
	defer server.Close()
	browsers := map[string]func(*testing.T) tab{
		"chromium": func(t *testing.T) tab { return startChromium(t).tab(t) },
		"firefox":  func(t *testing.T) tab { return startFirefox(t).tab(t) },
	}
	for name, start := range browsers {
		t.Run(name, func(t *testing.T) {
			p := start(t)
			show(t, p, name, server.URL)
			require.Equal(t, "visible", eval[string](t, p, "document.visibilityState"))
			eval[any](t, p, loopback)
			await(t, p, "a green picture", `e2e.watched.there?.frames > 20 && e2e.colorOf("there") === "green"`)
			await(t, p, "a tone of 660 Hz", `Math.abs(e2e.frequency("there") - 660) < 12`)
			require.Equal(t, []int{320, 180}, eval[[]int](t, p, "[e2e.watched.there.width, e2e.watched.there.height]"))
			await(t, p, "in sync within 80 ms", `Math.abs(e2e.offset("there", "there")) < 80`)
			t.Logf("sound %.0f ms after the picture, the picture after %d ms, colour %v",
				eval[float64](t, p, `e2e.offset("there", "there")`), eval[int](t, p, "e2e.watched.there.delay"),
				eval[[]int](t, p, "e2e.watched.there.color"))

			eval[any](t, p, `console.error("seen by the driver")`)
			require.Eventually(t, func() bool { return slices.ContainsFunc(p.console(), isError) }, patience, patience/100)
			ctx := t.Context()
			require.NoError(t, p.resize(ctx, 390, 844))
			require.Equal(t, 390, eval[int](t, p, "innerWidth"))
			picture, err := p.screenshot(ctx)
			require.NoError(t, err)
			require.Equal(t, "\x89PNG", string(picture[:4]))
			require.NoError(t, p.close())
		})
	}
}

func isError(line string) bool { return line == "error: seen by the driver" }
