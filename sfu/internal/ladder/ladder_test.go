package ladder

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/codec"
)

const ms = time.Millisecond

// plain is an encoding without layers.
func plain(bits uint32, width, height uint16) []LayerRate {
	return []LayerRate{{Bits: bits, Frames: 30, Width: width, Height: height}}
}

// measured is a ladder of encodings that have all flowed for two seconds; nil for one that never came.
func measuredLadder(encodings ...[]LayerRate) (*Ladder, []Rung) {
	l := New(len(encodings))
	for _, now := range []time.Duration{ms, 2 * time.Second} {
		for i, rates := range encodings {
			heard := now
			if rates == nil {
				heard = 0
			}
			l.Measure(now, i, heard, rates)
		}
	}
	rungs, _ := l.Rungs()
	return l, rungs
}

func threeSizes() (*Ladder, []Rung) {
	return measuredLadder(plain(100_000, 320, 180), plain(400_000, 640, 360), plain(1_500_000, 1280, 720))
}

func chooseFirst(t *testing.T, rungs []Rung, v View, bits uint32) Choice {
	t.Helper()
	var c Chooser
	choice, ok := c.Choose(0, rungs, v, bits)
	require.True(t, ok)
	return choice
}

func TestTheSmallestThatFillsTheView(t *testing.T) {
	_, rungs := threeSizes()
	cases := []struct {
		view     View
		encoding int
		limit    Limit
	}{
		{View{}, 2, NoLimit},
		{View{Width: 160, Height: 90}, 0, WishLimit},
		{View{Width: 320, Height: 180}, 0, WishLimit},
		{View{Width: 352, Height: 198}, 0, WishLimit}, // a tenth larger
		{View{Width: 360, Height: 202}, 1, WishLimit},
		{View{Width: 1000, Height: 180}, 0, WishLimit}, // shown whole, it is as high as its place
		{View{Height: 360}, 1, WishLimit},
		{View{Width: 800}, 2, NoLimit},
		{View{Width: 1280, Height: 720}, 2, NoLimit},
		{View{Width: 3840, Height: 2160}, 2, PublisherLimit},
		{View{Width: 320, Height: 180, Limited: true}, 0, DeviceLimit},
	}
	for _, c := range cases {
		choice := chooseFirst(t, rungs, c.view, 0)
		require.Equal(t, c.encoding, choice.Want.Encoding, "%+v", c.view)
		require.Equal(t, c.limit, choice.Limit, "%+v", c.view)
		require.True(t, choice.Shows)
		require.Equal(t, choice.Want, choice.Show)
		require.Equal(t, c.limit == PublisherLimit || c.view == View{}, choice.Open, "%+v", c.view)
	}
}

// TestRatesRank: the publisher lists its largest encoding first and calls the smallest f.
func TestRatesRank(t *testing.T) {
	_, rungs := measuredLadder(plain(1_500_000, 0, 0), plain(100_000, 0, 0), plain(400_000, 0, 0))
	require.Equal(t, []int{1, 2, 0}, []int{rungs[0].Encoding, rungs[1].Encoding, rungs[2].Encoding})
	require.Equal(t, 0, chooseFirst(t, rungs, View{}, 0).Want.Encoding)
	require.Equal(t, 2, chooseFirst(t, rungs, View{}, 500_000).Want.Encoding)
	require.Equal(t, 0, chooseFirst(t, rungs, View{Width: 320, Height: 180}, 0).Want.Encoding, "of unknown size: none is known to fill")
}

// TestAStillScreenRanksBySize: nothing moves, so the rates are noise.
func TestAStillScreenRanksBySize(t *testing.T) {
	_, rungs := measuredLadder(plain(9_000, 480, 270), plain(8_000, 1920, 1080))
	require.Equal(t, 1, chooseFirst(t, rungs, View{Detail: true}, 0).Want.Encoding)
	require.Equal(t, 0, chooseFirst(t, rungs, View{}, 0).Want.Encoding)
}

