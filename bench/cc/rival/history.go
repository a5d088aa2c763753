package rival

import (
	"time"

	"github.com/tolkyn/tolkyn/sfu/bwe"
)

// outcome is a packet that was sent and what became of it.
type outcome struct {
	number   uint64
	size     int
	probe    uint32
	sent     time.Duration
	received bool
	arrival  time.Duration // the receiver's clock
	marked   bool
}

// history keeps packets until feedback tells of them, each once: what is told again, or comes after it was called lost, is
// nothing new.
type history struct {
	packets  []outcome // from first on
	first    uint64
	inFlight int // bytes
	told     []outcome
}

func (h *history) add(now time.Duration, p bwe.Packet) {
	if len(h.packets) == 0 {
		h.first = p.Number
	}
	h.packets = append(h.packets, outcome{number: p.Number, size: p.Size, probe: p.Probe, sent: now})
	h.inFlight += p.Size
}

// take returns what is new, in order of sending, until the next take.
func (h *history) take(results []bwe.Result) []outcome {
	h.told = h.told[:0]
	for _, r := range results {
		if r.Number < h.first || r.Number >= h.first+uint64(len(h.packets)) {
			continue
		}
		n := r.Number - h.first + 1
		for _, p := range h.packets[:n] { // what it does not tell of is gone too: feedback was lost
			h.inFlight -= p.size
		}
		o := h.packets[n-1]
		o.received, o.arrival, o.marked = r.Received, r.Arrival, r.Marked
		h.packets = h.packets[n:]
		h.first += n
		h.told = append(h.told, o)
	}
	return h.told
}

// newestSent is when the last of those that arrived was sent, and whether any did.
func newestSent(told []outcome) (time.Duration, bool) {
	for i := len(told) - 1; i >= 0; i-- {
		if told[i].received {
			return told[i].sent, true
		}
	}
	return 0, false
}

// seconds and milliseconds of a duration, for formulas.
func seconds(d time.Duration) float64      { return d.Seconds() }
func milliseconds(d time.Duration) float64 { return d.Seconds() * 1000 }

func clamp(x, low, high float64) float64 { return min(max(x, low), high) }
