package cc

import (
	"fmt"
	"time"

	"github.com/tolkyn/tolkyn/bench/cc/tcp"
	"github.com/tolkyn/tolkyn/internal/netsim"
	"github.com/tolkyn/tolkyn/sfu/bwe"
)

func constants() []Case {
	calm := func(conv float64, queue float64) []Goal {
		return []Goal{
			atLeast(UtilSteady, 0.95), atMost(QueueMean, queue), atMost(QueueP95, 40), atMost(Conv, conv),
			atMost(Loss, 0),
		}
	}
	return []Case{
		{
			Name: "const-1M", About: "1 Mbit/s, 50 ms each way", Duration: 100 * second,
			Links: constant(queue, bwe.Mbps), Flows: []Flow{one(owd)}, Goals: calm(2, 15),
		},
		{
			Name: "const-3M", About: "3 Mbit/s, a source to 10", Duration: 100 * second,
			Links: constant(queue, 3*bwe.Mbps), Flows: upTo(owd, 10*bwe.Mbps), Goals: calm(3, 15),
		},
		{
			Name: "const-10M", About: "10 Mbit/s, a source to 20", Duration: 100 * second,
			Links: constant(queue, 10*bwe.Mbps), Flows: upTo(owd, 20*bwe.Mbps), Goals: calm(4, 15),
		},
		{
			Name: "const-1M-rtt300", About: "1 Mbit/s, 150 ms each way", Duration: 100 * second,
			Links: constant(queue, bwe.Mbps), Flows: []Flow{one(150 * ms)},
			Goals: []Goal{atLeast(UtilSteady, 0.95), atMost(QueueMean, 40)},
		},
	}
}

// variable is RFC 8867 section 5.1.
func variable() []Case {
	var all []Case
	for _, v := range []struct {
		suffix string
		about  string
		delay  time.Duration
		jitter bool
		goals  []Goal
	}{
		{"", "", owd, false, []Goal{
			atLeast(Util, 0.92), atMost(QueueMean, 18), atMost(QueueP95, 50), atMost(QueueP99, 150), atMost(Loss, 0.001),
			atMost(SenderQueueP95, 25), atMost(Settle, 1.5),
		}},
		{"-owd100", "", 2 * owd, false, []Goal{atLeast(Util, 0.92), atMost(QueueP95, 90), atMost(Loss, 0.005)}},
		{"-jitter", ", RFC 8868's jitter", owd, true, []Goal{atLeast(Util, 0.92), atMost(QueueP95, 50), atMost(Loss, 0.001)}},
	} {
		f := one(v.delay)
		if v.jitter {
			f = jittered(f)
		}
		all = append(all, Case{
			Name: "5.1" + v.suffix, About: fmt.Sprintf("RFC 8867 5.1: 1, 2.5, 0.6, 1 Mbit/s, %d ms each way%s", v.delay.Milliseconds(), v.about),
			Duration: 100 * second,
			Links:    []netsim.Trace{link(queue, phase{0, bwe.Mbps}, phase{40 * second, 2500 * bwe.Kbps}, phase{60 * second, 600 * bwe.Kbps}, phase{80 * second, bwe.Mbps})},
			Flows:    []Flow{f}, Goals: v.goals,
		})
	}
	return all
}

// together are flows of the RFC's source over the first bottleneck, each beginning so long after the one before.
func together(n int, apart time.Duration) []Flow {
	var all []Flow
	for i := range n {
		f := one(owd)
		f.Start = time.Duration(i) * apart
		all = append(all, f)
	}
	return all
}

