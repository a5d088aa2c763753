package e2e

import (
	"flag"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

var updateScreenshots = flag.Bool("update-screenshots", false, "write what the call page looks like to docs/images")

// TestCallPage goes the way of a user: the page before the call, a name, Join; and wants three moving tiles on a
// desktop's screen and on a phone's.
func TestCallPage(t *testing.T) {
	s, browser := startServer(t), startChromium(t)
	names := []string{"Aigerim Saparova", "Данияр Ахметов", "Asel Nurlan"}
	pages := make([]tab, len(names))
	for i, name := range names {
		pages[i] = browser.tab(t)
		query := url.Values{"room": {"dala-204"}, "lang": {"en"}, "portrait": {fmt.Sprint(i)}, "name": {name}}
		if i > 0 {
			query.Set("autojoin", "1")
		}
		show(t, pages[i], name, s.url+"/?"+query.Encode())
	}
	mine := pages[0]
	ctx := t.Context()
	require.NoError(t, mine.resize(ctx, 1280, 800))
	await(t, mine, "the preview shows the camera", `document.querySelector(".preview video").videoWidth > 0`)
	keep(t, mine, "prejoin.png")
	eval[any](t, mine, `(() => {
		const field = document.querySelector("input[name=name]");
		field.value = %v;
		field.dispatchEvent(new Event("input", { bubbles: true }));
		field.form.requestSubmit();
	})()`, names[0])
	for _, size := range []struct {
		width, height int
		file          string
	}{{1280, 800, "call.png"}, {390, 844, "call-phone.png"}} {
		require.NoError(t, mine.resize(ctx, size.width, size.height))
		await(t, mine, "three tiles move", "await e2e.liveTiles() === 3")
		await(t, mine, "the round trip is shown", `/\d ms/.test(document.querySelector("#app").innerText)`)
		for _, name := range names {
			await(t, mine, "a tile bears the name "+name, `document.querySelector("#app").innerText.includes(%v)`, name)
		}
		require.False(t, eval[bool](t, mine, "document.documentElement.scrollWidth > innerWidth"), "nothing sticks out")
		keep(t, mine, size.file)
	}
	require.NoError(t, mine.resize(ctx, 320, 568))
	await(t, mine, "nothing sticks out of the smallest telephone", "document.documentElement.scrollWidth <= innerWidth")
	eval[any](t, pages[2], "tolkyn.room.leave()")
	await(t, mine, "a toast tells that somebody left", `[...document.querySelectorAll(".toast")].some((e) =>
		e.textContent === "Asel Nurlan left" && e.clientWidth > 2 * e.clientHeight && e.scrollWidth <= e.clientWidth)`)
	require.Empty(t, eval[[]string](t, mine, "e2e.errors"))
}

// TestCameraIsOpenedOnce: whoever switches the camera off and on before it has opened has it opened once, not twice with
// one of them lit for ever.
func TestCameraIsOpenedOnce(t *testing.T) {
	t.Parallel()
	s, browser := startServer(t), startChromium(t)
	p := browser.tab(t)
	show(t, p, "page", s.url+"/?lang=en&portrait=0")
	await(t, p, "the preview shows the camera", `document.querySelector(".preview video").videoWidth > 0`)
	eval[any](t, p, `(async () => {
		const open = navigator.mediaDevices.getUserMedia, late = [600, 100];
		e2e.opened = [];
		navigator.mediaDevices.getUserMedia = async (wanted) => {
			if (wanted.video) await new Promise((done) => setTimeout(done, late.shift()));
			const stream = await open(wanted);
			e2e.opened.push(...stream.getVideoTracks());
			return stream;
		};
		const toggle = document.querySelectorAll(".overlay .round")[1];
		for (let i = 0; i < 4; i++) toggle.click();
	})()`)
	await(t, p, "both were opened", "e2e.opened.length === 2")
	await(t, p, "and one stopped", `e2e.opened.filter((track) => track.readyState === "live").length === 1`)
	await(t, p, "the preview shows the other", `document.querySelector(".preview video").videoWidth > 0`)
	require.Empty(t, eval[[]string](t, p, "e2e.errors"))
}

// keep takes a screenshot, and writes it when the flag says so.
func keep(t *testing.T, p tab, file string) {
	t.Helper()
	picture, err := p.screenshot(t.Context())
	require.NoError(t, err)
	require.Greater(t, len(picture), 10_000, "an empty page compresses to less")
	if !*updateScreenshots {
		return
	}
	dir := filepath.Join("..", "..", "docs", "images")
	require.NoError(t, os.MkdirAll(dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, file), picture, 0o644))
}
