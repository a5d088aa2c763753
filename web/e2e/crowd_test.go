package e2e

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/bench/source"
	"github.com/tolkyn/tolkyn/signaling/client"
)

// press is a key on the call page.
func press(t *testing.T, p tab, code string) {
	t.Helper()
	eval[any](t, p, `void document.dispatchEvent(new KeyboardEvent("keydown", { code: %v }))`, code)
}

// TestCrowd: ten callers and two call pages, which have nine slots for pictures each. A grid of two pages shows everybody; a
// shared screen takes the stage; in the background no picture comes; and a small device sends one small picture and receives
// two.
func TestCrowd(t *testing.T) {
	const callers = 10
	s, browser := startServer(t), startChromium(t)
	for i := range callers {
		sendClips(t, s, clipOf{fmt.Sprintf("caller-%d", i), i % source.Scenes, source.Low, source.Thin})
	}
	pages := []tab{browser.tab(t), browser.tab(t)}
	for i, name := range []string{"Aigerim", "Daniyar"} {
		query := url.Values{"room": {"e2e"}, "lang": {"en"}, "portrait": {fmt.Sprint(i)}, "name": {name}, "autojoin": {"1"}}
		show(t, pages[i], name, s.url+"/?"+query.Encode())
		require.NoError(t, pages[i].resize(t.Context(), 1280, 800))
	}
	for _, p := range pages {
		await(t, p, "all are counted", `document.querySelector(".people .count").textContent === "12"`)
		await(t, p, "in a crowd somebody is on the stage", `document.querySelector(".stage.featuring .main .tile")`)
	}
	turnsPages(t, pages[1])
	sharesScreen(t, pages[0], pages[1])
	rests(t, pages[1])
	require.NoError(t, pages[0].close())
	isSmall(t, s, browser.tab(t), pages[1])
	require.Empty(t, eval[[]string](t, pages[1], "e2e.errors"))
}

// turnsPages goes through a grid: nine others and oneself on the first page, two others on the second, and all of them move.
func turnsPages(t *testing.T, p tab) {
	t.Helper()
	const names = `[...document.querySelectorAll(".tile .name")].map((e) => e.textContent)`
	press(t, p, "KeyG")
	await(t, p, "ten tiles move", "await e2e.liveTiles() === 10")
	seen := eval[[]string](t, p, names)
	require.Contains(t, seen, "Daniyar (you)")
	require.Equal(t, "Page 1 of 2", eval[string](t, p, `document.querySelector(".pager span").textContent`))
	press(t, p, "ArrowRight")
	await(t, p, "two tiles move", "await e2e.liveTiles() === 2")
	seen = append(seen, eval[[]string](t, p, names)...)
	for i := range 10 {
		require.Contains(t, seen, fmt.Sprintf("caller-%d", i))
	}
	require.Contains(t, seen, "Aigerim")
	require.Len(t, seen, 12, "nobody twice")
	press(t, p, "ArrowLeft")
	await(t, p, "ten tiles move", "await e2e.liveTiles() === 10")
	for range 3 { // over speaker and screen back to automatic
		press(t, p, "KeyG")
	}
}

// sharesScreen: one shares the screen with its sound, the other has it on the stage.
func sharesScreen(t *testing.T, mine, other tab) {
	t.Helper()
	const sound = `[...tolkyn.room.participants.values()].flatMap((p) => [...p.tracks.values()]).find((t) => t.source === "screen-audio")`
	press(t, mine, "KeyS")
	await(t, other, "the screen is on the stage", `document.querySelector(".main .tile.screen video")?.videoWidth >= 400`)
	await(t, other, "with its sound", sound+`?.muted === false`)
	eval[any](t, mine, `document.querySelector("[data-icon=sound]").click()`)
	await(t, other, "which may be switched off", sound+`?.muted === true`)
	press(t, mine, "KeyS")
	await(t, other, "and goes", `!document.querySelector(".tile.screen") && !`+sound)
}

// rests: a page that nobody sees gets no pictures, but sound, and has them back at once.
func rests(t *testing.T, p tab) {
	t.Helper()
	const shown = `tolkyn.room.slots.filter((s) => s.kind === %v && s.participant).length`
	hide := func(state string) {
		t.Helper()
		eval[any](t, p, `(() => {
			Object.defineProperty(document, "visibilityState", { value: %v, configurable: true });
			document.dispatchEvent(new Event("visibilitychange"));
		})()`, state)
	}
	hide("hidden")
	await(t, p, "no picture comes", shown+` === 0`, "video")
	await(t, p, "but sound", shown+` === 3`, "audio")
	hide("visible")
	await(t, p, "the pictures are back", "await e2e.liveTiles() > 3")
}

