package cc

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/tolkyn/tolkyn/bench/netem"
	"github.com/tolkyn/tolkyn/internal/netsim"
	"github.com/tolkyn/tolkyn/sfu/alloc"
	"github.com/tolkyn/tolkyn/sfu/bwe"
)

// meeting is what one subscriber of a meeting watches: a speaker on the stage, a screen beside it, and seven others of
// whom two are larger and one is pinned. All of it together takes 6.3 Mbit/s, everybody's least layer 0.7.
func meeting() *Downlink {
	tile := Slot{Width: 320, Height: 180}
	pinned := Slot{Width: 640, Height: 360, Priority: 2}
	larger := Slot{Width: 640, Height: 360}
	return &Downlink{Voices: 2, Slots: []Slot{
		{Kind: alloc.Speaker, Width: 1280, Height: 720},
		{Kind: alloc.Screen, Width: 1280, Height: 720},
		pinned, larger, larger, tile, tile, tile, tile,
	}}
}

// call is two others, of whom one speaks.
func call() *Downlink {
	return &Downlink{Voices: 1, Slots: []Slot{
		{Kind: alloc.Speaker, Width: 1280, Height: 720}, {Width: 320, Height: 180},
	}}
}

// sfuLimits are those of a subscriber that nothing is known of.
var sfuLimits = bwe.Config{Start: 300 * bwe.Kbps, Min: 30 * bwe.Kbps, Max: 50 * bwe.Mbps}

func downlinks() []Case {
	// Trains and lifts lose what is said whatever anybody does: there the path alone decides on the loss of voices.
	dark := []Goal{atLeast(Utility, 0.92), atMost(WrongLayers, 0.05), atMost(QueueP95, 60), atMost(Flaps, 1)}
	goals := append(slices.Clone(dark), atMost(AudioLoss, 0.005))
	steps := append([]Goal{atMost(Down, 0.24), atMost(UpMax, 8)}, goals...)
	flow := Flow{Route: []int{0}}.delays(owd)
	all := []Case{
		{
			Name: "sfu-5.1", About: "an SFU to one of a meeting: 1, 2.5, 0.6, 1 Mbit/s", Duration: 100 * second,
			Links: []netsim.Trace{link(queue, phase{0, bwe.Mbps}, phase{40 * second, 2500 * bwe.Kbps}, phase{60 * second, 600 * bwe.Kbps}, phase{80 * second, bwe.Mbps})},
			Play:  meeting().play, Goals: steps,
		},
		{
			Name: "sfu-drop", About: "an SFU to one of a call: 2.5, 0.6, 2.5 Mbit/s, RTT 50 ms", Duration: 60 * second,
			Links: []netsim.Trace{link(queue, phase{0, 2500 * bwe.Kbps}, phase{20 * second, 600 * bwe.Kbps}, phase{40 * second, 2500 * bwe.Kbps})},
			Play:  call().play, Goals: steps,
		},
		{
			Name: "sfu-steady", About: "an SFU to one of a meeting: 1.7 Mbit/s for five minutes", Duration: 300 * second,
			Links: constant(queue, 1700*bwe.Kbps), Play: meeting().play, Goals: goals,
		},
		{
			Name: "sfu-train", About: "an SFU to one of a meeting, in a train", Duration: 120 * second,
			Links: []netsim.Trace{preset("train")}, Play: meeting().play, Goals: dark,
		},
		{
			Name: "sfu-lift", About: "an SFU to one of a meeting, in a lift", Duration: 60 * second,
			Links: []netsim.Trace{preset("lift")}, Play: meeting().play, Goals: dark,
		},
	}
	for i, name := range []string{"walk", "drive"} {
		all = append(all, Case{
			Name: "sfu-lte-" + name, About: "an SFU to one of a meeting, LTE-like: " + name, Duration: 120 * second,
			Links: []netsim.Trace{cellular(uint64(i), 120*second)}, Play: meeting().play, Goals: goals,
		})
	}
	for i := range all {
		f := flow
		if all[i].Name == "sfu-drop" {
			f = Flow{Route: []int{0}}.delays(owd / 2)
		}
		if all[i].Links[0].Steps[0].Link.Delay > 0 { // the trace has its own, each way
			f = Flow{Route: []int{0}}
			f.Return.Delay = all[i].Links[0].Steps[0].Link.Delay
		}
		all[i].Flows, all[i].Config = []Flow{f}, sfuLimits
	}
	return all
}

// preset is the downlink of one of bench/netem's networks.
func preset(name string) netsim.Trace {
	p, _ := netem.Preset(name)
	return p.Links[0].DownTrace
}

// cellular is a seeded model of a cell's scheduler: a rate that wanders as signal and neighbours do, with fades. 0 walks, 1
// drives.
func cellular(kind uint64, length time.Duration) netsim.Trace {
	random := rand.New(rand.NewPCG(kind, 0x6c7465))
	step, spread := 500*ms, 0.12
	if kind == 1 {
		step, spread = 200*ms, 0.18
	}
	mean := math.Log(2e6)
	level := mean
	fade := 0
	var t netsim.Trace
	for at := time.Duration(0); at < length; at += step {
		level += (mean-level)*0.05 + random.NormFloat64()*spread
		if fade > 0 {
			fade--
		} else if random.Float64() < step.Seconds()/20 {
			fade = 1 + random.IntN(4)
		}
		rate := math.Exp(level)
		if fade > 0 {
			rate *= 0.3
		}
		t.Steps = append(t.Steps, netsim.Step{At: at, Link: netsim.LinkConfig{
			Rate: int64(min(max(rate, 150e3), 12e6)), Delay: 30 * ms, Jitter: 10 * ms, Spread: netsim.HalfNormal, QueueTime: queue,
		}})
	}
	return t
}
