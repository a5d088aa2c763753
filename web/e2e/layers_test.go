package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// encoding is what page.js tells of one that a page sends.
type encoding struct {
	MID, RID, Mode, Codec string
	Active                bool
	Frames                int // spatial layers count each
	Width, Height         int
}

func sending(t *testing.T, p tab) []encoding {
	t.Helper()
	return eval[[]encoding](t, p, "e2e.sending()")
}

// publish joins with a camera of 720 lines that the page draws.
func publish(t *testing.T, p tab, who person, codec string) {
	t.Helper()
	eval[string](t, p, `e2e.join({ name: %v, room: "e2e", codec: %v, device: { class: "high" }, slots: { audio: 1, video: 1 },
		look: { color: e2e.palette[%v], tone: %v, fps: 25, scale: 4, noisy: true } })`, who.name, codec, who.color, who.tone)
	await(t, p, who.name+" is connected", `e2e.room.state === "connected"`)
}

// view wishes for somebody's picture in a size and waits until it comes so.
func view(t *testing.T, p tab, other person, width, height, want int) {
	t.Helper()
	eval[any](t, p, "e2e.view(%v, %v, %v)", other.name, width, height)
	await(t, p, "the picture's lines are those of the wish", `e2e.sees(%v)?.height === %v`, other.name, want)
}

// TestLayers: pictures of each codec come from Chromium, in the size that is wished for. A change of size is not seen as a
// freeze; what nobody watches is not sent. The publisher watches a picture that does not change: when that stumbles too, it
// was the machine, and the changes are made again.
func TestLayers(t *testing.T) {
	s, browser := startServer(t), startChromium(t)
	publisher, viewer := browser.tab(t), browser.tab(t)
	load(t, publisher, alice, s.url)
	arrive(t, s, viewer, bob, slots{Audio: 1, Video: 1})
	for _, codec := range []string{"vp8", "h264", "vp9", "av1"} {
		passed := t.Run(codec, func(t *testing.T) {
			publish(t, publisher, alice, codec)
			await(t, viewer, "alice's picture comes in her codec", `await e2e.codecOf("alice") === %v`, strings.ToUpper(codec))
			view(t, viewer, alice, 1280, 720, 720)
			changesSizes(t, viewer, publisher)
			stopsUnwatched(t, viewer, publisher)
			require.Empty(t, eval[[]string](t, publisher, "e2e.errors"))
			require.Equal(t, 2, eval[int](t, viewer, "e2e.descriptions"), "nothing was negotiated again")
		})
		if !passed {
			explain(t, publisher, "alice, in "+codec)
		}
		leaveForAnother(t, publisher, viewer)
	}
	require.Empty(t, eval[[]string](t, viewer, "e2e.errors"))
}

