package clip

import (
	"time"

	"github.com/pion/rtp"

	"github.com/tolkyn/tolkyn/internal/seq"
)

const (
	// Hold is how long a gap stays open: the server sends a packet again for a second, and the last try needs its time.
	Hold = 1500 * time.Millisecond
	// startHold is how long the first packet waits for earlier ones that it has overtaken.
	startHold = 100 * time.Millisecond
	// maxHeld packets wait behind a gap: at 10 Mbit/s that is Hold.
	maxHeld = 2048
	// maxDropout is the gap after which a stream has begun anew (RFC 3550 §A.1).
	maxDropout = 3000
)

// Arrived is a packet in its place.
type Arrived struct {
	Packet *rtp.Packet
	At     time.Duration
	// InOrder: no later packet of the stream came before it, so that its time of arrival says something about the network.
	InOrder bool
	// Lost is how many packets right before it never came.
	Lost int
	// Fresh: it is the first of its stream.
	Fresh bool
}

// Reorder puts the packets of one stream in order. What is missing is waited for, Hold or maxHeld packets, then given up.
// The zero value is ready.
type Reorder struct {
	// Received counts all packets; Stale those that came twice or after they were given up; Lost those given up; Restarts
	// how often the stream began anew; Overflow the gaps given up early because too much waited behind them.
	Received, Stale, Lost, Restarts, Overflow uint64

	ready   []Arrived
	numbers seq.Unwrapper
	ssrc    uint32
	begun   bool // next is known
	next    seq.Extended
	held    map[seq.Extended]Arrived
	since   time.Duration // when the gap before held, or the first packet, was seen
	fresh   bool
}

// Push takes a packet that came at now.
func (r *Reorder) Push(now time.Duration, p *rtp.Packet) {
	r.Received++
	number := r.numbers.Unwrap(p.SequenceNumber)
	highest, ok := r.numbers.Highest()
	distance := int64(number) - int64(highest)
	if !ok || p.SSRC != r.ssrc || distance > maxDropout || -distance > maxDropout {
		r.restart(now, p)
		return
	}
	if _, twice := r.held[number]; twice || r.begun && number < r.next {
		r.Stale++
		return
	}
	if r.begun && len(r.held) == 0 && number != r.next {
		r.since = now
	}
	r.numbers.Accept(number)
	r.held[number] = Arrived{Packet: p, At: now, InOrder: number > highest}
	r.release(now)
}

// restart lets go of what is held and begins with p.
func (r *Reorder) restart(now time.Duration, p *rtp.Packet) {
	r.Drain()
	if _, ok := r.numbers.Highest(); ok {
		r.Restarts++
	}
	r.numbers, r.ssrc, r.begun, r.fresh = seq.Unwrapper{}, p.SSRC, false, true
	number := r.numbers.Unwrap(p.SequenceNumber)
	r.numbers.Accept(number)
	r.held = map[seq.Extended]Arrived{number: {Packet: p, At: now, InOrder: true}}
	r.since = now
}

// Pop returns the next packet in order; false when there is none yet. Call it until then after each Push, and at Deadline.
func (r *Reorder) Pop(now time.Duration) (Arrived, bool) {
	r.release(now)
	if len(r.ready) == 0 {
		return Arrived{}, false
	}
	a := r.ready[0]
	r.ready[0] = Arrived{}
	r.ready = r.ready[1:]
	return a, true
}

// Deadline is when a gap will be given up; false when there is none.
func (r *Reorder) Deadline() (time.Duration, bool) {
	return r.since + r.hold(), len(r.held) > 0
}

// Drain gives up all gaps: everything held can be popped.
func (r *Reorder) Drain() {
	for len(r.held) > 0 {
		r.skip()
		r.take()
	}
}

func (r *Reorder) hold() time.Duration {
	if !r.begun {
		return startHold
	}
	return Hold
}

// release moves to ready what has its place.
func (r *Reorder) release(now time.Duration) {
	for r.take(); len(r.held) > 0; r.take() {
		full := len(r.held) > maxHeld
		if !full && now < r.since+r.hold() {
			return
		}
		if full {
			r.Overflow++
		}
		r.skip()
	}
}

// take moves what follows without a gap.
func (r *Reorder) take() {
	if !r.begun {
		return
	}
	for moved := false; ; moved = true {
		a, ok := r.held[r.next]
		if !ok {
			if moved && len(r.held) > 0 {
				r.since = r.oldest()
			}
			return
		}
		delete(r.held, r.next)
		r.next++
		a.Fresh, r.fresh = r.fresh, false
		r.ready = append(r.ready, a)
	}
}

// skip goes to the first packet held.
func (r *Reorder) skip() {
	highest, _ := r.numbers.Highest()
	first := highest
	for number := range r.held {
		first = min(first, number)
	}
	if r.begun {
		lost := int(first - r.next)
		r.Lost += uint64(lost)
		a := r.held[first]
		a.Lost = lost
		r.held[first] = a
	}
	r.next, r.begun = first, true
}

// oldest is when the packet came that has waited longest.
func (r *Reorder) oldest() time.Duration {
	at := time.Duration(-1)
	for _, a := range r.held {
		if at < 0 || a.At < at {
			at = a.At
		}
	}
	return at
}
