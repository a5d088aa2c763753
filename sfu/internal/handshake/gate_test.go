package handshake

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// gateTest drives a gate whose packets are strings and peers letters.
type gateTest struct {
	*testing.T
	*Gate[string, string]
	now time.Duration
}

func newGateTest(t *testing.T, cores int) *gateTest {
	return &gateTest{T: t, Gate: NewGate[string, string](cores)}
}

func (g *gateTest) admit(peer, packet string, want GateVerdict) {
	g.Helper()
	require.Equal(g, want.String(), g.Admit(g.now, peer, packet).String())
}

func (g *gateTest) poll(wantNext time.Duration, want ...string) {
	g.Helper()
	var got []string
	next := g.Poll(g.now, func(peer, packet string) { got = append(got, peer+packet) })
	require.Equal(g, want, got)
	require.Equal(g, wantNext, next)
}

func TestGateTokens(t *testing.T) {
	for cores, want := range map[int]int{0: 1, 1: 1, 8: 1, 15: 1, 16: 2, 64: 8} {
		g := newGateTest(t, cores)
		for i := range want {
			g.admit(fmt.Sprint(i), "x", GatePass)
		}
		g.admit("late", "x", GateWait)
	}
}

func TestGateHoldsUntilWrote(t *testing.T) {
	g := newGateTest(t, 2)
	g.admit("a", "1", GatePass)
	g.admit("a", "2", GatePass) // the same step
	g.admit("b", "1", GateWait)
	g.admit("c", "1", GateWait)
	g.admit("b", "2", GateWait)
	g.poll(GateHold)

	g.now += 10 * time.Millisecond
	g.Wrote("a")
	g.admit("a", "3", GateWait) // behind those who came before
	g.poll(g.now+GateHold, "b1", "b2")
	g.Wrote("b")
	g.poll(g.now+GateHold, "c1")
	g.Wrote("c")
	g.poll(0, "a3")
	g.Wrote("a")
	g.Wrote("a") // keepalives of connected peers write as well
	g.Wrote("nobody")
	g.poll(0)
	require.Equal(t, GateStats{Passed: 2, Queued: 4}, g.Stats())
}

func TestGateTakesTokensBack(t *testing.T) {
	g := newGateTest(t, 1)
	g.admit("a", "1", GatePass)
	g.admit("b", "1", GateWait)
	g.now = GateHold - 1
	g.poll(GateHold)
	g.now = GateHold
	g.poll(0, "b1")
	require.Equal(t, uint64(1), g.Stats().TimedOut)
	g.now += GateHold
	g.admit("c", "1", GatePass)
	require.Equal(t, uint64(2), g.Stats().TimedOut)
}

func TestGateRefusesWhenTheQueueIsOld(t *testing.T) {
	g := newGateTest(t, 1)
	g.admit("a", "1", GatePass)
	g.admit("b", "1", GateWait)
	for g.now < GatePatience {
		g.admit("a", "again", GatePass)
		g.now += 40 * time.Millisecond
		g.holders["a"] = g.now + GateHold // a step that never ends
	}
	g.admit("c", "1", GateBusy)
	retry, busy := g.Busy(g.now)
	require.True(t, busy)
	require.Equal(t, g.now, retry)
	g.admit("b", "2", GateWait) // who waits already goes on waiting
	g.Wrote("a")
	g.poll(0, "b1", "b2")
	_, busy = g.Busy(g.now)
	require.False(t, busy)
	require.Equal(t, uint64(1), g.Stats().Refused)
}

func TestGateBoundsMemory(t *testing.T) {
	g := newGateTest(t, 1)
	g.admit("a", "1", GatePass)
	for range gatePeerItems {
		g.admit("b", "x", GateWait)
	}
	g.admit("b", "x", GateDrop)
	for i := range gatePeers - 1 {
		g.admit(fmt.Sprint(i), "x", GateWait)
	}
	g.admit("one more", "x", GateBusy)
	require.Equal(t, gatePeers, g.Stats().Waiting)
	for i := range gatePeers - 1 {
		g.Forget(fmt.Sprint(i))
	}
	g.Forget("b")
	g.Forget("a")
	require.Zero(t, g.Stats().Waiting)
	g.poll(0)
	g.admit("fresh", "x", GatePass)
	require.Equal(t, uint64(1), g.Stats().Dropped)
	require.Equal(t, uint64(1), g.Stats().Refused)
}

func TestGateForgetsAmongTheWaiting(t *testing.T) {
	g := newGateTest(t, 1)
	g.admit("a", "1", GatePass)
	g.admit("b", "1", GateWait)
	g.admit("c", "1", GateWait)
	g.Forget("b")
	g.Forget("a")
	g.poll(0, "c1")
}
