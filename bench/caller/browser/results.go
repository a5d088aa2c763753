package browser

import (
	"fmt"
	"time"

	"github.com/tolkyn/tolkyn/bench/measure"
)

// Result is what a group measured.
type Result struct {
	measure.Totals
	// ClockError is by how much the page's clock, and so each delay, may be off at most: of the page where it is worst.
	ClockError time.Duration
	Overflow   int64 // frames that we were too slow to take
	Stamped    int64 // frames that had a stamp
	Strangers  int64 // frames of nobody in the run
}

// Snapshot is how things stand.
type Snapshot struct {
	Present, Failing int // callers in the call; those that should be and are not, or that failed
	SentPackets      int64
	ReceivedPackets  int64
	Expected, Lost   int64   // packets since the warmup, after repair
	DelayP95         float64 // ms, of the last second, of the worst stream
	Worst            string  // which that is, in words
}

// Snapshot returns how things stand now.
func (g *Group) Snapshot() Snapshot {
	var out Snapshot
	for _, s := range g.seats {
		s.snapshot(time.Since(g.cfg.Epoch), &out)
	}
	return out
}

func (s *seat) snapshot(now time.Duration, out *Snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.newest.Present:
		out.Present++
	case s.wanted || s.err != nil:
		out.Failing++
	}
	out.SentPackets += s.newest.SentPackets
	out.ReceivedPackets += s.receiver.packets
	for _, st := range s.receiver.order {
		second := measure.Slice{}
		var loss measure.Loss
		if st.sound != nil {
			second, loss = st.sound.Latest(now)
		} else {
			second, _ = st.sight.Latest(now)
			loss = lossOf(st.sum)
		}
		out.Expected += loss.Expected
		out.Lost += int64(loss.After * float64(loss.Expected))
		if second.DelayP95 > out.DelayP95 {
			out.DelayP95 = second.DelayP95
			out.Worst = fmt.Sprintf("%s/%s ← %s %s", s.plan.Room, s.plan.Identity, st.from.Identity, st.track.Media)
		}
	}
}

// Result returns what was measured until now.
func (g *Group) Result() Result {
	var out Result
	for _, s := range g.seats {
		s.result(&out)
	}
	return out
}

func (s *seat) result(out *Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.receiver
	r.results(&out.Totals)
	out.Overflow += s.overflow
	out.Stamped += r.stamped
	out.Strangers += r.strangers
	c := measure.Caller{
		Room: s.plan.Room, Identity: s.plan.Identity, Kind: "browser", Steps: s.setup(), Path: s.newest.Path, Signal: s.newest.Signaling,
		RTT: s.newest.RTT, SentPackets: s.newest.SentPackets, SentBytes: s.newest.SentBytes, ReceivedPackets: r.packets,
		ReceivedBytes: r.bytes, Checked: r.packets, Reconnects: s.rejoined + s.newest.Reconnects,
	}
	if s.err != nil {
		c.Error = s.err.Error()
	}
	out.AddCaller(c)
	out.ClockError = max(out.ClockError, s.off)
}