// layered makes the rates of an SVC stream; bits of the base spatial layer, four times that for each one above.
func layered(spatial, temporal uint8, bits uint32, width, height uint16) (rates []LayerRate) {
	for s := range spatial {
		for tl := range temporal {
			frames := uint16(8) // 7.5 a second doubled with each layer
			if tl > 0 {
				frames = 8 << (tl - 1)
			}
			rates = append(rates, LayerRate{
				Layer: codec.Layer{Spatial: s, Temporal: tl}, Bits: bits / uint32(temporal), Frames: frames,
				Width: width, Height: height,
			})
		}
		bits, width, height = bits*4, width*2, height*2
	}
	return rates
}

func TestLayersAddUp(t *testing.T) {
	_, rungs := measuredLadder(layered(3, 3, 90_000, 320, 180))
	require.Len(t, rungs, 9)
	top := rungs[8]
	require.Equal(t, codec.Layer{Spatial: 2, Temporal: 2}, top.Layer)
	require.EqualValues(t, 90_000*(1+4+16), top.Bits)
	require.EqualValues(t, 32, top.Rate)
	require.EqualValues(t, 1280, top.Width)
	base := rungs[0]
	require.Equal(t, codec.Layer{}, base.Layer)
	require.EqualValues(t, 30_000, base.Bits)
	require.EqualValues(t, 8, base.Rate)

	require.Equal(t, codec.Layer{Spatial: 1, Temporal: 2}, chooseFirst(t, rungs, View{Width: 640, Height: 360}, 0).Want.Layer)
	require.Equal(t, codec.Layer{Spatial: 0, Temporal: 1}, chooseFirst(t, rungs, View{Width: 160, Height: 90}, 0).Want.Layer,
		"a thumbnail takes 16 pictures a second")
	require.Equal(t, codec.Layer{Spatial: 0, Temporal: 2}, chooseFirst(t, rungs, View{Width: 160, Height: 90, Detail: true}, 0).Want.Layer)
}

// TestAScreenKeepsItsSharpnessAndAFaceItsMotion: 400 kbit/s carry the middle size at 8 pictures a second, or the small one
// at 32.
func TestAScreenKeepsItsSharpnessAndAFaceItsMotion(t *testing.T) {
	_, rungs := measuredLadder(layered(2, 3, 90_000, 320, 180))
	screen := chooseFirst(t, rungs, View{Detail: true}, 200_000)
	require.Equal(t, codec.Layer{Spatial: 1, Temporal: 0}, screen.Want.Layer)
	require.Equal(t, BandwidthLimit, screen.Limit)
	face := chooseFirst(t, rungs, View{}, 200_000)
	require.Equal(t, codec.Layer{Spatial: 0, Temporal: 2}, face.Want.Layer)
	require.Equal(t, BandwidthLimit, face.Limit)
	require.Equal(t, codec.Layer{}, chooseFirst(t, rungs, View{}, 1000).Want.Layer, "nothing fits: the least")
}

func TestWhatIsSilentIsRememberedAndNotShown(t *testing.T) {
	l, _ := threeSizes()
	now := 4 * time.Second
	l.Measure(now, 0, now, plain(100_000, 320, 180))
	l.Measure(now, 1, now, plain(400_000, 640, 360))
	l.Measure(now, 2, now-Silence-1, nil)
	rungs, changed := l.Rungs()
	require.True(t, changed)
	require.Len(t, rungs, 3)
	choice := chooseFirst(t, rungs, View{}, 0)
	require.Equal(t, 2, choice.Want.Encoding)
	require.Equal(t, 1, choice.Show.Encoding)
	require.True(t, choice.Shows)
	require.Equal(t, PublisherLimit, choice.Limit)

	_, changed = l.Rungs()
	require.False(t, changed)
	for i := range 2 {
		l.Measure(now, i, now-Silence-1, nil)
	}
	rungs, _ = l.Rungs()
	choice = chooseFirst(t, rungs, View{}, 0)
	require.False(t, choice.Shows)
	require.Equal(t, 2, choice.Want.Encoding)

	// It comes back: what it brought before counts until a second of it is known.
	now += 5 * time.Second
	l.Measure(now, 2, now, plain(20_000, 1280, 720))
	rungs, _ = l.Rungs()
	choice = chooseFirst(t, rungs, View{}, 0)
	require.Equal(t, 2, choice.Show.Encoding)
	require.EqualValues(t, 1_500_000, choice.Show.Bits)
	l.Measure(now+measured, 2, now+measured, plain(20_000, 1280, 720))
	rungs, _ = l.Rungs()
	require.EqualValues(t, 20_000, find(rungs, &choice.Show).Bits)
}