// shared is RFC 8867 sections 5.2 to 5.8: several flows, both directions, TCP.
func shared() []Case {
	two := []phase{{0, 4 * bwe.Mbps}, {25 * second, 2 * bwe.Mbps}, {50 * second, 3500 * bwe.Kbps}, {75 * second, bwe.Mbps}, {100 * second, 2 * bwe.Mbps}}
	there := link(queue, phase{0, 2 * bwe.Mbps}, phase{20 * second, bwe.Mbps}, phase{40 * second, 500 * bwe.Kbps}, phase{60 * second, 2 * bwe.Mbps})
	back := link(queue, phase{0, 2 * bwe.Mbps}, phase{35 * second, 800 * bwe.Kbps}, phase{70 * second, 2 * bwe.Mbps})
	forth, reverse := one(owd), one(owd)
	forth.Back = []int{1}
	reverse.Route, reverse.Back = []int{1}, []int{0}

	var spread []Flow
	for i, delay := range []time.Duration{10, 25, 50, 100, 150} {
		f := one(delay * ms)
		f.Start = time.Duration(i) * 10 * second
		spread = append(spread, f)
	}
	pausing := together(3, 0)
	pausing[1].Pauses = []Span{{40 * second, 60 * second}}

	all := []Case{
		{
			Name: "5.2", About: "RFC 8867 5.2: two flows, 4, 2, 3.5, 1, 2 Mbit/s", Duration: 125 * second,
			Links: []netsim.Trace{link(queue, two...)}, Flows: together(2, 0), Fair: Span{75 * second, 100 * second},
			Goals: []Goal{atLeast(Jain, 0.95), atMost(FairLoss, 0.005)},
		},
		{
			Name: "5.3", About: "RFC 8867 5.3: a flow each way, feedback congested", Duration: 100 * second,
			Links: []netsim.Trace{there, back}, Flows: []Flow{forth, reverse},
		},
		{
			Name: "5.4", About: "RFC 8867 5.4: three flows on 3.5 Mbit/s, 20 s apart", Duration: 120 * second,
			Links: constant(queue, 3500*bwe.Kbps), Flows: together(3, 20*second), Fair: Span{90 * second, 119 * second},
			Goals: []Goal{atLeast(Jain, 0.98)},
		},
		{
			Name: "5.5", About: "RFC 8867 5.5: five flows of 10 to 150 ms each way on 4 Mbit/s", Duration: 300 * second,
			Links: constant(queue, 4*bwe.Mbps), Flows: spread, Fair: Span{200 * second, 299 * second},
			Goals: []Goal{atLeast(Jain, 0.95), atMost(QueueP95, 80)},
		},
	}
	for _, a := range []tcp.Algorithm{tcp.Reno, tcp.Cubic} {
		for _, q := range []time.Duration{queue, 1000 * ms} {
			least := 0.25
			if q > queue {
				least = 0.10 // "no collapse"
			}
			all = append(all, against(fmt.Sprintf("5.6-%v-%d", a, q.Milliseconds()), a, q, 119*second,
				fmt.Sprintf("RFC 8867 5.6: against one %v on 2 Mbit/s, a queue of %d ms", a, q.Milliseconds()), atLeast(Share, least)))
		}
	}
	all = append(all, against("5.6-leaves", tcp.Cubic, queue, 60*second, "the same, and TCP ends at 60 s", atMost(Settle, 5)))

	users := Case{
		Name: "5.7", About: "RFC 8867 5.7: two flows and ten users of short TCP on 2 Mbit/s", Duration: 300 * second,
		Links: constant(queue, 2*bwe.Mbps), Fair: Span{20 * second, 299 * second},
	}
	for _, f := range together(2, 0) {
		f.Start = 5 * second
		users.Flows = append(users.Flows, f)
	}
	for i := range 10 {
		users.TCP = append(users.TCP, Bulk{
			Route: []int{0}, Short: true, Busy: i < 2, After: netsim.LinkConfig{Delay: owd}, Return: netsim.LinkConfig{Delay: owd},
		})
	}
	return append(all, users, Case{
		Name: "5.8", About: "RFC 8867 5.8: three flows on 3.5 Mbit/s, one pauses from 40 to 60 s", Duration: 120 * second,
		Links: constant(queue, 3500*bwe.Kbps), Flows: pausing, Fair: Span{80 * second, 119 * second},
		Goals: []Goal{atMost(Refill, 2), atLeast(Jain, 0.98)},
	})
}

// against is one flow from 5 s on beside one TCP.
func against(name string, a tcp.Algorithm, queue, until time.Duration, about string, goal Goal) Case {
	f := one(owd)
	f.Start = 5 * second
	return Case{
		Name: name, About: about, Duration: 120 * second, Links: constant(queue, 2*bwe.Mbps), Flows: []Flow{f},
		TCP: []Bulk{{
			Route: []int{0}, Stop: until, Algorithm: a,
			After: netsim.LinkConfig{Delay: owd}, Return: netsim.LinkConfig{Delay: owd},
		}},
		Fair: Span{30 * second, until}, Goals: []Goal{goal},
	}
}

// beyond is RFC 8867 sections 6.1 to 6.3.
func beyond() []Case {
	weighted := together(3, 20*second)
	for i, p := range []float64{2, 1, 1} {
		weighted[i].Priority = p
	}
	// 6.2: the queue of 5.1 and of 5.4 marks, as RFC 3168 has it, long before it drops.
	aqm := netsim.Marking{From: 20 * ms, To: 80 * ms, Most: 0.3}
	capable := func(c Case) Case {
		c.Name, c.About = "6.2-"+c.Name, c.About+", with ECN (6.2)"
		flows := append([]Flow(nil), c.Flows...)
		for i := range flows {
			flows[i].ECN = true
		}
		c.Flows, c.Links = flows, []netsim.Trace{marking(c.Links[0], aqm)}
		return c
	}
	variable, three := capable(variable()[0]), capable(shared()[2])
	through, first, last := one(100*ms), one(40*ms), one(40*ms)
	through.Route, last.Route = []int{0, 1, 2}, []int{2}
	return []Case{
		{
			Name: "6.1", About: "RFC 8867 6.1: as 5.4, priorities 2:1:1", Duration: 120 * second,
			Links: constant(queue, 3500*bwe.Kbps), Flows: weighted, Fair: Span{90 * second, 119 * second},
			Goals: []Goal{atLeast(Jain, 0.95)},
		},
		variable, three,
		{
			Name: "6.3", About: "RFC 8867 6.3: through three links of 2, 8, 1.5 Mbit/s, a flow beside on the first and on the last", Duration: 300 * second,
			Links: []netsim.Trace{link(queue, phase{0, 2 * bwe.Mbps}), link(queue, phase{0, 8 * bwe.Mbps}), link(queue, phase{0, 1500 * bwe.Kbps})},
			Flows: []Flow{through, first, last}, Fair: Span{200 * second, 299 * second},
		},
	}
}

// marking is the same link with a queue that marks.
func marking(t netsim.Trace, m netsim.Marking) netsim.Trace {
	steps := append([]netsim.Step(nil), t.Steps...)
	for i := range steps {
		steps[i].Link.Mark = m
	}
	t.Steps = steps
	return t
}
