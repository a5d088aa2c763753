package handshake

import "time"

// Gate bounds how many handshake steps run at once: handshakes are the worst neighbours of the calls on their core
// (4 at once raised a goroutine's wake-up p99 from 0.7 to 7–30 ms, 100 at once to a second).
//
// A peer's packet takes a token; the token comes back when pion writes for that peer (Wrote), or after GateHold when pion
// has nothing to say. Further packets of a peer that holds a token pass: they belong to the same step. The others wait
// in order of their peers' first packet. Pure; one goroutine owns it. P names a peer, T is a packet (the gate keeps it,
// so it must own its bytes).
type Gate[P comparable, T any] struct {
	tokens  int
	holders map[P]time.Duration // when the token comes back at the latest
	waiting map[P]*gateWaiter[P, T]
	queue   []*gateWaiter[P, T] // in order of arrival; nil where one was forgotten
	stats   GateStats
}

type gateWaiter[P comparable, T any] struct {
	peer  P
	since time.Duration
	items []T
}

const (
	// GateHold is how long a token stays out without a write of pion's: longer than any step takes on a busy core.
	GateHold = 50 * time.Millisecond
	// GatePatience is how long the queue may be: who waits longer has started his handshake anew.
	GatePatience = 2 * time.Second

	// 8 packets: a flight of a client's; more is a client asking again.
	gatePeerItems = 8
	// 4096 peers: a bound on memory (8 small packets each), reached only by an attack faster than GatePatience.
	gatePeers = 4096
)

// GateVerdict says what became of a packet.
type GateVerdict uint8

// The verdicts.
const (
	GatePass GateVerdict = iota + 1 // deliver it now
	GateWait                        // the gate keeps it until Poll returns it
	GateDrop                        // this peer has enough packets waiting
	GateBusy                        // the queue is more than GatePatience long: dropped
)

func (v GateVerdict) String() string {
	switch v {
	case GatePass:
		return "pass"
	case GateWait:
		return "wait"
	case GateDrop:
		return "drop"
	case GateBusy:
		return "busy"
	default:
		return "unknown"
	}
}

// GateStats are totals, except Waiting.
type GateStats struct {
	Passed   uint64 // packets that found a token at once, or whose peer held one
	Queued   uint64 // packets that had to wait
	Dropped  uint64 // GateDrop
	Refused  uint64 // GateBusy
	TimedOut uint64 // tokens that came back after GateHold without a write
	Waiting  int    // peers in the queue now
}

// NewGate makes a gate for a machine of that many cores: max(1, cores/8) tokens.
func NewGate[P comparable, T any](cores int) *Gate[P, T] {
	return &Gate[P, T]{tokens: max(1, cores/8), holders: map[P]time.Duration{}, waiting: map[P]*gateWaiter[P, T]{}}
}

// Admit asks for a packet's way to pion.
func (g *Gate[P, T]) Admit(now time.Duration, peer P, packet T) GateVerdict {
	g.expire(now)
	if _, ok := g.holders[peer]; ok {
		g.stats.Passed++
		return GatePass
	}
	if w := g.waiting[peer]; w != nil {
		if len(w.items) == gatePeerItems {
			g.stats.Dropped++
			return GateDrop
		}
		w.items = append(w.items, packet)
		g.stats.Queued++
		return GateWait
	}
	if len(g.holders) < g.tokens && len(g.waiting) == 0 {
		g.holders[peer] = now + GateHold
		g.stats.Passed++
		return GatePass
	}
	if _, busy := g.Busy(now); busy {
		g.stats.Refused++
		return GateBusy
	}
	w := &gateWaiter[P, T]{peer: peer, since: now, items: []T{packet}}
	g.waiting[peer] = w
	g.queue = append(g.queue, w)
	g.stats.Queued++
	return GateWait
}

// Busy says whether a newcomer would have to wait longer than GatePatience, and after what time to ask again.
func (g *Gate[P, T]) Busy(now time.Duration) (retryAfter time.Duration, busy bool) {
	g.trim()
	if len(g.queue) == 0 {
		return 0, false
	}
	age := now - g.queue[0].since
	if age < GatePatience && len(g.waiting) < gatePeers {
		return 0, false
	}
	return max(age, GatePatience), true
}

// Wrote notes that pion has written for the peer: its step is done. Poll afterwards.
func (g *Gate[P, T]) Wrote(peer P) { delete(g.holders, peer) }

// Forget drops all that belongs to a peer that is gone, and returns its packets that still waited.
func (g *Gate[P, T]) Forget(peer P) []T {
	delete(g.holders, peer)
	w := g.waiting[peer]
	if w == nil {
		return nil
	}
	delete(g.waiting, peer)
	for i, q := range g.queue {
		if q == w {
			g.queue[i] = nil
		}
	}
	return w.items
}

// Poll gives free tokens to those who wait and calls deliver with each of their packets, in order. It returns when to
// poll again at the latest; 0 when nothing waits for a time.
func (g *Gate[P, T]) Poll(now time.Duration, deliver func(peer P, packet T)) (next time.Duration) {
	g.expire(now)
	for g.trim(); len(g.queue) > 0 && len(g.holders) < g.tokens; g.trim() {
		w := g.queue[0]
		g.queue[0] = nil
		delete(g.waiting, w.peer)
		g.holders[w.peer] = now + GateHold
		for _, item := range w.items {
			deliver(w.peer, item)
		}
	}
	if len(g.queue) == 0 {
		return 0
	}
	for _, until := range g.holders {
		if next == 0 || until < next {
			next = until
		}
	}
	return next
}

// Stats returns the gate's counters.
func (g *Gate[P, T]) Stats() GateStats {
	s := g.stats
	s.Waiting = len(g.waiting)
	return s
}

// expire takes back tokens held too long.
func (g *Gate[P, T]) expire(now time.Duration) {
	for peer, until := range g.holders {
		if until <= now {
			delete(g.holders, peer)
			g.stats.TimedOut++
		}
	}
}

// trim removes the empty places at the head of the queue.
func (g *Gate[P, T]) trim() {
	for len(g.queue) > 0 && g.queue[0] == nil {
		g.queue = g.queue[1:]
	}
	if len(g.queue) == 0 {
		g.queue = nil
	}
}
