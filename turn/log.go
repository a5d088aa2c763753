package turn

import (
	"log/slog"
	"sync"
	"time"
)

// logEvery is how often a line is written at most, whatever happens: a flood is counted, not told.
const logEvery = time.Second

// reports writes at most one line a second and says how many it left out.
type reports struct {
	// Fixed.
	logger *slog.Logger // nil: nothing is logged

	// Guarded by mu.
	mu      sync.Mutex
	last    time.Time
	skipped int
}

func (r *reports) warn(message string, about ...any) {
	if r.logger == nil {
		return
	}
	r.mu.Lock()
	now := time.Now()
	if now.Sub(r.last) < logEvery {
		r.skipped++
		r.mu.Unlock()
		return
	}
	r.last = now
	skipped := r.skipped
	r.skipped = 0
	r.mu.Unlock()
	if skipped > 0 {
		about = append(about, "left_out", skipped)
	}
	r.logger.Warn(message, about...)
}

// fault tells of a panic, which is ours to repair.
func (r *reports) fault(what string, stack []byte) {
	r.warn("turn: a fault; what it came from is closed", "fault", what, "stack", string(stack))
}
