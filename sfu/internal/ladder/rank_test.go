package ladder

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tolkyn/tolkyn/codec"
)

// flow measures encodings five times a second for a while; nil is silent.
func flow(l *Ladder, now *time.Duration, d time.Duration, encodings ...[]LayerRate) []Rung {
	for end := *now + d; *now < end; *now += 200 * ms {
		for i, rates := range encodings {
			heard := *now
			if rates == nil {
				heard = max(*now-2*Silence, 0)
			}
			l.Measure(*now, i, heard, rates)
		}
	}
	rungs, _ := l.Rungs()
	return rungs
}

// TestAGuessRanksBySize: the middle encoding was paused before a second of it was known, and the largest brings less than one
// expects of 360 lines.
func TestAGuessRanksBySize(t *testing.T) {
	l, now := New(2), ms
	flow(l, &now, 600*ms, plain(80_000, 640, 360), plain(90_000, 1280, 720))
	rungs := flow(l, &now, 3*time.Second, nil, plain(270_000, 1280, 720))
	require.Equal(t, 0, chooseFirst(t, rungs, View{Width: 640, Height: 360}, 0).Want.Encoding)
	require.Equal(t, 1, chooseFirst(t, rungs, View{}, 0).Want.Encoding)
	require.Equal(t, 1, chooseFirst(t, rungs, View{Width: 1280, Height: 720}, 0).Want.Encoding)
	// Nobody watches at all any more: that changes no order.
	rungs = flow(l, &now, 3*time.Second, nil, nil)
	require.Equal(t, 0, chooseFirst(t, rungs, View{Width: 640, Height: 360}, 0).Want.Encoding)
	require.Equal(t, 1, chooseFirst(t, rungs, View{}, 0).Want.Encoding)
	// The guess flows, and brings more than the other did in its quiet scene.
	rungs = flow(l, &now, 3*time.Second, plain(300_000, 640, 360), nil)
	require.Equal(t, 0, chooseFirst(t, rungs, View{Width: 640, Height: 360}, 0).Want.Encoding)
	require.Equal(t, 1, chooseFirst(t, rungs, View{}, 0).Want.Encoding)
}

// TestAGuessStaysBetweenItsNeighbours: four times what the smallest brings would be more than the largest does.
func TestAGuessStaysBetweenItsNeighbours(t *testing.T) {
	small, middle, large := plain(180_000, 320, 180), plain(345_000, 640, 360), plain(700_000, 1280, 720)
	chosen := func(rungs []Rung) int {
		require.Equal(t, 2, chooseFirst(t, rungs, View{}, 0).Want.Encoding)
		return chooseFirst(t, rungs, View{Width: 640, Height: 360}, 0).Want.Encoding
	}
	l, now := New(3), ms
	flow(l, &now, 600*ms, small, middle, large)
	require.Equal(t, 1, chosen(flow(l, &now, 3*time.Second, small, nil, large)))
	require.Equal(t, 1, chosen(flow(l, &now, 3*time.Second, small, nil, nil)), "a pause changes no order")
	require.Equal(t, 1, chosen(flow(l, &now, 3*time.Second, nil, nil, nil)))
}

// TestARateOfAnotherSceneDoesNotRank: 360 lines brought 400 kbit/s when all moved. Now nothing does.
func TestARateOfAnotherSceneDoesNotRank(t *testing.T) {
	l, now := New(2), ms
	flow(l, &now, 3*time.Second, plain(400_000, 640, 360), plain(1_500_000, 1280, 720))
	rungs := flow(l, &now, 3*time.Second, nil, plain(270_000, 1280, 720))
	require.Equal(t, 0, chooseFirst(t, rungs, View{Width: 640, Height: 360}, 0).Want.Encoding)
	require.Equal(t, 1, chooseFirst(t, rungs, View{}, 0).Want.Encoding)
}