// TestAnEncodingThatBeginsAnewIsShownWhole: its first picture is of the base layer, the others come a picture later. A slot
// that asked for the base alone would leave them out until the next measurement.
func TestAnEncodingThatBeginsAnewIsShownWhole(t *testing.T) {
	layers := func(n int) (rates []LayerRate) {
		for t := range n {
			rates = append(rates, LayerRate{Layer: codec.Layer{Temporal: uint8(t)}, Bits: 50_000, Frames: 10, Width: 320, Height: 180})
		}
		return rates
	}
	l, _ := measuredLadder(layers(3))
	l.Measure(4*time.Second, 0, 4*time.Second-Silence-1, nil)
	l.Measure(5*time.Second, 0, 5*time.Second, layers(1))
	rungs, _ := l.Rungs()
	choice := chooseFirst(t, rungs, View{}, 0)
	require.True(t, choice.Shows)
	require.Equal(t, codec.Layer{Temporal: 2}, choice.Show.Layer)
	require.Equal(t, codec.Everything, l.Open(choice.Show))
	require.NotEqual(t, PublisherLimit, choice.Limit)
}

// TestWhatIsRememberedIsTheRateFromBeforeTheEnd: a second's rate falls to nothing while a stream stops.
func TestWhatIsRememberedIsTheRateFromBeforeTheEnd(t *testing.T) {
	l := New(1)
	now := ms
	for ; now < 7*time.Second; now += 200 * ms {
		l.Measure(now, 0, now, plain(500_000, 640, 360))
	}
	heard := now - 200*ms
	for ; now <= heard+Silence; now += 200 * ms {
		l.Measure(now, 0, heard, plain(uint32(500_000*(time.Second-(now-heard))/time.Second), 640, 360))
	}
	l.Measure(now, 0, heard, nil)
	rungs, _ := l.Rungs()
	require.EqualValues(t, 500_000, rungs[0].Bits)
	require.EqualValues(t, 30, rungs[0].Rate)
	require.False(t, rungs[0].Flows)
}

// TestTheFirstKeyframesRankBySize: a publisher has just begun, and of its largest encoding one packet has come.
func TestTheFirstKeyframesRankBySize(t *testing.T) {
	l := New(3)
	l.Measure(ms, 0, ms, plain(300_000, 320, 180))
	l.Measure(ms, 2, ms, plain(80_000, 1280, 720))
	rungs, _ := l.Rungs()
	require.Equal(t, 2, chooseFirst(t, rungs, View{}, 0).Want.Encoding)
	require.False(t, l.Known(1))
	require.True(t, l.Known(2))
	// Nothing is measured at all: the last that flows.
	l = New(3)
	l.Measure(ms, 0, ms, nil)
	l.Measure(ms, 1, ms, nil)
	rungs, _ = l.Rungs()
	choice := chooseFirst(t, rungs, View{}, 0)
	require.Equal(t, 1, choice.Show.Encoding)
	require.Equal(t, codec.Everything, choice.Show.Layer)
	require.Equal(t, codec.Everything, l.Open(choice.Show))
}

func TestTheHighestLayerIsAskedForWithoutABound(t *testing.T) {
	l, _ := measuredLadder(layered(3, 3, 90_000, 320, 180), plain(1, 320, 180))
	require.Equal(t, codec.Everything, l.Open(Rung{Layer: codec.Layer{Spatial: 2, Temporal: 2}}))
	require.Equal(t, codec.Layer{Spatial: 1, Temporal: 255}, l.Open(Rung{Layer: codec.Layer{Spatial: 1, Temporal: 2}}))
	require.Equal(t, codec.Layer{Spatial: 255, Temporal: 1}, l.Open(Rung{Layer: codec.Layer{Spatial: 2, Temporal: 1}}))
	require.Equal(t, codec.Everything, l.Open(Rung{Encoding: 1}))
	top, w, h, bits := l.Shown(0, codec.Layer{Spatial: 1, Temporal: 255})
	require.Equal(t, codec.Layer{Spatial: 1, Temporal: 2}, top)
	require.EqualValues(t, 640, w)
	require.EqualValues(t, 360, h)
	require.EqualValues(t, 90_000*5, bits)
}

