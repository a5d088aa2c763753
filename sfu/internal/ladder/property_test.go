package ladder

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tolkyn/tolkyn/codec"
)

// drawLadder makes any ladder that a publisher may bring about: sizes and rates that contradict each other, layers that
// are missing, encodings that are silent or never came.
func drawLadder(t *rapid.T) []Rung {
	n := rapid.IntRange(1, 3).Draw(t, "encodings")
	l := New(n)
	for i := range n {
		var rates []LayerRate
		for s := range uint8(rapid.IntRange(1, 3).Draw(t, "spatial")) {
			width := uint16(rapid.SampledFrom([]int{0, 160, 320, 640, 1280, 1920}).Draw(t, "width"))
			for tl := range uint8(rapid.IntRange(1, 3).Draw(t, "temporal")) {
				rates = append(rates, LayerRate{
					Layer: codec.Layer{Spatial: s, Temporal: tl},
					Bits:  uint32(rapid.IntRange(0, 3_000_000).Draw(t, "bits")), Frames: uint16(rapid.IntRange(0, 30).Draw(t, "frames")),
					Width: width, Height: width * 9 / 16,
				})
			}
		}
		l.Measure(1, i, 1, rates)
		l.Measure(2*time.Second, i, 2*time.Second, rates)
		switch rapid.IntRange(0, 3).Draw(t, "state") {
		case 0:
			l.Measure(5*time.Second, i, 2*time.Second, nil)
		case 1: // part of it has stopped
			l.Measure(3*time.Second, i, 3*time.Second, rates[:rapid.IntRange(0, len(rates)).Draw(t, "left")])
		}
	}
	rungs, _ := l.Rungs()
	return append([]Rung(nil), rungs...)
}

func drawView(t *rapid.T) View {
	return View{
		Width:  uint32(rapid.IntRange(0, 2500).Draw(t, "view width")),
		Height: uint32(rapid.IntRange(0, 1500).Draw(t, "view height")),
		Detail: rapid.Bool().Draw(t, "detail"),
	}
}

// TestMoreRoomIsNeverLess: a larger view or a larger budget never gets a smaller picture, nor fewer pictures of the same.
func TestMoreRoomIsNeverLess(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rungs := drawLadder(t)
		small := drawView(t)
		if !small.known() {
			small.Width = 1
		}
		large := small
		if large.Width > 0 {
			large.Width += uint32(rapid.IntRange(0, 2000).Draw(t, "wider"))
		}
		if large.Height > 0 {
			large.Height += uint32(rapid.IntRange(0, 1000).Draw(t, "higher"))
		}
		a, b := pick(rungs, small, 0), pick(rungs, large, 0)
		require.LessOrEqual(t, compare(a, b, small.Detail), 0, "%+v gets %+v, %+v gets %+v", small, *a, large, *b)
		require.LessOrEqual(t, compare(b, pick(rungs, View{Detail: small.Detail}, 0), small.Detail), 0, "no view is the largest")

		bits := uint32(rapid.IntRange(1, 20_000_000).Draw(t, "budget"))
		more := bits + uint32(rapid.IntRange(0, 5_000_000).Draw(t, "more"))
		a, b = pick(rungs, small, bits), pick(rungs, small, more)
		require.False(t, better(rungs, a, b, small), "%d bits get %+v, %d get %+v", bits, *a, more, *b)
		require.LessOrEqual(t, compare(b, pick(rungs, small, 0), small.Detail), 0)
		if a.Bits > bits { // nothing fits: the least of what the view takes
			for i := range rungs {
				r := &rungs[i]
				if top := ceiling(rungs, small); needed(rungs, r, small) && (sameSize(r, top) || compare(r, top, small.Detail) <= 0) {
					require.LessOrEqual(t, a.Bits, r.Bits)
				}
			}
		}
	})
}

