package supervisor

import "time"

const (
	// settled: a child that ran for so long has left its last crash behind.
	settled = time.Minute
	// firstWait doubles from crash to crash, up to maxWait. What kills a server at once is likely to do so again when its
	// clients come back; an operator who has mended it does not want to wait for minutes.
	firstWait = 500 * time.Millisecond
	maxWait   = 10 * time.Second
)

// Restarts counts what made restarts necessary.
type Restarts struct {
	Panics  uint64 `json:"panics"`  // panics and fatal errors of the Go runtime
	Signals uint64 `json:"signals"` // deadly signals from outside: kill -9, the kernel out of memory
	Exits   uint64 `json:"exits"`   // exit codes without either
}

// Total is the number of restarts.
func (r Restarts) Total() uint64 { return r.Panics + r.Signals + r.Exits }

// history remembers crashes; it has no clock.
type history struct {
	restarts Restarts
	inARow   int // crashes of children that had not settled, the latest included
}

// Handle takes a crash of a child that had run for so long and says how long to wait before the next one starts: not at
// all after a single crash.
func (h *history) Handle(why Reason, ran time.Duration) time.Duration {
	switch why {
	case Panic:
		h.restarts.Panics++
	case Signal:
		h.restarts.Signals++
	case Exit:
		h.restarts.Exits++
	}
	if ran >= settled {
		h.inARow = 0
	}
	h.inARow++
	if h.inARow == 1 {
		return 0
	}
	wait := firstWait
	for range h.inARow - 2 {
		if wait *= 2; wait >= maxWait {
			return maxWait
		}
	}
	return wait
}
