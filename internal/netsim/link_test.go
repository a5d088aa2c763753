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
			{0, 1000, at(25 * ms)},
			{30 * ms, 500, at(40 * ms)},
		}},
		"queue drops its tail": {LinkConfig{Rate: 800_000, Queue: 2000}, []send{
			{0, 1000, at(10 * ms)},
			{0, 1000, at(20 * ms)},                    // 1,000 wait
			{0, 1000, Fate{Verdict: QueueFull}},       // 2,000 wait
			{10 * ms, 1000, at(30 * ms)},              // 1,000 wait again
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
}