// TestWhatFlowsIsShown: never a silent encoding while another flows, never beyond what is wanted while something below it
// flows.
func TestWhatFlowsIsShown(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rungs := drawLadder(t)
		v := drawView(t)
		var c Chooser
		choice, ok := c.Choose(0, rungs, v, uint32(rapid.IntRange(0, 3_000_000).Draw(t, "budget")))
		require.Equal(t, len(rungs) > 0, ok)
		if !ok {
			return
		}
		any, below := false, false
		for i := range rungs {
			if rungs[i].Flows {
				any = true
				below = below || compare(&rungs[i], &choice.Want, v.Detail) <= 0
			}
		}
		require.Equal(t, any, choice.Shows)
		if choice.Shows {
			require.True(t, choice.Show.Flows)
			if below {
				require.LessOrEqual(t, compare(&choice.Show, &choice.Want, v.Detail), 0)
			}
		}
		require.NotZero(t, choice.Limit)
	})
}

// TestAJitteringViewChangesLittle: whatever the view does, a slot shrinks once a dwell at most, and so it grows.
func TestAJitteringViewChangesLittle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		_, rungs := threeSizes()
		var c Chooser
		var shrunk time.Duration
		now, last, grew := time.Duration(0), -1, 0
		for range 200 {
			now += time.Duration(rapid.IntRange(0, 400).Draw(t, "after")) * ms
			v := View{Width: uint32(rapid.IntRange(1, 2000).Draw(t, "width"))}
			v.Height = v.Width * 9 / 16
			choice, _ := c.Choose(now, rungs, v, 0)
			fresh := pick(rungs, v, 0)
			require.GreaterOrEqual(t, compare(&choice.Want, fresh, false), 0, "never less than the view takes")
			switch at := choice.Want.Encoding; {
			case last >= 0 && at < last:
				require.GreaterOrEqual(t, now-shrunk, dwell)
				shrunk, grew = now, 0
			case last >= 0 && at > last:
				grew++
				require.LessOrEqual(t, grew, 2, "from the lowest of three to the highest")
			}
			last = choice.Want.Encoding
		}
	})
}

// TestAPublisherIsNotTurnedOnAndOff: between two words that turn one encoding off lie at least offAfter, and what somebody
// wants is on at once.
func TestAPublisherIsNotTurnedOnAndOff(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := NewWanted(1, true)
		now := time.Duration(0)
		var off, unwanted time.Duration
		wanted := true
		for range 100 {
			now += time.Duration(rapid.IntRange(0, 300).Draw(t, "after")) * ms
			w.Begin()
			is := rapid.Bool().Draw(t, "wanted")
			l := codec.Layer{Spatial: uint8(rapid.IntRange(0, 2).Draw(t, "spatial")), Temporal: uint8(rapid.IntRange(0, 2).Draw(t, "temporal"))}
			if is {
				w.Want(0, l)
			} else if wanted {
				unwanted = now
			}
			wanted = is
			_, turned, next := w.Settle(now)
			told, on := w.Told(0)
			if turned > 0 {
				require.GreaterOrEqual(t, now-unwanted, offAfter)
				require.True(t, off == 0 || now-off >= offAfter)
				off = now
			}
			if is {
				require.True(t, on)
				require.True(t, told.Holds(l))
			} else if on {
				require.Greater(t, next, now, "it will be told off")
			}
		}
	})
}

// TestStepsAreWhatBoundsChoose: under any bound Choose takes one of the steps, and each step under a bound of its own bits.
func TestStepsAreWhatBoundsChoose(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rungs, v := drawLadder(t), drawView(t)
		steps := Steps(rungs, v, nil)
		require.Equal(t, len(rungs) > 0, len(steps) > 0)
		for n, i := range steps {
			require.True(t, pick(rungs, v, max(rungs[i].Bits, 1)).same(&rungs[i]), "step %d", n)
			if n > 0 {
				require.Greater(t, rungs[i].Bits, rungs[steps[n-1]].Bits)
			}
		}
		bits := uint32(rapid.IntRange(0, 20_000_000).Draw(t, "budget"))
		if len(rungs) == 0 {
			return
		}
		if taken := pick(rungs, v, bits); bits > 0 && taken.Bits > bits { // nothing fits: the least there is
			require.Equal(t, rungs[steps[0]].Bits, taken.Bits)
		} else {
			require.True(t, slices.ContainsFunc(steps, func(i int) bool { return rungs[i].same(taken) }), "%+v under %d", *taken, bits)
		}
	})
}