// isSmall: a device of class low, which somebody picks out of the list of people.
func isSmall(t *testing.T, s *server, p, other tab) {
	t.Helper()
	load(t, p, dave, s.url)
	eval[string](t, p, `e2e.join({ name: "dave", room: "e2e", device: { class: "low" }, look: { color: e2e.palette.yellow, tone: 1100, scale: 4 } })`)
	press(t, other, "KeyP")
	await(t, other, "it is in the list", `[...document.querySelectorAll(".people-list .name")].some((e) => e.textContent === "dave")`)
	eval[any](t, other, `[...document.querySelectorAll(".people-list button")].find((e) => e.textContent.includes("dave")).click()`)
	// Of 360 lines at most: an encoder that has few bits, or no time, takes fewer.
	await(t, other, "it is on the stage", `document.querySelector(".main .tile .name").textContent === "dave" &&
		document.querySelector(".main .tile video").videoHeight > 0 && document.querySelector(".main .tile video").videoHeight <= 360`)
	await(t, p, "it sends one picture", `(await e2e.sending()).every((s, i) => i === 0 && s.active && s.height > 0 && s.height <= 360)`)
	type parameters struct{ ScaleResolutionDownBy, MaxFramerate float64 }
	require.Equal(t, []parameters{{720 / 360, 24}}, eval[[]parameters](t, p, `e2e.room.connection.getTransceivers()[1].sender.getParameters().encodings`))
	await(t, p, "and receives two", `e2e.room.slots.filter((s) => s.kind === "video" && s.participant).length === 2`)
	require.Empty(t, eval[[]string](t, p, "e2e.errors"))
}

// TestLargeRoom: a page of a room that is too large for the server to tell of everybody counts all, turns pages through all,
// and finds somebody it has never heard of.
func TestLargeRoom(t *testing.T) {
	const callers = 70 // the server names 64 at most
	s, p := startServer(t), startChromium(t).tab(t)
	var joining sync.WaitGroup
	var errs [callers]error
	var sessions [callers]*client.Client
	t.Cleanup(func() {
		for _, session := range sessions {
			if session != nil {
				require.NoError(t, session.Close())
			}
		}
	})
	for i := range callers {
		name := fmt.Sprintf("caller-%d", i)
		token := client.Token(devToken(t, s, name))
		joining.Go(func() {
			if sessions[i], errs[i] = client.Dial(t.Context(), s.url, token, client.Options{}); errs[i] != nil {
				return
			}
			_, errs[i] = sessions[i].Join(t.Context(), client.JoinOptions{Name: name, AudioSlots: 1, VideoSlots: -1})
		})
		if i%4 == 3 { // a few at a time: handshakes are dear
			joining.Wait()
		}
	}
	joining.Wait()
	require.NoError(t, errors.Join(errs[:]...))
	show(t, p, "page", s.url+"/?room=e2e&lang=en&portrait=0&name=Aigerim&autojoin=1")
	require.NoError(t, p.resize(t.Context(), 1280, 800))
	await(t, p, "all are counted", `document.querySelector(".people .count").textContent === "71"`)
	require.Equal(t, 64, eval[int](t, p, "tolkyn.room.participants.size"))

	press(t, p, "KeyG")
	const names = `[...document.querySelectorAll(".tile .name")].map((e) => e.textContent)`
	seen := map[string]bool{}
	for page := 2; page <= 8; page++ { // the first shows those who have something to show first, then come all in order
		press(t, p, "ArrowRight")
		await(t, p, "the page is turned", `document.querySelector(".pager span").textContent === %v`, fmt.Sprintf("Page %d of 8", page))
		for _, name := range eval[[]string](t, p, names) {
			require.False(t, seen[name], name)
			seen[name] = true
		}
	}
	require.Len(t, seen, callers)

	last := fmt.Sprintf("caller-%d", callers-1)
	press(t, p, "KeyP")
	eval[any](t, p, `(() => {
		const field = document.querySelector("dialog input");
		field.value = %v;
		field.dispatchEvent(new Event("input"));
	})()`, strings.ToUpper(last))
	await(t, p, "it is found", `[...document.querySelectorAll(".people-list li:not([hidden]) .name")].map((e) => e.textContent).join() === %v`, last)
	require.NoError(t, sessions[callers-1].Close())
	sessions[callers-1] = nil
	await(t, p, "one less is counted", `document.querySelector(".people .count").textContent === "70"`)
	require.Empty(t, eval[[]string](t, p, "e2e.errors"))
}
