// Package e2e holds the tests with real browsers: Chromium by the DevTools protocol, Firefox by WebDriver BiDi, both
// from Go, against the real server in this process on loopback.
//
//	Chromium tab ─┐  page.js: a canvas of one colour with a timecode, a tone,   ┌─ Firefox tab
//	Chromium tab ─┼─ one flash and beep a second; and what watches the others   ─┘
//	Chromium tab ─┘                     │ web SDK
//	                                    ▼   (relay: a way to the server whose UDP a test may cut or delay)
//	                    server: web + signaling + sfu ◄── tolkyn call: a clip drawn and encoded here
//
// bench_linux_test.go holds the bench's callers against Chromium behind a link between namespaces, which needs root.
//
// It has no code of its own outside its tests. A browser that is not installed fails them, with the command that
// installs it.
package e2e
