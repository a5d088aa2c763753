package cc

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/tolkyn/tolkyn/bench/netem"
	"github.com/tolkyn/tolkyn/internal/netsim"
	"github.com/tolkyn/tolkyn/sfu/bwe"
)

// lossy are 1 Mbit/s behind random loss.
func lossy() []Case {
	var all []Case
	for _, v := range []struct {
		percent int
		least   float64
	}{{5, 0.90}, {10, 0.85}, {20, 0.60}} {
		f := one(owd)
		f.Before.Loss = float64(v.percent) / 100
		all = append(all, Case{
			Name: fmt.Sprintf("loss-%d", v.percent), About: fmt.Sprintf("1 Mbit/s, %d %% random loss before it", v.percent), Duration: 100 * second,
			Links: constant(queue, bwe.Mbps), Flows: []Flow{f}, Goals: []Goal{atLeast(Util, v.least), atMost(QueueP95, 80)},
		})
	}
	return all
}

// shallow are queues in which loss is the only sign, or comes with the first.
func shallow() []Case {
	return []Case{
		{
			Name: "queue-70", About: "1 Mbit/s, a queue of 70 ms", Duration: 100 * second,
			Links: constant(70*ms, bwe.Mbps), Flows: []Flow{one(owd)}, Goals: []Goal{atLeast(Util, 0.90), atMost(Loss, 0.005)},
		},
		{
			Name: "queue-10", About: "3 Mbit/s, a source to 10, a queue of 10 ms: three packets", Duration: 100 * second,
			Links: constant(10*ms, 3*bwe.Mbps), Flows: upTo(owd, 10*bwe.Mbps), Goals: []Goal{atLeast(Util, 0.80), atMost(Loss, 0.03)},
		},
	}
}

// marked are links of L4S: marks rise from 2 to 10 ms of queue.
func marked() []Case {
	var all []Case
	for _, m := range []bwe.Bitrate{1, 3, 10, 30} {
		flows := upTo(owd, m*1500*bwe.Kbps)
		flows[0].ECN = true
		all = append(all, Case{
			Name: fmt.Sprintf("l4s-%dM", m), About: fmt.Sprintf("%d Mbit/s, L4S marks from 2 to 10 ms of queue", m), Duration: 60 * second,
			Links: []netsim.Trace{marking(link(queue, phase{0, m * bwe.Mbps}), netsim.Marking{From: 2 * ms, To: 10 * ms})}, Flows: flows,
			Goals: []Goal{atLeast(UtilSteady, 0.85), atMost(QueueP99, 10)},
		})
	}
	return all
}

// limited is a source that sends little on a link that carries much, and does not say so.
func limited() []Case {
	f := one(owd)
	f.Source.Max, f.Untold = 730*bwe.Kbps, true // 0.8 Mbit/s on the wire
	return []Case{{
		Name: "app-limited", About: "0.8 Mbit/s is sent on 20, and nobody tells the controller", Duration: 120 * second,
		Links: constant(queue, 20*bwe.Mbps), Flows: []Flow{f}, Goals: []Goal{atMost(Over, 1), atMost(ProbeShare, 0.03)},
	}}
}

// mobile are networks that move: netem's presets, towards the client, and drawn ones.
func mobile() []Case {
	var all []Case
	add := func(name, about string, path netsim.LinkConfig, t netsim.Trace) {
		f := Flow{Route: []int{0}, Source: Source{Max: 4 * bwe.Mbps}}
		f.After.Delay, f.After.Jitter, f.After.Spread, f.Return = path.Delay, path.Jitter, path.Spread, f.After
		f.Return.Delay = path.Delay
		steps := append([]netsim.Step(nil), t.Steps...)
		for i := range steps {
			steps[i].Link.Delay, steps[i].Link.Jitter = 0, 0
		}
		t.Steps = steps
		all = append(all, Case{
			Name: name, About: about, Duration: 120 * second, Links: []netsim.Trace{t}, Flows: []Flow{f},
		})
	}
	for _, name := range []string{"train", "lift"} {
		p, _ := netem.Preset(name)
		path := p.Links[0].DownTrace
		add(name, p.About, path.Steps[0].Link, path)
	}
	for seed := range uint64(3) {
		add(fmt.Sprintf("lte-%d", seed+1), "drawn: a mobile network of 0.3 to 8 Mbit/s that swings within seconds",
			netsim.LinkConfig{Delay: 30 * ms, Jitter: 15 * ms, Spread: netsim.HalfNormal}, drawn(seed+1, 120*second))
	}
	return all
}

