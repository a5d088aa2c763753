package e2e

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestRelayIsRenewed: newer credentials move media that goes through the relay to an allocation that was made with them, and pictures go
// on. The server tells of newer ones after three quarters of an hour; here the page hears so at once.
func TestRelayIsRenewed(t *testing.T) {
	s := startServer(t)
	chrome := startChromium(t)
	pages := map[person]tab{alice: chrome.tab(t), bob: chrome.tab(t)}
	arrive(t, s, pages[bob], bob, slots{})
	load(t, pages[alice], alice, s.url)
	eval[string](t, pages[alice], `e2e.join({ name: %v, room: "e2e", slots: {}, relayOnly: true,
		look: { color: e2e.palette[%v], tone: %v, fps: 25 } })`, alice.name, alice.color, alice.tone)
	meet(t, pages)
	const local = `(async () => {
		const stats = await e2e.room.connection.getStats();
		for (const s of stats.values()) {
			if (s.type !== "transport" || !s.selectedCandidatePairId) continue;
			const c = stats.get(stats.get(s.selectedCandidatePairId).localCandidateId);
			return c.candidateType + " " + c.port;
		}
		return "";
	})()`
	before := eval[string](t, pages[alice], local)
	require.Contains(t, before, "relay ")
	eval[any](t, pages[alice], `(e2e.before = %v, e2e.room.session.emit("relays"), null)`, before)
	await(t, pages[alice], "alice moves to another allocation", `(async () => {
		const now = await `+local+`;
		return now.startsWith("relay ") && now !== e2e.before;
	})()`)
	for me, other := range map[person]person{alice: bob, bob: alice} {
		seen := eval[int](t, pages[me], "e2e.sees(%v).frames", other.name)
		await(t, pages[me], "pictures go on", "e2e.sees(%v).frames > %v + 20", other.name, seen)
	}
	require.Empty(t, eval[[]string](t, pages[alice], "e2e.errors"))
}
