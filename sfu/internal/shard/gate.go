package shard

import (
	"time"

	"github.com/tolkyn/tolkyn/sfu/pace"
)

const (
	// repairsWaiting bounds the resends that wait for a peer's turn: as many as a second of 1.2 Mbit/s has packets. What does
	// not fit is asked for again.
	repairsWaiting = 128

	// repairStale is how long a resend may wait: browsers have given the picture up by then, or asked again.
	repairStale = 500 * time.Millisecond

	// unpaced is a room that no turn uses up.
	unpaced = 1 << 30
)

// gate holds a peer's video and repair back while its path is full. Packets are not kept here: slots and histories have them.
type gate struct {
	waiting int
	halted  bool          // until the timer fires
	since   time.Duration // halted
	timer   timer
	repairs []repair // a ring of repairsWaiting, made when one first has to wait
	first   int
}

// repair is a packet that was asked for again.
type repair struct {
	slot  uint16
	seq   uint16
	asked time.Duration
}

// push lets a resend wait; false when there is no room.
func (w *gate) push(r repair) bool {
	if w.repairs == nil {
		w.repairs = make([]repair, repairsWaiting)
	}
	if w.waiting == len(w.repairs) {
		return false
	}
	w.repairs[(w.first+w.waiting)%len(w.repairs)] = r
	w.waiting++
	return true
}

func (w *gate) pop() repair {
	r := w.repairs[w.first]
	w.first = (w.first + 1) % len(w.repairs)
	w.waiting--
	return r
}

// mayLeave is how many bytes of a class may leave for a peer in this turn.
func (s *Shard) mayLeave(now time.Duration, p *peer, c class) int {
	if c == audio || !p.congestion.known() {
		return unpaced
	}
	return p.congestion.bucket.Room(now)
}

// halt keeps a peer out of the video queue until more may leave.
func (s *Shard) halt(now time.Duration, p *peer) {
	g := p.congestion
	w := &g.gate
	if !w.halted {
		w.halted, w.since = true, now
		s.stats.Halts++
	}
	backlog := 0
	for _, sl := range p.pending[video] {
		bytes, _ := sl.down.Backlog(now)
		backlog += bytes
	}
	g.bucket.Queued(backlog)
	at := g.bucket.Next(now, pace.Video)
	if w.waiting > 0 {
		at = min(at, g.bucket.Next(now, pace.Repair))
	}
	if g.bucket.Probing() {
		at = min(at, g.bucket.Next(now, pace.Padding))
	}
	s.wheel.arm(&w.timer, max(at, now+1))
}

// awaken has a peer whose slots have nothing to send enter the video queue again when repairs or a probe may go on. A probe for
// which no slot has any padding waits for media.
func (s *Shard) awaken(now time.Duration, p *peer) {
	g := p.congestion
	at := time.Duration(0)
	if g.gate.waiting > 0 {
		at = g.bucket.Next(now, pace.Repair)
	}
	if g.bucket.Probing() && g.bucket.Padding(now) == 0 {
		at = earlier(at, g.bucket.Next(now, pace.Padding))
	}
	if at != 0 {
		s.wheel.arm(&g.gate.timer, max(at, now+1))
	}
}

// earlier of two times, of which 0 is none.
func earlier(a, b time.Duration) time.Duration {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}

// resume lets a peer into the video queue again.
func (s *Shard) resume(now time.Duration, p *peer) {
	w := &p.congestion.gate
	if w.halted {
		w.halted = false
		s.stats.HaltedFor += now - w.since
	}
	s.wheel.disarm(&w.timer)
	s.ready[video].enter(p, video)
}

// restGate ends what waits at a peer's gate: nothing may be sent to it.
func (s *Shard) restGate(p *peer) {
	if g := p.congestion; g != nil {
		g.gate.waiting, g.gate.halted = 0, false
		s.wheel.disarm(&g.gate.timer)
	}
}

// holds says whether a peer is out of the video queue until its timer fires.
func (g *congestion) holds() bool { return g != nil && g.gate.halted }

// waits says whether anything waits for a peer's turn beside its slots.
func (g *congestion) waits() bool { return g.gate.waiting > 0 || g.bucket.Probing() }

// repairSoon answers one NACK, now or when its turn comes. A voice never waits.
func (s *Shard) repairSoon(now time.Duration, p *peer, sl *slot, seq uint16) {
	g := p.congestion
	if sl.class == audio || !g.known() || g.gate.waiting == 0 && g.bucket.Next(now, pace.Repair) <= now {
		s.resend(now, p, sl, seq)
		return
	}
	if !g.gate.push(repair{slot: sl.index, seq: seq, asked: now}) {
		s.stats.Drops.RepairOverflow++
		return
	}
	if !g.gate.halted {
		s.ready[video].enter(p, video)
	}
}

// serveRepairs sends up to budget of the packets that wait to be sent again, and returns how many.
func (s *Shard) serveRepairs(now time.Duration, p *peer, budget int) (sent int) {
	g := p.congestion
	for g.gate.waiting > 0 && sent < budget && g.bucket.Next(now, pace.Repair) <= now {
		r := g.gate.pop()
		switch {
		case int(r.slot) >= len(p.slots):
		case now-r.asked > repairStale:
			s.stats.Drops.RepairStale++
		case s.resend(now, p, p.slots[r.slot], r.seq):
			sent++
		}
	}
	return sent
}

// pad sends what a probe still lacks when nothing else waits, and returns how many packets that were.
func (s *Shard) pad(now time.Duration, p *peer, budget int) (sent int) {
	g := p.congestion
	for need := g.bucket.Padding(now); need > 0 && sent < budget; need = g.bucket.Padding(now) {
		if !s.padOnce(now, p, need) {
			break // no slot has what it takes
		}
		sent++
	}
	return sent
}

func (s *Shard) padOnce(now time.Duration, p *peer, need int) bool {
	for i := range p.slots {
		sl := p.slots[(int(p.congestion.share.padded)+i)%len(p.slots)]
		if sl.class != video || !sl.numbered {
			continue
		}
		dst := s.space(p)
		out, ok := sl.down.Padding(now, need-p.overhead(), dst, uint16(p.sent))
		if !ok {
			continue
		}
		p.congestion.share.padded = sl.index
		s.stats.Padding++
		s.stats.PaddingBytes += uint64(s.seal(now, p, sl, pace.Padding, dst, out))
		return true
	}
	return false
}
