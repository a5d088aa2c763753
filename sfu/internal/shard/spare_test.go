package shard

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/sfu/internal/ladder"
)

// TestTheEncodingBeforeStaysWanted: the publisher has had no room for its largest for a while. What the slot showed until then is
// there still when that room goes again; but not for ever, and not where it was the view that grew.
func TestTheEncodingBeforeStaysWanted(t *testing.T) {
	filming(t, []uint16{180, 360, 720}, func(b *bench, anna, boris *member, f *film) {
		f.obeys = true
		boris.watch(7, 360)
		b.run(3*time.Second, anna, boris)
		boris.watch(7, 720)
		b.run(2*time.Second, anna, boris)
		require.Equal(t, []bool{false, false, true}, b.told(7), "the view grew")

		boris.watch(7, 360)
		b.run(3*time.Second, anna, boris)
		f.encodings[2].broken = true
		boris.watch(7, 720)
		b.run(spareAfter+time.Second, anna, boris)
		require.EqualValues(t, 1, boris.saw[len(boris.saw)-1].mark)
		f.encodings[2].broken, f.encodings[2].key = false, true
		b.run(2*time.Second, anna, boris)
		require.EqualValues(t, 2, boris.saw[len(boris.saw)-1].mark)
		require.Equal(t, []bool{false, true, true}, b.told(7))
		n := len(boris.saw)
		f.encodings[2].broken = true
		b.run(stallAfter+2*fitInterval+100*time.Millisecond, anna, boris)
		require.Equal(t, []byte{1}, boris.marks(n)[len(boris.marks(n))-1:], "what never stopped needs a keyframe, and no start")

		f.encodings[2].broken, f.encodings[2].key = false, true
		b.run(keepSpare+3*time.Second, anna, boris)
		require.Equal(t, []bool{false, false, true}, b.told(7))
	})
}

// TestAnEncodingThatStopsBesideOthers is replaced sooner than one that stops with all others, which a hole of the network does.
func TestAnEncodingThatStopsBesideOthers(t *testing.T) {
	filming(t, []uint16{180, 360, 720}, func(b *bench, anna, boris *member, f *film) {
		boris.watch(7, 720)
		b.run(3*time.Second, anna, boris)
		n := len(boris.saw)
		for _, r := range f.encodings {
			r.broken = true
		}
		b.run(stallAfter+2*fitInterval, anna, boris)
		for _, r := range f.encodings {
			r.broken = false
		}
		b.run(time.Second, anna, boris)
		require.Equal(t, []byte{2}, boris.marks(n), "a hole")

		f.encodings[2].broken = true
		b.run(stallAfter+2*fitInterval, anna, boris)
		require.EqualValues(t, 1, boris.saw[len(boris.saw)-1].mark)
		require.Less(t, stallAfter+2*fitInterval, ladder.Silence+fitInterval)
	})
}

// TestAGrantKnowsWhatItFallsTo: the largest encoding below, of which the rungs are many.
func TestAGrantKnowsWhatItFallsTo(t *testing.T) {
	rungs := []*ladder.Rung{{Encoding: 0}, {Encoding: 1}, {Encoding: 2}}
	g := grant{most: rung{encoding: 2}}
	g.fallTo(rungs)
	require.True(t, g.falls)
	require.Equal(t, 1, g.below.encoding)
	g.most.encoding = 0
	g.fallTo(rungs[:1])
	require.False(t, g.falls, "there is nothing below the least")
}

// TestWhatIsLargerLasts: a larger encoding counts what it brought in the last seconds, what is shown what it brings now.
func TestWhatIsLargerLasts(t *testing.T) {
	sl := slot{grant: grant{shared: true, most: rung{encoding: 1}, bits: 500}}
	require.EqualValues(t, 1500, sl.lasts(&ladder.Rung{Encoding: 2, Bits: 600, Peak: 1500}))
	require.EqualValues(t, 400, sl.lasts(&ladder.Rung{Encoding: 1, Bits: 400, Peak: 800}))
	require.EqualValues(t, 100, sl.lasts(&ladder.Rung{Encoding: 0, Bits: 100, Peak: 800}))
}