// drawn is a mobile link: its rate walks in steps of 200 ms between 0.3 and 8 Mbit/s, with a handover of 300 ms that stalls
// it about every 20 s.
func drawn(seed uint64, length time.Duration) netsim.Trace {
	const least, most = 0.3e6, 8e6
	random := rand.New(rand.NewPCG(seed, 0x6c7465))
	var t netsim.Trace
	level := math.Log(2e6)
	for at := time.Duration(0); at < length; at += 200 * ms {
		level += float64(random.NormFloat64()*0.12) + float64(0.01*(math.Log(2e6)-level))
		level = min(max(level, math.Log(least)), math.Log(most))
		l := netsim.LinkConfig{Rate: int64(math.Exp(level)/1000) * 1000, QueueTime: 500 * ms, Loss: 0.001}
		if random.Float64() < 0.01 {
			stalled := l
			stalled.Rate, stalled.Queue = netsim.Stalled, 100_000
			t.Steps = append(t.Steps, netsim.Step{At: at, Link: stalled})
			at += 100 * ms
		}
		t.Steps = append(t.Steps, netsim.Step{At: at, Link: l})
	}
	return t
}

// wireless stands in for RFC 8869 section 4 as far as a link model reaches: Wi-Fi before a wire, and as the bottleneck of
// ever more calls. Its access is jitter with a heavy tail.
func wireless() []Case {
	radio := func(f Flow) Flow {
		f.After.Jitter, f.After.Spread = 30*ms, netsim.Pareto
		f.Return.Jitter, f.Return.Spread = 30*ms, netsim.Pareto
		return f
	}
	all := []Case{{
		Name: "8869-wired", About: "like RFC 8869 4.1: Wi-Fi, and 1 Mbit/s in the wire is the bottleneck", Duration: 100 * second,
		Links: constant(queue, bwe.Mbps), Flows: []Flow{radio(one(owd))},
	}}
	for _, n := range []int{4, 8, 16} {
		var flows []Flow
		for range n {
			flows = append(flows, radio(one(10*ms)))
		}
		all = append(all, Case{
			Name: fmt.Sprintf("8869-wifi-%d", n), About: fmt.Sprintf("like RFC 8869 4.2: %d calls on a Wi-Fi of 20 Mbit/s", n), Duration: 60 * second,
			Links: constant(queue, 20*bwe.Mbps), Flows: flows, Fair: Span{30 * second, 60 * second},
		})
	}
	return all
}

// broken are feedback that stays away, and receivers that lie.
func broken() []Case {
	quiet := one(owd)
	quiet.Silences = []Span{{30 * second, 33 * second}}
	all := []Case{{
		Name: "silence", About: "no feedback from 30 to 33 s, while 1 Mbit/s become 0.3; back at 45 s", Duration: 60 * second,
		Links: []netsim.Trace{link(queue, phase{0, bwe.Mbps}, phase{30 * second, 300 * bwe.Kbps}, phase{45 * second, bwe.Mbps})}, Flows: []Flow{quiet},
	}}
	for _, v := range []struct {
		name, about string
		lie         Lie
	}{
		{"lie-boasts", "a receiver that says all has come at once", Boasts},
		{"lie-future", "a receiver whose clock jumps hours", Future},
		{"lie-repeats", "a receiver that says all twenty times", Repeats},
		{"lie-invents", "a receiver that has what was never sent", Invents},
	} {
		f := one(owd)
		f.Liar = v.lie
		all = append(all, Case{
			Name: v.name, About: v.about + ", on 1 Mbit/s", Duration: 60 * second, Links: constant(queue, bwe.Mbps), Flows: []Flow{f},
			Goals: []Goal{atMost(Over, 1)},
		})
	}
	return all
}

// grid is what RFC 8868 section 4 wants varied: delay, loss and queue of 1 Mbit/s.
func grid() []Case {
	var all []Case
	for _, delay := range []time.Duration{0, 50, 150, 300} {
		for _, loss := range []int{0, 1, 5, 10, 20} {
			for _, q := range []time.Duration{70, 300, 1000, 2000} {
				f := one(delay * ms)
				f.Before.Loss = float64(loss) / 100
				all = append(all, Case{
					Name:     fmt.Sprintf("8868-d%d-l%d-q%d", delay, loss, q),
					About:    fmt.Sprintf("RFC 8868: 1 Mbit/s, %d ms each way, %d %% loss, a queue of %d ms", delay, loss, q),
					Duration: 60 * second, Links: constant(q*ms, bwe.Mbps), Flows: []Flow{f}, Grid: true,
				})
			}
		}
	}
	return all
}
