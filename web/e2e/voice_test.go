package e2e

import (
	"encoding/base64"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// speak opens a page that has a voice and no picture, its media on a wire, and joins.
func speak(t *testing.T, s *server, p tab, who person, saver bool) *wire {
	t.Helper()
	w := startWire(t, s)
	load(t, p, who, s.url)
	eval[any](t, p, "(e2e.mediaPort = %v, null)", w.port())
	eval[string](t, p, `e2e.join({ name: %v, room: "e2e", blind: true, saver: %v,
		look: { color: e2e.palette[%v], tone: %v } })`, who.name, saver, who.color, who.tone)
	await(t, p, who.name+" is connected", `e2e.room.state === "connected"`)
	return w
}

// hearsTone waits until somebody's tone, and no other, is in his slot.
func hearsTone(t *testing.T, p tab, other person) {
	t.Helper()
	await(t, p, "hears "+other.name, `Math.abs(e2e.frequency(e2e.slot(%v, "audio")) - %v) < 12`, other.name, other.tone)
}

// TestChromiumsVoicesAreRepaired: both ways of repair are agreed on, and are used where packets are lost. What Chromium sends
// again is what it sent before, byte for byte: anything else under the same number would break the cipher.
func TestChromiumsVoicesAreRepaired(t *testing.T) {
	t.Parallel()
	s, browser := startServer(t), startChromium(t)
	mine, other := browser.tab(t), browser.tab(t)
	w := speak(t, s, mine, alice, false)
	speak(t, s, other, bob, false)
	hearsTone(t, mine, bob)
	hearsTone(t, other, alice)
	up, down := w.during(3 * time.Second)
	require.Zero(t, down.types[63], "nothing is lost, so that copies would be waste")
	require.Positive(t, down.types[111])
	require.Positive(t, up.types[111])
	require.Zero(t, up.types[63], "Opus first")

	w.lose(0.2)
	require.Eventually(t, func() bool {
		up, down := w.sofar()
		return down.types[63] > 100 && up.again > 10
	}, patience, patience/200, "copies come down, and what was lost goes up again")
	up, down = w.sofar()
	require.Zero(t, up.other)
	require.Zero(t, down.other)
	require.Positive(t, s.counted(t, "tolkyn_sfu_nacks_total{direction=\"in\"}"), "Chromium asks too")
	w.lose(0)
	hearsTone(t, mine, bob)
	hearsTone(t, other, alice)
	for _, p := range []tab{mine, other} {
		require.Empty(t, eval[[]string](t, p, "e2e.errors"))
	}
}

// saving is a call of two who save, and say a sentence over and over.
func saving(t *testing.T) (mine, other tab, w *wire) {
	t.Helper()
	s, browser := startServer(t), startChromium(t)
	mine, other = browser.tab(t), browser.tab(t)
	w = speak(t, s, mine, alice, true)
	speak(t, s, other, bob, true)
	hearsTone(t, mine, bob)
	hearsTone(t, other, alice)
	require.True(t, eval[bool](t, mine, "e2e.room.saver"))
	clip, err := os.ReadFile("../../bench/source/clips/a-32k.ogg")
	require.NoError(t, err)
	for _, p := range []tab{mine, other} {
		eval[any](t, p, "e2e.say(%v).then(() => null)", base64.StdEncoding.EncodeToString(clip))
	}
	time.Sleep(5 * time.Second) // DTLS, the first checks, a rate that finds its level
	return mine, other, w
}

// measured is what goes over the wire for so long.
func measured(t *testing.T, w *wire, what string, d time.Duration) (up, down traffic) {
	t.Helper()
	up, down = w.during(d)
	say := func(x traffic) string {
		rate := func(n int) float64 { return float64(n) / d.Seconds() }
		return fmt.Sprintf("%.0f B/s, %.1f packets/s (%.1f of sound, %.1f checks)",
			rate(x.bytes), rate(x.packets), rate(x.types[111]+x.types[63]), rate(x.checks))
	}
	t.Logf("%s: up %s; down %s", what, say(up), say(down))
	return up, down
}

// TestSavingCostsLittle measures on the wire what a call with two who save costs, and what Chromium does in it: speech in packets of
// 60 ms, nothing but a few packets in silence.
func TestSavingCostsLittle(t *testing.T) {
	t.Parallel()
	mine, other, w := saving(t)
	const seconds = 15
	const speech, silence = 22_000 / 8 * seconds, 4_000 / 8 * seconds
	eval[any](t, mine, "(async () => { e2e.meter = new tolkyn.sdk.Meter(e2e.room); await e2e.meter.read(); return null; })()")
	up, down := measured(t, w, "both say a sentence", seconds*time.Second)
	told := eval[map[string]float64](t, mine,
		"e2e.meter.read().then((s) => ({ up: s.perMinuteOut, down: s.perMinuteIn }))")
	require.Less(t, up.bytes, speech)
	require.Less(t, down.bytes, speech)
	require.Greater(t, up.types[111], 10*seconds, "60 ms each, and pauses: speech is being sent")
	require.Less(t, up.types[111], 18*seconds)
	require.InEpsilon(t, up.bytes*60/seconds, told["up"], 0.1, "what the SDK says that a minute costs")
	require.InEpsilon(t, down.bytes*60/seconds, told["down"], 0.1)

	const hush = `(e2e.room.publication("microphone").track.enabled = false, null)`
	eval[any](t, mine, hush)
	eval[any](t, other, hush)
	time.Sleep(3 * time.Second)
	up, down = measured(t, w, "both silent", seconds*time.Second)
	require.Less(t, up.bytes, silence)
	require.Less(t, down.bytes, silence)
}

// TestMutedCostsNextToNothing: next to no packet goes while everybody is muted, and speech goes again when they no longer are.
func TestMutedCostsNextToNothing(t *testing.T) {
	t.Parallel()
	mine, other, w := saving(t)
	const seconds = 30
	const mute = `e2e.room.setMuted("microphone", %v).then(() => null)`
	eval[any](t, mine, mute, true)
	eval[any](t, other, mute, true)
	time.Sleep(3 * time.Second)
	up, down := measured(t, w, "both muted", seconds*time.Second)
	require.LessOrEqual(t, up.packets, 2*seconds)
	require.LessOrEqual(t, down.packets, 2*seconds)
	require.Empty(t, up.types)
	require.Empty(t, down.types)

	eval[any](t, mine, mute, false)
	eval[any](t, other, mute, false)
	up, down = measured(t, w, "both again", 5*time.Second)
	require.Greater(t, up.types[111], 10*5)
	require.Greater(t, down.types[111], 10*5)
}

// soundRecorded is how much sound the browser has taken from the microphone, in seconds.
const soundRecorded = `(async () => {
	let sum = 0;
	(await e2e.room.connection.getStats()).forEach((s) => s.type === "media-source" && s.kind === "audio" && (sum += s.totalSamplesDuration));
	return sum;
})()`

// TestSavingBeginsInACall and ends again, while everybody is heard.
func TestSavingBeginsInACall(t *testing.T) {
	t.Parallel()
	s, browser := startServer(t), startChromium(t)
	mine, other := browser.tab(t), browser.tab(t)
	w := speak(t, s, mine, alice, false)
	speak(t, s, other, bob, false)
	for _, saver := range []bool{true, false} {
		eval[any](t, mine, "e2e.room.save(%v).then(() => null)", saver)
		require.Equal(t, saver, eval[bool](t, mine, "e2e.room.saver"))
		time.Sleep(2 * time.Second)
		recorded := eval[float64](t, mine, soundRecorded)
		up, _ := w.during(5 * time.Second)
		recorded = eval[float64](t, mine, soundRecorded) - recorded // seconds; fewer on a busy machine
		want := recorded * 50
		if saver {
			want = recorded * 1000 / 60
		}
		require.InEpsilon(t, want, up.types[111], 0.2, fmt.Sprintf("packets of a voice, saver %v", saver))
		hearsTone(t, mine, bob)
		hearsTone(t, other, alice)
		slots := 9
		if saver {
			slots = 1
		}
		require.Equal(t, slots, eval[int](t, mine, `e2e.room.slots.filter((s) => s.kind === "video").length`))
	}
	require.Empty(t, eval[[]string](t, mine, "e2e.errors"))

	// A picture comes in the slots that have been opened anew; how many, the machine says, which films it, and three pages are on it.
	watched := browser.tab(t)
	arrive(t, s, watched, carol, slots{Audio: 1, Video: 1})
	await(t, mine, "alice sees carol", `e2e.sees("carol")?.frames > 0`)
}
