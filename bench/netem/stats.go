package netem

import (
	"fmt"
	"math/bits"
	"slices"
	"time"

	"github.com/tolkyn/tolkyn/internal/netsim"
)

// Stats is what has happened since Open.
type Stats struct {
	// Links holds the counts of each link by direction: Stats.Links[0][netem.Up].
	Links [][2]Counts
	// Late is how much later than the model said packets were handed to the receiver's kernel: the network's own error, of
	// the last 8,192 packets except for Max. It is never early.
	Late Delays
}

// Delays describes a distribution of times.
type Delays struct {
	P50, P99, Max time.Duration
}

// Counts of one direction of a link. Sent + Duplicated = Lost + QueueFull + Dark + Overflow + Arrived + Refused + what is
// under way; Strayed, Blocked and TooLong are not among Sent.
type Counts struct {
	Sent, SentBytes       uint64 // taken from the sender
	Lost                  uint64 // by chance
	QueueFull             uint64 // before the bottleneck
	Dark                  uint64 // in a blackout
	Duplicated            uint64 // sent once, on their way twice
	Overflow              uint64 // more were under way than we keep: the emulator's fault, not the model's
	Arrived, ArrivedBytes uint64 // handed to the receiver
	Refused               uint64 // not taken by it: unplugged, closed, its buffer full
	Strayed               uint64 // from or to an address that is not the client's: after a rebind, or from the other link
	Blocked               uint64 // UDP, by CutUDP
	TooLong               uint64 // more than an IP packet of 1,500 bytes
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
	case netsim.Dark:
		c.Dark++
	case netsim.Arrives:
		c.Duplicated += uint64(fate.Copies - 1)
	}
}

// Account holds what one direction of a link was asked to do against what its own log says it did.
type Account struct {
	Asked Asked
	Did   Did
}

// Asked is what the configuration said, weighted by the packets that were sent while it held.
type Asked struct {
	Loss  float64       // probability 0..1 of loss, of packets that the queue took; in a blackout 1
	Delay time.Duration // mean of delay and jitter, without waiting for the rate
	Due   Delays        // from sending to the time of arrival that the model gave: waiting for the rate included
}

// Did is what came of it.
type Did struct {
	Counts
	Loss  float64 // share of packets lost by chance or in a blackout, of those that the queue took
	Delay Delays  // from sending to handing over
	Late  Delays  // what of that is our own error, never below 0
}

// Row is one direction of a link in figures. It has the fields of report.Link, so that report.Link(row) is one.
type Row struct {
	Name      string
	Direction string // "up", "down"
	Packets   int64
	AskedLoss float64 // share
	Loss      float64
	Overflow  int64   // dropped before the bottleneck
	AskedMS   float64 // median of the delays that the model gave, so that it can be held against DelayP50
	DelayP50  float64 // milliseconds
	DelayP99  float64
	LateP99   float64
}

// Rows are accounts in figures, of a network, line or relay; name is the caller's or the network's.
func Rows(name string, accounts [][2]Account) []Row {
	var rows []Row
	for i, ways := range accounts {
		for d, a := range ways {
			row := Row{
				Name: name, Direction: Direction(d).String(), Packets: int64(a.Did.Sent),
				AskedLoss: a.Asked.Loss, Loss: a.Did.Loss, Overflow: int64(a.Did.QueueFull + a.Did.Overflow),
				AskedMS: milliseconds(a.Asked.Due.P50), DelayP50: milliseconds(a.Did.Delay.P50),
				DelayP99: milliseconds(a.Did.Delay.P99), LateP99: milliseconds(a.Did.Late.P99),
			}
			if len(accounts) > 1 {
				row.Name = fmt.Sprintf("%s, link %d", name, i)
			}
			rows = append(rows, row)
		}
	}
	return rows
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// delays is a histogram of times: to the microsecond below 128 µs, to 1 in 128 above. An octave's counters exist once it is
// used, so that hundreds of links are cheap.
type delays struct {
	octaves [26]*[64]uint32 // the last ends at 36 minutes
	count   uint64
	max     time.Duration
}

func (d *delays) add(t time.Duration) {
	d.count++
	d.max = max(d.max, t)
	us := uint64(max(t.Microseconds(), 0))
	octave := max(bits.Len64(us)-6, 0)
	if octave >= len(d.octaves) {
		octave, us = len(d.octaves)-1, 1<<31-1
	}
	if d.octaves[octave] == nil {
		d.octaves[octave] = new([64]uint32)
	}
	d.octaves[octave][us>>max(octave-1, 0)&63]++
}

// quantile is the middle of the counter in which this share of all is reached.
func (d *delays) quantile(share float64) time.Duration {
	rank, passed := share*float64(d.count), uint64(0)
	for octave, counters := range d.octaves {
		if counters == nil {
			continue
		}
		for i, n := range counters {
			if passed += uint64(n); n == 0 || float64(passed) < rank {
				continue
			}
			if octave == 0 {
				return min(time.Duration(i)*time.Microsecond, d.max)
			}
			width := time.Microsecond << (octave - 1)
			return min(time.Duration(64+i)*width+(width-time.Microsecond)/2, d.max)
		}
	}
	return d.max
}

func (d *delays) sum() Delays {
	return Delays{P50: d.quantile(0.5), P99: d.quantile(0.99), Max: d.max}
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

func (l *lateness) late() Delays {
	if len(l.recent) == 0 {
		return Delays{}
	}
	sorted := slices.Sorted(slices.Values(l.recent))
	return Delays{P50: sorted[len(sorted)/2], P99: sorted[len(sorted)*99/100], Max: l.max}
}
