package netsim

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const ms = time.Millisecond

// fates sends count packets of size bytes, one each interval.
func fates(l *Link, count, size int, interval time.Duration) []Fate {
	all := make([]Fate, count)
	for i := range all {
		all[i] = l.Send(time.Duration(i)*interval, size)
	}
	return all
}

func share(all []Fate, is func(Fate) bool) float64 {
	n := 0
	for _, f := range all {
		if is(f) {
			n++
		}
	}
	return float64(n) / float64(len(all))
}

func lost(f Fate) bool { return f.Verdict == Lost }

func TestLinkSend(t *testing.T) {
	type send struct {
		now  time.Duration
		size int
		want Fate
	}
	at := func(d time.Duration) Fate { return Fate{Verdict: Arrives, At: d, Copies: 1} }
	after := func(wait, d time.Duration) Fate { return Fate{Verdict: Arrives, At: d, Wait: wait, Copies: 1} }
	tests := map[string]struct {
		config LinkConfig
		sends  []send
	}{
		"perfect":   {LinkConfig{}, []send{{0, 1200, at(0)}, {5 * ms, 1200, at(5 * ms)}}},
		"delay":     {LinkConfig{Delay: 50 * ms}, []send{{0, 1200, at(50 * ms)}, {5 * ms, 1200, at(55 * ms)}}},
		"loss of 1": {LinkConfig{Loss: 1}, []send{{0, 1200, Fate{Verdict: Lost}}}},
		"duplicate of 1": {LinkConfig{Delay: ms, Duplicate: 1}, []send{
			{0, 1200, Fate{Verdict: Arrives, At: ms, Copies: 2}},
		}},
		"reorder of 1 holds back by the default": {LinkConfig{Reorder: 1}, []send{{0, 1200, at(10 * ms)}}},
		"reorder of 1 holds back as told":        {LinkConfig{Reorder: 1, ReorderBy: 3 * ms}, []send{{0, 1200, at(3 * ms)}}},
		// 1,000 bytes at 800 kbit/s take 10 ms.
		"rate": {LinkConfig{Rate: 800_000, Delay: 5 * ms}, []send{
			{0, 1000, at(15 * ms)},
			{0, 1000, after(10*ms, 25*ms)},
			{30 * ms, 500, at(40 * ms)},
		}},
		"queue drops its tail": {LinkConfig{Rate: 800_000, Queue: 2000}, []send{
			{0, 1000, at(10 * ms)},
			{0, 1000, after(10*ms, 20*ms)},            // 1,000 wait
			{0, 1000, Fate{Verdict: QueueFull}},       // 2,000 wait
			{10 * ms, 1000, after(10*ms, 30*ms)},      // 1,000 wait again
			{10 * ms, 1000, Fate{Verdict: QueueFull}}, // a drop takes no time
			{30 * ms, 1000, at(40 * ms)},
		}},
		"an idle link takes a packet beyond its queue": {LinkConfig{Rate: 800_000, Queue: 500}, []send{{0, 1000, at(10 * ms)}}},
		"a lost packet takes its time": {LinkConfig{Rate: 800_000, Loss: 1}, []send{
			{0, 1000, Fate{Verdict: Lost}}, {0, 9001, Fate{Verdict: QueueFull}},
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			l := NewLink(test.config, 1)
			for i, s := range test.sends {
				require.Equal(t, s.want, l.Send(s.now, s.size), "packet %d", i)
			}
		})
	}
}

func TestLinkQueueDefaultIs100MillisecondsOfRate(t *testing.T) {
	all := fates(NewLink(LinkConfig{Rate: 8_000_000}, 1), 1000, 1000, 0) // 100,000 bytes
	last := Fate{}
	for _, f := range all {
		if f.Verdict == Arrives {
			last = f
		}
	}
	require.Equal(t, 100*ms, last.At)
}

func TestLinkLoss(t *testing.T) {
	for _, p := range []float64{0.01, 0.1, 0.3} {
		require.InDelta(t, p, share(fates(NewLink(LinkConfig{Loss: p}, 3), 50_000, 1200, ms), lost), 0.01)
	}
}

func TestLinkBurst(t *testing.T) {
	all := fates(NewLink(LinkConfig{Burst: Burst{Enter: 0.01, Leave: 0.1}}, 3), 200_000, 1200, ms)
	require.InDelta(t, 0.01/0.11, share(all, lost), 0.01)
	bursts, inside := 0, false
	for _, f := range all {
		if lost(f) && !inside {
			bursts++
		}
		inside = lost(f)
	}
	require.InDelta(t, 10, share(all, lost)*float64(len(all))/float64(bursts), 1, "mean length of a burst is 1/Leave")

	half := fates(NewLink(LinkConfig{Burst: Burst{Enter: 1, Leave: 0, Loss: 0.5}}, 3), 50_000, 1200, ms)
	require.InDelta(t, 0.5, share(half, lost), 0.01, "a bad link may let some through")
}

