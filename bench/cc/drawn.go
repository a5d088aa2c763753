package cc

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/tolkyn/tolkyn/bench/cc/tcp"
	"github.com/tolkyn/tolkyn/internal/netsim"
	"github.com/tolkyn/tolkyn/sfu/bwe"
)

// Drawn is a case that dice made, as it is kept in files.
type Drawn struct {
	Seed    uint64       `json:"seed"` // of the run
	Seconds int          `json:"seconds"`
	Phases  []DrawnPhase `json:"phases"`
	QueueMS int          `json:"queue_ms"`
	Loss    float64      `json:"loss,omitempty"`        // before the bottleneck
	Return  float64      `json:"return_loss,omitempty"` // of feedback
	Jitter  int          `json:"jitter_ms,omitempty"`
	Pareto  bool         `json:"pareto,omitempty"` // jitter with a heavy tail, else half-normal
	L4S     bool         `json:"l4s,omitempty"`
	Flows   []DrawnFlow  `json:"flows"`
	TCP     []DrawnTCP   `json:"tcp,omitempty"`
}

// DrawnPhase is a capacity from a time on; 0: nothing passes.
type DrawnPhase struct {
	At   float64 `json:"at_s"`
	Kbps int     `json:"kbps"`
}

// DrawnFlow is one call.
type DrawnFlow struct {
	Start   float64 `json:"start_s,omitempty"`
	DelayMS int     `json:"delay_ms"`
	MaxKbps int     `json:"max_kbps"`
}

// DrawnTCP is one bulk transfer.
type DrawnTCP struct {
	Start float64 `json:"start_s"`
	Stop  float64 `json:"stop_s"`
	Cubic bool    `json:"cubic,omitempty"`
}

// leastShare is what each flow of a drawn case can have, kbit/s: a source does not go below 150, and half as much again
// leaves the controller room.
const leastShare = 250

// leastQueue is bytes that any queue takes: with less than two packets no flow could use the link.
const leastQueue = 3000

// Draw makes a case: capacities of 0.25 to 20 Mbit/s that change up to four times, queues of 20 ms to 2 s, delays to 200 ms
// each way, and more or less of all that networks do.
func Draw(random *rand.Rand) Drawn {
	d := Drawn{Seed: random.Uint64() >> 32, Seconds: 30 + random.IntN(31), QueueMS: int(between(random, 20, 2000))}
	n := 1
	if random.Float64() < 0.4 {
		n += random.IntN(3)
	}
	base := between(random, 250, 20_000)
	for range n {
		f := DrawnFlow{DelayMS: random.IntN(200), MaxKbps: int(base * between(random, 0.5, 2))}
		f.MaxKbps = max(f.MaxKbps, 300)
		if len(d.Flows) > 0 {
			f.Start = float64(random.IntN(d.Seconds / 2))
		}
		d.Flows = append(d.Flows, f)
	}
	d.Phases = []DrawnPhase{{0, d.least(base)}}
	for range random.IntN(5) {
		d.Phases = append(d.Phases, DrawnPhase{float64(1 + random.IntN(d.Seconds-1)), d.least(min(base*between(random, 0.15, 4), 30_000))})
	}
	if random.Float64() < 0.1 {
		at := float64(1 + random.IntN(d.Seconds-4))
		d.Phases = append(d.Phases, DrawnPhase{at, 0}, DrawnPhase{at + between(random, 0.2, 3), d.least(base)})
	}
	d.sort()
	if random.Float64() < 0.4 {
		d.Loss = between(random, 0.002, 0.2)
	}
	if random.Float64() < 0.2 {
		d.Return = between(random, 0.01, 0.3)
	}
	if random.Float64() < 0.3 {
		d.Jitter, d.Pareto = 1+random.IntN(40), random.Float64() < 0.5
	}
	d.L4S = random.Float64() < 0.1
	if random.Float64() < 0.2 {
		start := float64(random.IntN(d.Seconds / 2))
		d.TCP = append(d.TCP, DrawnTCP{start, start + float64(5+random.IntN(d.Seconds/2)), random.Float64() < 0.5})
	}
	return d
}

