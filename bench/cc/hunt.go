package cc

import (
	"context"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
)

// Score is how badly a drawn case went.
type Score struct {
	// Regret is the utility missed, 0 to 1: of each second of each flow log₁₀(1 + 9 × got ÷ fair), got at most fair. A flow that
	// has a tenth of its share lacks 72 % of its worth, one that has 90 % lacks 4 %. A flow's first 3 seconds do not count.
	Regret float64 `json:"regret"`
	// QueueP95 is of the bottleneck, ms. With TCP beside it is TCP's and left out of Total.
	QueueP95 float64 `json:"queue_p95_ms"`
	// Excess is the share of packets lost beyond those that chance took.
	Excess float64 `json:"excess_loss"`
	// Total weighs them: what is missed, a second of queue as much as half of all, and loss threefold.
	Total float64 `json:"total"`
}

const (
	queueWeight = 0.5 / 1000 // a ms
	lossWeight  = 3
	grace       = 3 // s
)

// Found is a drawn case and how it went.
type Found struct {
	Drawn Drawn `json:"case"`
	Score Score `json:"score"`
}

// Play plays a drawn case.
func (d Drawn) Play(m Maker) Score {
	c := d.Case()
	e := newEngine(c, []Maker{m}, d.Seed)
	e.run()
	metrics := e.result().Metrics
	want := ideal(c)
	s := Score{QueueP95: metrics[QueueP95], Excess: max(metrics[Loss]-d.Loss, 0)}
	missed, n := 0.0, 0
	for i, f := range c.Flows {
		got := bits(e.log.flows[i].delivered)
		for from := int(f.Start/bin) + grace*binsOf1; from+binsOf1 <= len(got); from += binsOf1 {
			fair, had := added(want[i][from:from+binsOf1]), added(got[from:from+binsOf1])
			if fair == 0 {
				continue
			}
			missed += 1 - math.Log10(1+9*min(had/fair, 1))
			n++
		}
	}
	s.Regret = missed / float64(max(n, 1))
	s.Total = s.Regret + lossWeight*s.Excess
	if len(d.TCP) == 0 {
		s.Total += queueWeight * s.QueueP95
	}
	return s
}

// Mean is what scores are on average over so many seeds: one run of several flows is a die cast once.
func (d Drawn) Mean(m Maker, seeds int) (mean Score) {
	n := float64(seeds)
	for i := range seeds {
		run := d
		run.Seed += seedStep * uint64(i)
		s := run.Play(m)
		mean.Regret, mean.QueueP95 = mean.Regret+float64(s.Regret/n), mean.QueueP95+float64(s.QueueP95/n)
		mean.Excess, mean.Total = mean.Excess+float64(s.Excess/n), mean.Total+float64(s.Total/n)
	}
	return mean
}

const seedStep = 7919

func added(v []float64) float64 {
	s := 0.0
	for _, x := range v {
		s += x
	}
	return s
}

// Hunt looks for cases that go badly: rounds of draws, and from the second on half of them are neighbours of the worst. It
// goes on until ctx ends or count cases were played (0: no bound), and tells how many after each round. Equal seeds and
// rounds find the same. All holds every draw that was no neighbour, in order; worst the worst of all kinds.
func Hunt(ctx context.Context, m Maker, seed uint64, count, keep int, neighbours bool, progress func(played int, worst Score)) (all, worst []Found) {
	const round = 32
	random := rand.New(rand.NewPCG(seed, 0x68756e74))
	for played := 0; ctx.Err() == nil && (count == 0 || played < count); {
		n := round
		if count > 0 {
			n = min(n, count-played)
		}
		batch := make([]Found, n)
		fresh := n
		if neighbours && len(worst) > 0 {
			fresh = n / 2
		}
		for i := range batch {
			if i < fresh {
				batch[i].Drawn = Draw(random)
			} else {
				batch[i].Drawn = worst[random.IntN(len(worst))].Drawn.Change(random)
			}
		}
		playAll(batch, m)
		played += n
		all = append(all, batch[:fresh]...)
		worst = worstOf(append(worst, batch...), keep)
		progress(played, worst[0].Score)
	}
	return all, worst
}

// playAll plays on all cores.
func playAll(batch []Found, m Maker) {
	var workers sync.WaitGroup
	next := make(chan int, len(batch))
	for i := range batch {
		next <- i
	}
	close(next)
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for i := range next {
				batch[i].Score = batch[i].Drawn.Play(m)
			}
		})
	}
	workers.Wait()
}

// worstOf keeps the worst, one of a kind: ten neighbours of one case teach no more than it does.
func worstOf(found []Found, keep int) []Found {
	slices.SortStableFunc(found, func(a, b Found) int {
		switch {
		case a.Score.Total > b.Score.Total:
			return -1
		case a.Score.Total < b.Score.Total:
			return 1
		}
		return 0
	})
	kinds := map[[7]int]bool{}
	var kept []Found
	for _, f := range found {
		if k := f.Drawn.kind(); !kinds[k] && len(kept) < keep {
			kinds[k] = true
			kept = append(kept, f)
		}
	}
	return kept
}

// kind puts cases alike together.
func (d Drawn) kind() [7]int {
	yes := func(b bool) int {
		if b {
			return 1
		}
		return 0
	}
	dark := slices.ContainsFunc(d.Phases, func(p DrawnPhase) bool { return p.Kbps == 0 })
	return [7]int{len(d.Flows), len(d.TCP), yes(d.L4S), yes(d.Loss > 0.02), yes(d.Jitter > 5), yes(dark), yes(d.QueueMS < 100)}
}