func TestLinkJitterKeepsOrder(t *testing.T) {
	all := fates(NewLink(LinkConfig{Delay: 10 * ms, Jitter: 30 * ms}, 3), 10_000, 1200, ms)
	for i, f := range all {
		delay := f.At - time.Duration(i)*ms
		require.GreaterOrEqual(t, delay, 10*ms)
		require.LessOrEqual(t, delay, 40*ms)
		if i > 0 {
			require.GreaterOrEqual(t, f.At, all[i-1].At)
		}
	}
}

// Delays of their own overtake each other, and lie between the same bounds, around the mean that is told.
func TestLinkJitterReorders(t *testing.T) {
	for _, spread := range []Spread{Uniform, HalfNormal, Pareto} {
		cfg := LinkConfig{Delay: 10 * ms, Jitter: 30 * ms, Spread: spread, JitterReorders: true}
		all := fates(NewLink(cfg, 3), 50_000, 1200, ms)
		overtaken, sum := 0, time.Duration(0)
		for i, f := range all {
			delay := f.At - time.Duration(i)*ms
			require.GreaterOrEqual(t, delay, 10*ms)
			require.LessOrEqual(t, delay, 40*ms)
			sum += delay
			if i > 0 && f.At < all[i-1].At {
				overtaken++
			}
		}
		require.Greater(t, overtaken, 500, spread)
		require.InDelta(t, cfg.MeanDelay().Seconds(), (sum / time.Duration(len(all))).Seconds(), 0.0002, spread)
	}
}

func TestSpread(t *testing.T) {
	for _, spread := range []Spread{Uniform, HalfNormal, Pareto} {
		require.Zero(t, spread.at(0))
		require.InDelta(t, 1, spread.at(1), 1e-9)
		for i := range 100 {
			require.Less(t, spread.at(float64(i)/100), spread.at(float64(i+1)/100), spread)
		}
	}
	require.InDelta(t, 1.0/3, HalfNormal.at(0.6827/0.9973), 1e-3, "68 % lie within σ")
	require.InDelta(t, 0.02, Pareto.at(0.5), 0.002)
	require.InDelta(t, 0.12, Pareto.at(0.9), 0.005)
	require.InDelta(t, 0.5, Pareto.at(0.99), 0.02)
	require.Equal(t, "half-normal", HalfNormal.String())
}

// TCP shares the bottleneck and has a loss of its own.
func TestLinkSendTCP(t *testing.T) {
	lostOf := func(cfg LinkConfig) float64 {
		l := NewLink(cfg, 3)
		n := 0
		for i := range 50_000 {
			if l.SendTCP(time.Duration(i)*ms, 1200).Verdict == Lost {
				n++
			}
		}
		require.InDelta(t, cfg.MeanLoss(true), float64(n)/50_000, 0.01)
		return float64(n) / 50_000
	}
	burst := Burst{Enter: 0.01, Leave: 0.1}
	require.InDelta(t, 0.03, lostOf(LinkConfig{Loss: 0.3, Burst: burst, LossTCP: 0.03}), 0.01)
	require.InDelta(t, 1-0.7*(1-1/11.0), lostOf(LinkConfig{Loss: 0.3, Burst: burst}), 0.01)
	require.Zero(t, lostOf(LinkConfig{Loss: 0.3, LossTCP: -1}))
	require.InDelta(t, 0.1, LinkConfig{Loss: 0.1, LossTCP: 0.5}.MeanLoss(false), 1e-9)

	l := NewLink(LinkConfig{Rate: 800_000, Queue: 2500}, 1)
	require.Equal(t, 10*ms, l.Send(0, 1000).At)
	require.Equal(t, 20*ms, l.SendTCP(0, 1000).At)
	require.Equal(t, QueueFull, l.Send(0, 1000).Verdict)
	require.Equal(t, QueueFull, l.SendTCP(0, 1000).Verdict)
}

func TestLinkQueueTime(t *testing.T) {
	for _, rate := range []int64{800_000, 8_000_000} {
		last := Fate{}
		for _, f := range fates(NewLink(LinkConfig{Rate: rate, QueueTime: 300 * ms}, 1), 1000, 1000, 0) {
			if f.Verdict == Arrives {
				last = f
			}
		}
		require.Equal(t, 300*ms, last.At)
	}
}

