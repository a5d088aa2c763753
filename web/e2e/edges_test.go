package e2e

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestUnpluggedMicrophone: switched on again, it is opened anew.
func TestUnpluggedMicrophone(t *testing.T) {
	t.Parallel()
	s, browser := startServer(t), startChromium(t)
	mine, other := browser.tab(t), browser.tab(t)
	arrive(t, s, other, bob, slots{})
	load(t, mine, alice, s.url)
	eval[any](t, mine, `(async () => {
		const { token } = await (await fetch("/v1/dev-token?room=e2e&identity=alice")).json();
		const client = await tolkyn.sdk.connect(location.origin, token);
		e2e.session = client.session;
		e2e.room = await client.join({ name: "alice", microphone: true });
		e2e.lost = [];
		e2e.room.on("error", (e) => e2e.lost.push(e.code));
		const { track } = e2e.room.publication("microphone");
		track.stop();
		track.dispatchEvent(new Event("ended"));
	})()`)
	const known = `[...[...e2e.room.participants.values()].find((p) => p.name === "alice").tracks.values()][0]`
	await(t, other, "bob is told that it is silent", known+".muted === true")
	require.Equal(t, []string{"device-lost"}, eval[[]string](t, mine, "e2e.lost"))
	eval[any](t, mine, `e2e.room.setMuted("microphone", false)`)
	require.Equal(t, "live", eval[string](t, mine, `e2e.room.publication("microphone").track.readyState`))
	await(t, other, "bob is told that it is not", known+".muted === false")
	await(t, mine, "and there is sound in it",
		`(await e2e.stats()).some((s) => s.type === "media-source" && s.trackIdentifier === e2e.room.publication("microphone").track.id && s.audioLevel > 0)`)
}

// TestLeaveWhileReconnecting: who leaves while a new connection is being dialled stays away, and the others are told.
func TestLeaveWhileReconnecting(t *testing.T) {
	t.Parallel()
	s, browser := startServer(t), startChromium(t)
	mine, other := browser.tab(t), browser.tab(t)
	arrive(t, s, other, bob, slots{})
	load(t, mine, alice, s.url)
	// Answers come late from the second connection on.
	eval[any](t, mine, `(() => {
		delete window.WebTransport;
		const Native = WebSocket;
		e2e.sockets = [];
		e2e.late = 200;
		window.WebSocket = class extends Native {
			constructor(...args) {
				super(...args);
				e2e.sockets.push(this);
			}
			set onmessage(f) {
				const late = e2e.sockets.length > 1 ? e2e.late : 0;
				super.onmessage = f && ((m) => setTimeout(() => f(m), late));
			}
		};
	})()`)
	for _, c := range []struct {
		late  int
		heard bool // within the half second that leaving takes
	}{{100, true}, {3000, false}} {
		enter(t, mine, alice, slots{})
		eval[any](t, mine, "(e2e.late = %v, null)", c.late)
		eval[any](t, mine, `(async () => {
			const open = e2e.sockets.length;
			e2e.sockets.at(-1).close();
			while (e2e.sockets.length === open) await new Promise((done) => setTimeout(done, 5));
			await e2e.room.leave();
		})()`)
		require.Equal(t, "closed", eval[string](t, mine, "e2e.session.state"))
		eval[any](t, mine, "new Promise((done) => setTimeout(done, %v))", c.late+200)
		require.Equal(t, "closed", eval[string](t, mine, "e2e.session.state"))
		if c.heard {
			s.holds(t, 1)
		}
		await(t, other, "bob is told that alice left", `!e2e.present("alice")`)
		eval[any](t, mine, "(e2e.sockets.length = 0, null)")
	}
	require.Empty(t, eval[[]string](t, mine, "e2e.errors"))
}
