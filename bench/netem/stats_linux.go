package netem

import (
	"slices"
	"time"

	"github.com/tolkyn/tolkyn/internal/netsim"
)

// Stats is what has happened since Open.
type Stats struct {
	// Links holds the counts of each link by direction: Stats.Links[0][netem.Up].
	Links [][2]Counts
	// Late is how much later than the model said packets were handed to the receiver's kernel: the network's own error.
	// It is never early.
	Late Late
}

// Late describes a distribution, of the last 8,192 packets except for Max.
type Late struct {
	P50, P99, Max time.Duration
}

// Counts of one direction of a link. Sent + Duplicated = Lost + QueueFull + Arrived + Refused + what is under way; Strayed
// and Blocked are not among Sent.
type Counts struct {
	Sent, SentBytes       uint64 // taken from the sender's kernel
	Lost                  uint64 // by chance
	QueueFull             uint64 // before the bottleneck
	Duplicated            uint64 // sent once, on their way twice
	Arrived, ArrivedBytes uint64 // handed to the receiver's kernel
	Refused               uint64 // not taken by it: unplugged
	Strayed               uint64 // from or to an address that is not the client's: after a rebind, or from the other link
	Blocked               uint64 // UDP, by BlockUDP
	Largest               int    // bytes of the largest packet
}

func (c *Counts) sent(size int, fate netsim.Fate) {
	c.Sent++
	c.SentBytes += uint64(size)
	c.Largest = max(c.Largest, size)
	switch fate.Verdict {
	case netsim.Lost:
		c.Lost++
	case netsim.QueueFull:
		c.QueueFull++
	case netsim.Arrives:
		c.Duplicated += uint64(fate.Copies - 1)
	}
}

// lateness keeps the last 8,192 values.
type lateness struct {
	recent []time.Duration
	next   int
	max    time.Duration
}

func (l *lateness) add(d time.Duration) {
	l.max = max(l.max, d)
	if len(l.recent) < 8192 {
		l.recent = append(l.recent, d)
		return
	}
	l.recent[l.next] = d
	l.next = (l.next + 1) % len(l.recent)
}

func (l *lateness) late() Late {
	if len(l.recent) == 0 {
		return Late{}
	}
	sorted := slices.Sorted(slices.Values(l.recent))
	return Late{P50: sorted[len(sorted)/2], P99: sorted[len(sorted)*99/100], Max: l.max}
}