func TestLinkBlackout(t *testing.T) {
	l := NewLink(LinkConfig{Rate: 800_000}, 1)
	l.Interrupt(true)
	require.Equal(t, Fate{Verdict: Dark}, l.Send(0, 1000))
	l.Set(LinkConfig{Rate: 800_000})
	require.Equal(t, Dark, l.Send(0, 1000).Verdict, "Set does not end an interruption")
	l.Interrupt(false)
	require.Equal(t, 10*ms, l.Send(0, 1000).At, "what was dropped has cost the bottleneck nothing")
	l.Set(LinkConfig{Blackout: true})
	require.Equal(t, Dark, l.SendTCP(20*ms, 1000).Verdict)
}

func TestLinkReorderAndDuplicate(t *testing.T) {
	all := fates(NewLink(LinkConfig{Reorder: 0.1, ReorderBy: 5 * ms, Duplicate: 0.2}, 3), 50_000, 1200, ms)
	i := -1
	require.InDelta(t, 0.1, share(all, func(f Fate) bool { i++; return f.At > time.Duration(i)*ms }), 0.01)
	require.InDelta(t, 0.2, share(all, func(f Fate) bool { return f.Copies == 2 }), 0.01)
}

func TestLinkIsTheSameForTheSameSeed(t *testing.T) {
	config := LinkConfig{Delay: 10 * ms, Jitter: 10 * ms, Loss: 0.1, Reorder: 0.1, Duplicate: 0.1, Burst: Burst{Enter: 0.01, Leave: 0.2}}
	require.Equal(t, fates(NewLink(config, 5), 1000, 1200, ms), fates(NewLink(config, 5), 1000, 1200, ms))
	require.NotEqual(t, fates(NewLink(config, 5), 1000, 1200, ms), fates(NewLink(config, 6), 1000, 1200, ms))
}

func TestLinkLossLeavesTheOtherDiceAlone(t *testing.T) {
	config := LinkConfig{Jitter: 900 * time.Microsecond}
	whole := fates(NewLink(config, 5), 1000, 1200, ms)
	config.Loss = 0.3
	for i, f := range fates(NewLink(config, 5), 1000, 1200, ms) {
		if f.Verdict == Arrives {
			require.Equal(t, whole[i], f)
		}
	}
}

func TestLinkSetKeepsWhatWaits(t *testing.T) {
	l := NewLink(LinkConfig{Rate: 800_000}, 1)
	require.Equal(t, 10*ms, l.Send(0, 1000).At)
	l.Set(LinkConfig{})
	require.Equal(t, 10*ms, l.Send(0, 1000).At, "does not overtake")
	require.Equal(t, 20*ms, l.Send(20*ms, 1000).At)
}

func TestVerdictString(t *testing.T) {
	require.Equal(t, "queue full", QueueFull.String())
	require.Equal(t, "dark", Dark.String())
}

// 1,000 bytes at 800 kbit/s take 10 ms: the n-th of a burst has waited n × 10 ms.
func TestLinkMarks(t *testing.T) {
	burst := func(m Marking) []bool {
		var marked []bool
		for _, f := range fates(NewLink(LinkConfig{Rate: 800_000, QueueTime: time.Second, Mark: m}, 3), 5, 1000, 0) {
			marked = append(marked, f.Marked)
		}
		return marked
	}
	require.Equal(t, []bool{false, false, false, false, false}, burst(Marking{}))
	require.Equal(t, []bool{false, false, true, true, true}, burst(Marking{From: 15 * ms, To: 15 * ms}), "a step")

	m := Marking{From: 10 * ms, To: 30 * ms, Most: 0.5}
	require.Zero(t, m.share(9*ms))
	require.InDelta(t, 0.25, m.share(20*ms), 1e-9)
	require.InDelta(t, 0.5, m.share(time.Second), 1e-9)

	// A queue that stands at 20 ms.
	l := NewLink(LinkConfig{Rate: 800_000, QueueTime: time.Second, Mark: m}, 3)
	l.Send(0, 2000)
	var all []Fate
	for i := range 20_000 {
		all = append(all, l.Send(time.Duration(i)*10*ms, 1000))
	}
	require.Equal(t, 20*ms, all[9].Wait)
	require.InDelta(t, 0.25, share(all, func(f Fate) bool { return f.Marked }), 0.01)

	plain, marking := LinkConfig{Rate: 800_000, Loss: 0.1}, LinkConfig{Rate: 800_000, Loss: 0.1, Mark: m}
	without := fates(NewLink(plain, 5), 1000, 1000, 11*ms)
	for i, f := range fates(NewLink(marking, 5), 1000, 1000, 11*ms) {
		require.Equal(t, without[i].Verdict, f.Verdict, "marking leaves the other dice alone")
	}
}