// TestAPauseChangesNoOrder: the larger picture brings less, in whatever scene, and that is what was measured.
func TestAPauseChangesNoOrder(t *testing.T) {
	l, now := New(2), ms
	small, large := plain(400_000, 640, 360), plain(300_000, 1280, 720)
	highest := func(rungs []Rung) int { return chooseFirst(t, rungs, View{}, 0).Want.Encoding }
	require.Equal(t, 0, highest(flow(l, &now, 3*time.Second, small, large)))
	require.Equal(t, 0, highest(flow(l, &now, 3*time.Second, plain(100_000, 640, 360), nil)))
	require.Equal(t, 0, highest(flow(l, &now, 3*time.Second, nil, nil)))
	require.Equal(t, 0, highest(flow(l, &now, 600*ms, nil, large)))
}

// TestASizeIsLearned: a publisher's encoding is known when its size is or, where no keyframe tells one, after a second.
func TestASizeIsLearned(t *testing.T) {
	l, now := New(2), ms
	flow(l, &now, 600*ms, plain(300_000, 320, 180), plain(100_000, 0, 0))
	require.True(t, l.Known(0))
	require.False(t, l.Known(1))
	flow(l, &now, 2*time.Second, nil, nil)
	require.False(t, l.Known(1))
	flow(l, &now, 600*ms, nil, plain(100_000, 0, 0))
	require.False(t, l.Known(1))
	flow(l, &now, 600*ms, nil, plain(100_000, 0, 0))
	require.True(t, l.Known(1))
}

// TestAPublisherWhoObeysComesToRest: whatever its encodings bring, and whatever is looked at, it is not told on and off for
// ever: what is paused and what is chosen do not chase each other.
func TestAPublisherWhoObeysComesToRest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 3).Draw(t, "encodings")
		l, w := New(n), &Wanted{encodings: make([]wish, n)}
		all := make([][]LayerRate, n)
		sends := make([]bool, n)
		heard := make([]time.Duration, n)
		for i := range n {
			width := uint16(rapid.SampledFrom([]int{0, 320, 640, 1280}).Draw(t, "width"))
			bits := uint32(rapid.SampledFrom([]int{0, 20_000, 250_000, 270_000, 300_000, 345_000, 1_500_000}).Draw(t, "bits"))
			all[i], sends[i] = plain(bits, width, width*9/16), true
		}
		choosers := make([]Chooser, rapid.IntRange(1, 2).Draw(t, "viewers"))
		views := make([]View, len(choosers))
		for i := range views {
			views[i] = drawView(t)
		}
		tellings := 0
		for now := ms; now < 60*time.Second; now += 200 * ms {
			for i := range n {
				if sends[i] {
					heard[i] = now
				}
				rates := all[i]
				if now-heard[i] > Silence {
					rates = nil
				}
				l.Measure(now, i, heard[i], rates)
			}
			rungs, _ := l.Rungs()
			w.Begin()
			for i := range choosers {
				choice, ok := choosers[i].Choose(now, rungs, views[i], 0)
				if !ok {
					continue
				}
				for _, r := range []Rung{choice.Want, choice.Show} {
					w.Want(r.Encoding, l.Open(r))
				}
				for k := range n {
					if choice.Open && !l.Known(k) {
						w.Want(k, l.Open(choice.Want))
					}
				}
			}
			changed, _, _ := w.Settle(now)
			for i := range n {
				_, sends[i] = w.Told(i)
			}
			if changed && now > 20*time.Second {
				tellings++
			}
		}
		require.LessOrEqual(t, tellings, 2)
	})
}

// TestAPublisherIsToldFourTimesASecondAtMost: of three encodings each is wanted for a moment twice a second, and then let go.
func TestAPublisherIsToldFourTimesASecondAtMost(t *testing.T) {
	w := &Wanted{encodings: make([]wish, 3), gap: tellGap}
	told, off := 0, 0
	last := -tellGap
	for now := time.Duration(0); now < 10*time.Second; now += 10 * ms {
		w.Begin()
		for i := range 3 {
			if (now+time.Duration(i)*170*ms)%(510*ms) < 50*ms {
				w.Want(i, codec.Everything)
			}
		}
		changed, n, next := w.Settle(now)
		off += n
		if changed {
			require.GreaterOrEqual(t, now-last, tellGap)
			told, last = told+1, now
		} else if w.late {
			require.Greater(t, next, now)
			require.LessOrEqual(t, next, last+tellGap)
		}
	}
	require.InDelta(t, 40, told, 2)
	require.Greater(t, off, 50)
}
