package netsim

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func rates(loop time.Duration, steps ...Step) Trace { return Trace{Steps: steps, Loop: loop} }

func TestTraceAt(t *testing.T) {
	trace := rates(0, Step{10 * ms, LinkConfig{Rate: 1}}, Step{20 * ms, LinkConfig{Rate: 2}})
	looped := trace
	looped.Loop = 30 * ms
	for at, want := range map[time.Duration]int64{-5 * ms: 1, 0: 1, 10 * ms: 1, 19 * ms: 1, 20 * ms: 2, 29 * ms: 2} {
		require.Equal(t, want, trace.At(at).Rate, at)
		require.Equal(t, want, looped.At(at).Rate, at)
	}
	require.EqualValues(t, 2, trace.At(time.Hour).Rate)
	require.EqualValues(t, 1, looped.At(49*ms).Rate)
	require.EqualValues(t, 2, looped.At(50*ms).Rate)
	require.Zero(t, Trace{}.At(ms))
}

func TestTraceCheck(t *testing.T) {
	require.NoError(t, Trace{}.Check())
	require.NoError(t, rates(30*ms, Step{At: 0}, Step{At: 20 * ms}).Check())
	require.ErrorContains(t, rates(0, Step{At: -ms}).Check(), "step 1 is at -1ms")
	require.ErrorContains(t, rates(0, Step{At: ms}, Step{At: ms}).Check(), "put them in order")
	require.ErrorContains(t, rates(ms, Step{At: ms}).Check(), "let it loop later")
	require.ErrorContains(t, rates(-ms).Check(), "above 0")
}

// 1,000 bytes at 800 kbit/s take 10 ms.
func TestLinkFollowsWhatComes(t *testing.T) {
	l := NewLink(LinkConfig{}, 1)
	l.Follow(rates(0, Step{0, LinkConfig{Rate: 800_000}}, Step{15 * ms, LinkConfig{Rate: 400_000, Queue: 2000}}, Step{100 * ms, LinkConfig{}}), 5*ms)
	require.Equal(t, 15*ms, l.Send(5*ms, 1000).At)
	require.Equal(t, 30*ms, l.Send(5*ms, 1000).At, "half at the old rate, half at the new")
	require.Equal(t, 50*ms, l.Send(20*ms, 1000).At)
	require.Equal(t, 70*ms, l.Send(30*ms, 1000).At)
	require.Equal(t, QueueFull, l.Send(30*ms, 1000).Verdict, "2,000 wait")
	require.Equal(t, 106*ms, l.Send(106*ms, 1000).At, "unlimited")
	l.Set(LinkConfig{Delay: ms})
	require.Equal(t, 111*ms, l.Send(110*ms, 1000).At, "Set ends the trace")
	l.Follow(Trace{}, 0)
	require.Equal(t, 112*ms, l.Send(111*ms, 1000).At, "a trace without steps changes nothing")
}

func TestLinkStalls(t *testing.T) {
	l := NewLink(LinkConfig{}, 1)
	l.Follow(rates(2*time.Second, Step{0, LinkConfig{Rate: 800_000, Queue: 9000}}, Step{time.Second, LinkConfig{Rate: Stalled, Queue: 9000}}), 0)
	got := l.Send(1500*ms, 1000)
	require.Equal(t, Arrives, got.Verdict)
	require.InDelta(t, 2010, got.At.Milliseconds(), 1, "waits until the trace begins again")

	l.Follow(rates(ms, Step{0, LinkConfig{Rate: Stalled}}), 3*time.Second)
	require.Equal(t, QueueFull, l.Send(3*time.Second, 1000).Verdict, "in no foreseeable time")
}

// However rates change, a link that is never idle carries what its rates add up to.
func TestLinkCarriesTheSumOfItsRates(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var trace Trace
		at, bits := time.Duration(0), 0.0
		for range rapid.IntRange(1, 8).Draw(t, "steps") {
			rate := rapid.Int64Range(50_000, 5_000_000).Draw(t, "rate")
			hold := time.Duration(rapid.IntRange(1, 500).Draw(t, "hold")) * ms
			trace.Steps = append(trace.Steps, Step{at, LinkConfig{Rate: rate, Queue: 1 << 30}})
			bits += hold.Seconds() * float64(rate)
			at += hold
		}
		trace.Loop = at
		l := NewLink(LinkConfig{}, 1)
		l.Follow(trace, 0)
		const size = 500
		passed, last := 0, time.Duration(0)
		for {
			f := l.Send(0, size)
			require.Equal(t, Arrives, f.Verdict)
			require.Greater(t, f.At, last)
			last = f.At
			if f.At > trace.Loop {
				break
			}
			passed += size * 8
		}
		require.InDelta(t, bits, passed, size*8+200, "one packet is under way, and steps are cut to whole bits")
	})
}

func TestNetworkFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		defer n.Close()
		a, b := n.Host(netip.MustParseAddr("10.0.0.1")), n.Host(netip.MustParseAddr("10.0.0.2"))
		time.Sleep(time.Second) // the trace begins when it is given
		n.Follow(a, b, rates(0, Step{0, LinkConfig{Delay: 10 * ms}}, Step{time.Second, LinkConfig{Blackout: true}},
			Step{2 * time.Second, LinkConfig{Delay: 30 * ms}}))
		from, err := a.ListenUDP(0)
		require.NoError(t, err)
		to, err := b.ListenUDP(0)
		require.NoError(t, err)
		exchange := func() (time.Duration, error) {
			sent := time.Now()
			_, err := from.WriteTo([]byte("x"), to.LocalAddr())
			require.NoError(t, err)
			require.NoError(t, to.SetReadDeadline(sent.Add(500*ms)))
			_, _, err = to.ReadFrom(make([]byte, 10))
			return time.Since(sent), err
		}
		took, err := exchange()
		require.NoError(t, err)
		require.Equal(t, 10*ms, took)
		time.Sleep(time.Second)
		_, err = exchange()
		require.Error(t, err)
		require.EqualValues(t, 1, n.Stats().Cut)
		time.Sleep(time.Second)
		took, err = exchange()
		require.NoError(t, err)
		require.Equal(t, 30*ms, took)
	})
}