func TestASlotGrowsAtOnceAndShrinksAfterASecond(t *testing.T) {
	_, rungs := threeSizes()
	small, large := View{Width: 320, Height: 180}, View{Width: 1280, Height: 720}
	var c Chooser
	at := func(now time.Duration, v View) int {
		choice, ok := c.Choose(now, rungs, v, 0)
		require.True(t, ok)
		return choice.Want.Encoding
	}
	require.Equal(t, 0, at(0, small), "the first choice knows no past")
	require.Equal(t, 2, at(100*ms, large))
	require.Zero(t, c.Next())
	require.Equal(t, 2, at(200*ms, small))
	require.Equal(t, 1200*ms, c.Next())
	require.Equal(t, 2, at(900*ms, large), "it never lasted")
	require.Zero(t, c.Next())
	require.Equal(t, 2, at(1000*ms, small))
	require.Equal(t, 2, at(1999*ms, small))
	require.Equal(t, 0, at(2000*ms, small))
	require.Zero(t, c.Next())
	// A view that is less than a quarter smaller keeps what it has.
	require.Equal(t, 1, at(3*time.Second, View{Width: 500, Height: 281}))
	require.Equal(t, 1, at(10*time.Second, View{Width: 376, Height: 211}))
	require.Equal(t, 1, at(10*time.Second, View{Width: 340, Height: 211}))
	require.Zero(t, c.Next())
	require.Equal(t, 1, at(20*time.Second, View{Width: 340, Height: 191}))
	require.Equal(t, 21*time.Second, c.Next())
	require.Equal(t, 0, at(21*time.Second, View{Width: 340, Height: 191}))

	// A budget takes at once.
	choice, _ := c.Choose(20*time.Second, rungs, large, 200_000)
	require.Equal(t, 0, choice.Want.Encoding)
	require.Equal(t, BandwidthLimit, choice.Limit)
}

// TestEncodingsThatAreNearlyAlikeDoNotTakeTurns: which of two has the higher rate changes five times a second.
func TestEncodingsThatAreNearlyAlikeDoNotTakeTurns(t *testing.T) {
	_, one := measuredLadder(plain(500_000, 640, 360), plain(520_000, 640, 360))
	_, two := measuredLadder(plain(520_000, 640, 360), plain(500_000, 640, 360))
	for _, v := range []View{{}, {Width: 320, Height: 180}, {Width: 1280, Height: 720}} {
		var c Chooser
		changes, last := 0, -1
		for now := time.Duration(0); now < 20*time.Second; now += 200 * ms {
			rungs := one
			if now/(200*ms)%2 == 1 {
				rungs = two
			}
			choice, _ := c.Choose(now, rungs, v, 0)
			if choice.Want.Encoding != last {
				changes++
				last = choice.Want.Encoding
			}
		}
		require.Equal(t, 1, changes, "%+v", v)
	}
}

func TestNothingIsChosenOfNothing(t *testing.T) {
	var c Chooser
	_, ok := c.Choose(0, nil, View{}, 0)
	require.False(t, ok)
	rungs, _ := New(3).Rungs()
	require.Empty(t, rungs)
}

