package turn

import (
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/tolkyn/tolkyn/internal/udp"
)

const (
	// coalesce is how long a worker that is busy lets packets gather: a system call then moves several, and they are late by half
	// of it on average.
	coalesce = 200 * time.Microsecond
	// together is how many packets must come within coalesce for that to be worth it.
	together = 2
	// measureEvery is how often a worker looks at its load.
	measureEvery = 250 * time.Millisecond
	// yieldEvery is how often a worker that does not wait lets the scheduler run.
	yieldEvery = 5 * time.Millisecond
	// sampleEvery is of how many turns one is looked at more closely.
	sampleEvery = 16
	// busyShare is the share of a processor above which a worker gives half of its lanes to another; idleShare is that below which
	// it gives all of them to one that could do both's work.
	busyShare, idleShare = 0.7, 0.2
)

// worker is a goroutine that serves lanes: all of them while there is little to do, so that one is busy rather than many idle.
type worker struct {
	// Fixed after newWorker.
	server *Server
	index  int
	group  udp.Group // of its lanes' groups

	// Owned by the goroutine.
	lanes    []*lane
	ready    []udp.Key
	measured time.Time
	slept    time.Duration // since then
	yielded  time.Time
	turns    int
	took     time.Duration // by turns that were sampled, since measured
	ran      time.Duration // of that on a processor
	rate     int           // packets in a second, of the last 10 ms
	counted  time.Time
	count    int

	// Guarded by Server.mu.
	owns  int // lanes, those that are on their way to it too
	load  float64
	given []*lane

	gifts atomic.Bool // there may be some in given
}

// run serves until the server closes.
func (w *worker) run() {
	w.measured = time.Now()
	w.counted = w.measured
	all := true // lanes are looked at whether they were told of or not
	for {
		all = w.receive() || all
		if w.server.closing.Load() {
			w.close()
			return
		}
		handled, next := w.sampled(all)
		now := time.Now()
		w.measure(now, handled)
		if all = handled > 0 && w.rate >= together*int(time.Second/coalesce); all {
			w.yield(now)
			pause(coalesce)
			w.slept += time.Since(now)
			continue
		}
		var err error
		if w.ready, err = w.group.Wait(max(next.Sub(now), 0), w.ready[:0]); err != nil {
			w.close()
			return
		}
		w.slept += time.Since(now)
	}
}

// yield lets the scheduler run now and then, as a Wait does: Go's monitor takes the processor away from a goroutine that it finds
// in a system call and that has not been scheduled for 10 ms, and is then busy at that every 20 µs.
func (w *worker) yield(now time.Time) {
	if now.Sub(w.yielded) >= yieldEvery {
		w.yielded = now
		runtime.Gosched()
	}
}

// sampled is turn, and looks at each sampleEvery-th how much of its time the processor was ours: on a machine that others keep busy
// a turn takes long and is no reason to use more of it.
func (w *worker) sampled(all bool) (handled int, next time.Time) {
	if w.turns++; w.turns%sampleEvery != 0 {
		return w.turn(all)
	}
	began, used := time.Now(), threadTime()
	handled, next = w.turn(all)
	took, ran := time.Since(began), threadTime()-used
	if ran >= 0 && ran <= took+time.Millisecond { // else it changed its thread meanwhile
		w.took += took
		w.ran += ran
	}
	return handled, next
}

// turn gives a turn to the lanes that were told of, or whose time has come, or to all.
func (w *worker) turn(all bool) (handled int, next time.Time) {
	now := time.Now()
	next = now.Add(sweepEvery)
	for _, l := range w.lanes {
		if all || !now.Before(l.next) || slices.Contains(w.ready, udp.Key(l.index)) {
			var n int
			n, l.next = l.turn()
			handled += n
		}
		if l.next.Before(next) {
			next = l.next
		}
	}
	return handled, next
}

// receive takes the lanes that others gave, and reports whether there were any.
func (w *worker) receive() bool {
	if !w.gifts.Swap(false) {
		return false
	}
	w.server.mu.Lock()
	given := w.given
	w.given = nil
	w.server.mu.Unlock()
	for _, l := range given {
		w.lanes = append(w.lanes, l)
		_ = w.group.Join(l.group, udp.Key(l.index)) // both are of one form
	}
	return len(given) > 0
}

// measure notes the load and, now and then, moves lanes.
func (w *worker) measure(now time.Time, handled int) {
	w.count += handled
	if past := now.Sub(w.counted); past >= 10*time.Millisecond {
		w.rate = int(float64(w.count) / past.Seconds())
		w.counted, w.count = now, 0
	}
	past := now.Sub(w.measured)
	if past < measureEvery {
		return
	}
	load := 1 - w.slept.Seconds()/past.Seconds()
	if w.took > 0 {
		load *= min(w.ran.Seconds()/w.took.Seconds(), 1)
	}
	w.measured, w.slept, w.took, w.ran = now, 0, 0, 0
	for _, m := range w.server.balance(w, load) {
		w.lanes = slices.DeleteFunc(w.lanes, func(l *lane) bool { return l == m.lane })
		w.group.Leave(m.lane.group)
		m.to.give(m.lane)
	}
}

// move is a lane and the worker that shall have it.
type move struct {
	lane *lane
	to   *worker
}

// give lets the worker have a lane, from another goroutine.
func (w *worker) give(l *lane) {
	w.server.mu.Lock()
	w.given = append(w.given, l)
	w.server.mu.Unlock()
	w.gifts.Store(true)
	w.group.Wake()
}

// balance notes a worker's load and says which of its lanes go where: half of them to a worker without any when it is busy, all
// of them to one that has room when it is idle.
func (s *Server) balance(w *worker, load float64) (moves []move) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.load = load
	if len(w.lanes) == 0 {
		return nil
	}
	if load > busyShare && len(w.lanes) > 1 {
		for _, other := range s.workers {
			if other.owns == 0 {
				for _, l := range w.lanes[len(w.lanes)/2:] {
					moves = append(moves, move{l, other})
				}
				break
			}
		}
	}
	if load < idleShare && w.index > 0 {
		for _, other := range s.workers[:w.index] {
			if other.owns > 0 && other.load+load < busyShare-idleShare {
				for _, l := range w.lanes {
					moves = append(moves, move{l, other})
				}
				break
			}
		}
	}
	for _, m := range moves {
		w.owns--
		m.to.owns++
	}
	return moves
}

func (w *worker) close() {
	w.receive()
	for _, l := range w.lanes {
		l.end()
	}
	_ = w.group.Close()
}