// TestFirefoxLayers: Firefox shows each codec that it decodes, and instead of H.264, which it does not, what the publisher then
// sends beside it. Its own simulcast comes in the size that is wished for.
func TestFirefoxLayers(t *testing.T) {
	s, browser := startServer(t), startChromium(t)
	chrome, fox := browser.tab(t), startFirefox(t).tab(t)
	load(t, chrome, alice, s.url)
	load(t, fox, bob, s.url)
	publish(t, fox, bob, "vp8")
	for _, c := range []struct{ codec, comes string }{{"vp9", "VP9"}, {"av1", "AV1"}, {"vp8", "VP8"}, {"h264", "VP8"}} {
		publish(t, chrome, alice, c.codec)
		await(t, fox, "alice's picture comes, sent in "+c.codec, `await e2e.codecOf("alice") === %v`, c.comes)
		before := eval[int](t, fox, `e2e.sees("alice")?.frames ?? 0`)
		await(t, fox, "and moves", `e2e.sees("alice")?.frames > %v && e2e.colorOf(e2e.slot("alice", "video")) === "red"`, before+10)
		view(t, fox, alice, 320, 180, 180)
		view(t, fox, alice, 1280, 720, 720)
		if c.codec != "h264" {
			leaveForAnother(t, chrome, fox)
		}
	}
	require.NotContains(t, eval[[]string](t, fox, `RTCRtpReceiver.getCapabilities("video").codecs.map((c) => c.mimeType)`), "video/H264")
	await(t, chrome, "the codec that nobody decodes is not sent",
		`(await e2e.sending()).every((s) => s.codec === "H264" ? !s.active : s.codec === "VP8")`)
	view(t, chrome, bob, 320, 180, 180)
	view(t, chrome, bob, 640, 360, 360) // not the largest: on a busy machine Firefox leaves it out

	const pictures = `e2e.room.connection.getTransceivers().filter((t) => t.sender.track?.kind === "video").length`
	require.Equal(t, 2, eval[int](t, chrome, pictures))
	eval[any](t, chrome, `(() => { // half a minute is over soon
		const later = setTimeout;
		window.setTimeout = (f, ms, ...more) => later(f, ms === 30000 ? 100 : ms, ...more);
	})()`)
	eval[any](t, fox, "e2e.room.leave()")
	await(t, chrome, "nobody needs the other codec any more", pictures+" === 1")
	for _, p := range []tab{chrome, fox} {
		require.Empty(t, eval[[]string](t, p, "e2e.errors"))
	}
}

// leaveForAnother takes alice out, so that she may come again.
func leaveForAnother(t *testing.T, mine, other tab) {
	t.Helper()
	eval[any](t, mine, "(e2e.stop(), e2e.room.leave())")
	await(t, other, "the other is told that alice left", `!e2e.present("alice")`)
	eval[any](t, mine, "(e2e.descriptions = 0, Object.keys(e2e.watched).concat(Object.keys(e2e.heard)).forEach(e2e.forget))")
}

// changesSizes goes down and up through the sizes until it has done so without a freeze.
func changesSizes(t *testing.T, viewer, publisher tab) {
	t.Helper()
	const longest = 300 // ms
	flows := func(s seen) bool { return s.Gap <= longest && s.Frozen <= longest*float64(s.Freezes) }
	for range 4 {
		observe(t, viewer, publisher)
		for _, lines := range []int{180, 360, 180, 720} {
			view(t, viewer, alice, lines*16/9, lines, lines)
		}
		got, control := observed(t, viewer), observed(t, publisher)
		t.Logf("four changes: %+v; without any: %+v", got, control)
		if flows(got) {
			return
		}
		require.False(t, flows(control), "a change of size was seen as a freeze")
	}
	require.FailNow(t, "too busy a machine to judge", "pictures stumble without changes too")
}

// stopsUnwatched wants the upper layers not sent while only the smallest is watched, and nothing while nobody watches.
func stopsUnwatched(t *testing.T, viewer, publisher tab) {
	t.Helper()
	const soon = 1500 * time.Millisecond // a second of the server's, and one reading of statistics
	view(t, viewer, alice, 320, 180, 180)
	began := time.Now()
	await(t, publisher, "only what is small is sent", `(await e2e.sending()).every((s) => !s.active || s.height <= 180)`)
	t.Logf("upper layers ended after %v: %+v", time.Since(began), sending(t, publisher))
	eval[any](t, viewer, "e2e.room.pauseVideo(true)")
	began = time.Now()
	await(t, publisher, "nothing is sent", `(await e2e.sending()).every((s) => !s.active)`)
	took := time.Since(began)
	before := sending(t, publisher)
	eval[any](t, publisher, "new Promise((done) => setTimeout(done, 400))")
	after := sending(t, publisher)
	for i := range before {
		require.Equal(t, before[i].Frames, after[i].Frames, "%+v", after[i])
	}
	require.Less(t, took, soon)
	eval[any](t, viewer, "e2e.room.pauseVideo(false)")
	await(t, viewer, "the picture comes back", `e2e.slot("alice", "video") && e2e.colorOf(e2e.slot("alice", "video")) === "red"`)
}