// Change makes a neighbour: one thing of it is other.
func (d Drawn) Change(random *rand.Rand) Drawn {
	d.Phases, d.Flows, d.TCP = slices.Clone(d.Phases), slices.Clone(d.Flows), slices.Clone(d.TCP)
	near := func(v int, low, high float64) int {
		return int(min(max(float64(v)*between(random, 0.6, 1.6), low), high))
	}
	switch random.IntN(7) {
	case 0:
		p := &d.Phases[random.IntN(len(d.Phases))]
		if p.Kbps > 0 {
			p.Kbps = d.least(float64(near(p.Kbps, 250, 40_000)))
		}
	case 1:
		if i := random.IntN(len(d.Phases)); i > 0 {
			d.Phases[i].At = min(max(d.Phases[i].At+between(random, 0.1, 4)-2, 0.5), float64(d.Seconds-1))
			d.sort()
		}
	case 2:
		d.QueueMS = near(d.QueueMS, 20, 2000)
	case 3:
		d.Loss = min(max(d.Loss*between(random, 0.5, 2), 0), 0.2)
	case 4:
		f := &d.Flows[random.IntN(len(d.Flows))]
		f.DelayMS = near(f.DelayMS+1, 1, 200)
	case 5:
		f := &d.Flows[random.IntN(len(d.Flows))]
		f.MaxKbps = near(f.MaxKbps, 300, 40_000)
	case 6:
		d.Seed = random.Uint64() >> 32
	}
	return d
}

func (d *Drawn) least(kbps float64) int { return max(int(kbps), leastShare*len(d.Flows)) }

func (d *Drawn) sort() {
	slices.SortStableFunc(d.Phases, func(a, b DrawnPhase) int { return int(math.Round((a.At - b.At) * 1000)) })
	d.Phases = slices.CompactFunc(d.Phases, func(a, b DrawnPhase) bool { return math.Round(a.At*1000) == math.Round(b.At*1000) })
}

// between is evenly spread over magnitudes.
func between(random *rand.Rand, low, high float64) float64 {
	return math.Exp(math.Log(low) + random.Float64()*(math.Log(high)-math.Log(low)))
}

// Case is the drawn one as a case.
func (d Drawn) Case() Case {
	l := netsim.LinkConfig{}
	if d.L4S {
		l.Mark = netsim.Marking{From: 2 * ms, To: 10 * ms}
	}
	c := Case{Name: "drawn", About: d.String(), Duration: time.Duration(d.Seconds) * second, Config: limits, Links: make([]netsim.Trace, 1)}
	for _, p := range d.Phases {
		step := l
		step.Rate, step.Blackout = int64(p.Kbps)*1000, p.Kbps == 0
		step.Queue = max(d.QueueMS*p.Kbps/8, leastQueue)
		c.Links[0].Steps = append(c.Links[0].Steps, netsim.Step{At: seconds(p.At), Link: step})
	}
	for _, drawn := range d.Flows {
		f := one(time.Duration(drawn.DelayMS) * ms)
		f.Start, f.Source.Max, f.ECN = seconds(drawn.Start), bwe.Bitrate(drawn.MaxKbps)*bwe.Kbps, d.L4S
		f.Before.Loss, f.Return.Loss = d.Loss, d.Return
		spread := netsim.HalfNormal
		if d.Pareto {
			spread = netsim.Pareto
		}
		f.After.Jitter, f.After.Spread = time.Duration(d.Jitter)*ms, spread
		f.Return.Jitter, f.Return.Spread = f.After.Jitter, spread
		c.Flows = append(c.Flows, f)
	}
	for _, drawn := range d.TCP {
		t := Bulk{
			Start: seconds(drawn.Start), Stop: seconds(drawn.Stop), Route: []int{0},
			After: netsim.LinkConfig{Delay: 30 * ms}, Return: netsim.LinkConfig{Delay: 30 * ms},
		}
		if drawn.Cubic {
			t.Algorithm = tcp.Cubic
		}
		c.TCP = append(c.TCP, t)
	}
	return c
}

func seconds(s float64) time.Duration { return time.Duration(s*1000) * ms }

// String says in one line what there is.
func (d Drawn) String() string {
	s := ""
	for i, p := range d.Phases {
		if i > 0 {
			s += fmt.Sprintf(" %.1fs:", p.At)
		}
		s += fmt.Sprintf("%d", p.Kbps)
	}
	s += fmt.Sprintf(" kbit/s, queue %d ms", d.QueueMS)
	for _, f := range d.Flows {
		s += fmt.Sprintf(", flow of %d ms to %d", f.DelayMS, f.MaxKbps)
		if f.Start > 0 {
			s += fmt.Sprintf(" from %.0f s", f.Start)
		}
	}
	if d.Loss > 0 {
		s += fmt.Sprintf(", loss %.1f %%", d.Loss*100)
	}
	if d.Return > 0 {
		s += fmt.Sprintf(", feedback's %.0f %%", d.Return*100)
	}
	if d.Jitter > 0 {
		s += fmt.Sprintf(", jitter %d ms", d.Jitter)
	}
	if d.L4S {
		s += ", L4S"
	}
	for _, t := range d.TCP {
		s += fmt.Sprintf(", TCP %.0f to %.0f s", t.Start, t.Stop)
	}
	return s
}