func TestWantedAtOnceUnwantedAfterAWhile(t *testing.T) {
	w := NewWanted(2, true)
	settle := func(now time.Duration, want ...codec.Layer) (changed bool, next time.Duration) {
		w.Begin()
		for i, l := range want {
			if l != (codec.Layer{Spatial: 9}) {
				w.Want(i, l)
			}
		}
		changed, _, next = w.Settle(now)
		return changed, next
	}
	nobody := codec.Layer{Spatial: 9}
	all := codec.Everything
	told := func(i int) any {
		l, wanted := w.Told(i)
		if !wanted {
			return nil
		}
		return l
	}
	changed, next := settle(0, all, all)
	require.False(t, changed, "so it began")
	require.Zero(t, next)
	changed, next = settle(10*ms, all, nobody)
	require.False(t, changed)
	require.Equal(t, 410*ms, next)
	changed, next = settle(200*ms, all, all)
	require.False(t, changed)
	require.Zero(t, next)
	settle(300*ms, all, nobody)
	changed, next = settle(699*ms, all, nobody)
	require.False(t, changed)
	require.Equal(t, 700*ms, next)
	changed, next = settle(700*ms, all, nobody)
	require.True(t, changed)
	require.Zero(t, next)
	require.Equal(t, all, told(0))
	require.Nil(t, told(1))
	changed, _ = settle(960*ms, all, codec.Layer{Temporal: 1})
	require.True(t, changed, "at once")
	require.Equal(t, codec.Layer{Temporal: 1}, told(1))
	changed, _ = settle(1210*ms, codec.Layer{Spatial: 1, Temporal: 2}, codec.Layer{Temporal: 2})
	require.True(t, changed)
	require.Equal(t, all, told(0))
	require.Equal(t, codec.Layer{Temporal: 2}, told(1))
	changed, _ = settle(1610*ms, codec.Layer{Spatial: 1, Temporal: 2}, codec.Layer{Temporal: 2})
	require.True(t, changed)
	require.Equal(t, codec.Layer{Spatial: 1, Temporal: 2}, told(0))
}

func TestAllocatesNothing(t *testing.T) {
	l, _ := threeSizes()
	svc := layered(3, 3, 90_000, 320, 180)
	var c Chooser
	now := 3 * time.Second
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		now += 200 * ms
		l.Measure(now, 0, now, svc)
		rungs, _ := l.Rungs()
		c.Choose(now, rungs, View{Width: 300, Height: 200}, 0)
	}))
}

func BenchmarkChoose(b *testing.B) {
	for name, rates := range map[string][][]LayerRate{
		"simulcast": {plain(100_000, 320, 180), plain(400_000, 640, 360), plain(1_500_000, 1280, 720)},
		"svc":       {layered(3, 3, 90_000, 320, 180)},
	} {
		b.Run(name, func(b *testing.B) {
			_, rungs := measuredLadder(rates...)
			b.ReportAllocs()
			var c Chooser
			for b.Loop() {
				c.Choose(0, rungs, View{Width: 640, Height: 360}, 0)
			}
		})
	}
}

func BenchmarkMeasure(b *testing.B) {
	l, _ := threeSizes()
	rates := plain(100_000, 320, 180)
	b.ReportAllocs()
	now := 3 * time.Second
	for b.Loop() {
		for i := range 3 {
			l.Measure(now, i, now, rates)
		}
		l.Rungs()
	}
}

// TestRungsOfLayersThatDoNotBuildOnEachOther count what is sent of them: of a layer below, what is not its own.
func TestRungsOfLayersThatDoNotBuildOnEachOther(t *testing.T) {
	l := New(1)
	rates := []LayerRate{
		{Layer: codec.Layer{}, Bits: 100_000, Own: 90_000, Frames: 30, Width: 240, Height: 135},
		{Layer: codec.Layer{Spatial: 1}, Bits: 200_000, Own: 170_000, Frames: 30, Width: 480, Height: 270},
		{Layer: codec.Layer{Spatial: 2}, Bits: 400_000, Frames: 30, Width: 960, Height: 540},
	}
	for now := time.Second; now < 4*time.Second; now += 200 * time.Millisecond {
		l.Measure(now, 0, now, rates)
	}
	rungs, _ := l.Rungs()
	var bits []uint32
	for _, r := range rungs {
		bits = append(bits, r.Bits)
	}
	require.Equal(t, []uint32{100_000, 210_000, 440_000}, bits)
	_, _, _, shown := l.Shown(0, codec.Everything)
	require.EqualValues(t, 440_000, shown)
	_, _, _, shown = l.Shown(0, codec.Layer{Spatial: 1, Temporal: 7})
	require.EqualValues(t, 210_000, shown)
	l.Measure(6*time.Second, 0, 4*time.Second, nil)
	rungs, _ = l.Rungs()
	require.EqualValues(t, 440_000, rungs[2].Bits, "remembered as they were")
}
