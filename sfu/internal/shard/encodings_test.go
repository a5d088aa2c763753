package shard

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/codec"
)

// filming is a publisher of a track with encodings of these heights, and a viewer who watches it.
func filming(t *testing.T, sizes []uint16, run func(b *bench, anna, boris *member, f *film)) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer b.close()
		anna, boris := b.member(1, 0), b.viewer(2, codec.VP8)
		f := anna.films(7, sizes...)
		run(b, anna, boris, f)
		st, ok := b.shard.Stats()
		require.True(t, ok)
		require.Zero(t, st.Faults)
	})
}

// TestASlotFollowsItsView: the encoding that fills the view within a keyframe, the old one until then, no seam.
func TestASlotFollowsItsView(t *testing.T) {
	for name, sizes := range map[string][]uint16{
		"in order":                     {180, 360, 720},
		"the largest is called a":      {720, 360, 180},
		"the largest is in the middle": {360, 720, 180},
	} {
		t.Run(name, func(t *testing.T) {
			filming(t, sizes, func(b *bench, anna, boris *member, f *film) {
				at := func(height uint16) byte {
					for _, r := range f.encodings {
						if r.height == height {
							return r.mark
						}
					}
					return 255
				}
				boris.watch(7, 0)
				b.run(3*time.Second, anna, boris)
				require.Equal(t, at(720), boris.marks(0)[len(boris.marks(0))-1])
				for _, step := range []struct {
					lines  uint32
					shows  uint16
					within time.Duration
				}{
					{180, 180, 1200 * time.Millisecond}, // a second of patience, and the keyframe
					{360, 360, 700 * time.Millisecond},  // at once, but two keyframes a second at most
					{720, 720, 200 * time.Millisecond},
					{200, 180, 1200 * time.Millisecond},
					{1080, 720, 200 * time.Millisecond},
				} {
					boris.watch(7, step.lines)
					asked := anna.asked
					b.run(step.within, anna, boris)
					require.Equal(t, at(step.shows), boris.saw[len(boris.saw)-1].mark, "%+v", step)
					require.Equal(t, asked+1, anna.asked, "one keyframe for %+v", step)
					n := len(boris.saw)
					b.run(time.Second, anna, boris)
					require.Equal(t, []byte{at(step.shows)}, boris.marks(n))
				}
				boris.requireSeamless(70 * time.Millisecond)
				layer := b.lastLayer(2)
				require.EqualValues(t, 1280, layer.Width)
				require.EqualValues(t, 720, layer.Height)
				require.EqualValues(t, at(720), layer.Encoding)
				require.Equal(t, Limit(3), layer.Limit, "the publisher has no 1080 lines")
			})
		})
	}
}

// TestASilentEncodingIsReplaced: the publisher stops its largest encoding, for whatever reason, and takes it up again.
func TestASilentEncodingIsReplaced(t *testing.T) {
	filming(t, []uint16{180, 360, 720}, func(b *bench, anna, boris *member, f *film) {
		boris.watch(7, 720)
		b.run(3*time.Second, anna, boris)
		n := len(boris.saw)
		f.encodings[2].broken = true
		b.run(1200*time.Millisecond, anna, boris)
		require.Equal(t, []byte{1}, boris.marks(n))
		require.Equal(t, Limit(3), b.lastLayer(2).Limit)
		require.EqualValues(t, 360, b.lastLayer(2).Height)
		n = len(boris.saw)
		f.encodings[2].broken, f.encodings[2].key = false, true
		b.run(400*time.Millisecond, anna, boris)
		require.Equal(t, []byte{1, 2}, boris.marks(n))
		boris.requireSeamless(time.Second)
	})
}

// TestNobodyWatches: a publisher hears within a second, and when somebody comes he has a picture as soon as a keyframe is there.
func TestNobodyWatches(t *testing.T) {
	filming(t, []uint16{180, 360, 720}, func(b *bench, anna, boris *member, f *film) {
		f.obeys = true
		b.run(600*time.Millisecond, anna, boris)
		require.Equal(t, []bool{false, false, false}, b.told(7))
		b.run(5*time.Second, anna, boris)
		require.Empty(t, boris.saw)

		boris.watch(7, 0)
		b.run(150*time.Millisecond, anna, boris)
		require.Equal(t, []bool{false, false, true}, b.told(7), "what it was known to bring before")
		require.Equal(t, []byte{2}, boris.marks(0))
		b.run(2*time.Second, anna, boris)

		boris.watch(7, 180)
		b.run(1800*time.Millisecond, anna, boris)
		require.Equal(t, []bool{true, false, false}, b.told(7))
		require.Equal(t, []byte{2, 0}, boris.marks(0))

		boris.watch(7, 360)
		b.run(150*time.Millisecond, anna, boris)
		require.Equal(t, []byte{2, 0, 1}, boris.marks(0))
		b.run(time.Second, anna, boris)
		require.Equal(t, []bool{false, true, false}, b.told(7))
		boris.requireSeamless(120 * time.Millisecond)

		tellings := b.tellings
		b.shard.Post(Assign{ID: 2, Slot: 0})
		b.run(time.Second, anna, boris)
		require.Equal(t, []bool{false, false, false}, b.told(7))
		require.Equal(t, tellings+1, b.tellings)
		st, _ := b.shard.Stats()
		require.Positive(t, st.EncodingsPaused)
		require.Positive(t, st.LayerSwitches)
		require.Positive(t, st.HistoryBytes)
		require.Equal(t, 3+2, st.Uplinks)
		require.Equal(t, 1+2, st.Tracks)
	})
}

// TestAShortAbsenceStopsNothing: a slot that turns away and back within 400 ms costs no word to the publisher.
func TestAShortAbsenceStopsNothing(t *testing.T) {
	filming(t, []uint16{180}, func(b *bench, anna, boris *member, f *film) {
		boris.watch(7, 0)
		b.run(2*time.Second, anna, boris)
		for range 5 {
			b.shard.Post(Assign{ID: 2, Slot: 0})
			b.run(300*time.Millisecond, anna, boris)
			boris.watch(7, 0)
			b.run(300*time.Millisecond, anna, boris)
		}
		require.Nil(t, b.told(7))
	})
}

// TestAnUnseenEncodingIsWantedWhereMoreIsWanted: the publisher has not sent its largest yet. Who watches a thumbnail does
// not need it; who watches in full does.
func TestAnUnseenEncodingIsWantedWhereMoreIsWanted(t *testing.T) {
	filming(t, []uint16{180, 720}, func(b *bench, anna, boris *member, f *film) {
		f.obeys, f.encodings[1].broken = true, true
		boris.watch(7, 180)
		b.run(2*time.Second, anna, boris)
		require.Equal(t, []bool{true, false}, b.told(7))
		boris.watch(7, 720)
		b.run(100*time.Millisecond, anna, boris)
		require.Equal(t, []bool{true, true}, b.told(7))
		f.encodings[1].broken = false
		b.run(300*time.Millisecond, anna, boris)
		require.Equal(t, []byte{0, 1}, boris.marks(0))
		b.run(time.Second, anna, boris)
		require.Equal(t, []bool{false, true}, b.told(7))
	})
}

// TestANewTrackThatSendsNothingShowsNobody: the slot was another's and has the new one's name. It goes on for a second.
func TestANewTrackThatSendsNothingShowsNobody(t *testing.T) {
	filming(t, []uint16{180}, func(b *bench, anna, boris *member, f *film) {
		other := anna.films(8, 180)
		boris.watch(7, 0)
		b.run(time.Second, anna, boris)
		other.encodings[0].broken = true
		b.run(time.Second, anna, boris)
		n := len(boris.saw)
		boris.watch(8, 0)
		b.run(500*time.Millisecond, anna, boris)
		require.Greater(t, len(boris.saw), n+10, "the picture before goes on for a moment")
		b.run(600*time.Millisecond, anna, boris)
		n = len(boris.saw)
		b.run(time.Second, anna, boris)
		require.Equal(t, n, len(boris.saw))
		other.encodings[0].broken, other.encodings[0].key = false, true
		other.encodings[0].mark = 9
		b.run(200*time.Millisecond, anna, boris)
		require.Equal(t, []byte{9}, boris.marks(n))
	})
}

// TestLayersAreToldOnChangeOnly, and not more often than four times a second.
func TestLayersAreToldOnChangeOnly(t *testing.T) {
	filming(t, []uint16{180, 360, 720}, func(b *bench, anna, boris *member, f *film) {
		boris.watch(7, 720)
		b.run(3*time.Second, anna, boris)
		n := len(b.layersAt[2])
		require.Less(t, n, 4)
		b.run(5*time.Second, anna, boris)
		require.Len(t, b.layersAt[2], n)
		for range 60 {
			f.encodings[2].broken = !f.encodings[2].broken
			f.encodings[2].key = true
			b.run(800*time.Millisecond, anna, boris)
		}
		for i := 1; i < len(b.layersAt[2]); i++ {
			require.GreaterOrEqual(t, b.layersAt[2][i].Sub(b.layersAt[2][i-1]), tellInterval)
		}
		require.Greater(t, len(b.layersAt[2]), n+40)
	})
}

// TestAThumbnailTakesFewerPictures: of three temporal layers the two lower ones, 15 pictures a second, and the publisher
// hears that nobody takes the third. The numbers have no hole.
func TestAThumbnailTakesFewerPictures(t *testing.T) {
	filming(t, []uint16{180}, func(b *bench, anna, boris *member, f *film) {
		f.encodings[0].layered = true
		boris.watch(7, 180)
		b.run(3*time.Second, anna, boris)
		n := len(boris.saw)
		b.run(2*time.Second, anna, boris)
		require.InDelta(t, 60, len(boris.saw)-n, 2)
		require.Nil(t, b.told(7))

		boris.watch(7, 100)
		b.run(1500*time.Millisecond, anna, boris) // patience, and 400 ms until the publisher hears
		n = len(boris.saw)
		b.run(2*time.Second, anna, boris)
		require.InDelta(t, 30, len(boris.saw)-n, 2)
		require.Equal(t, []EncodingWanted{{RID: "a", Wanted: true, Layer: codec.Layer{Spatial: 255, Temporal: 1}}}, b.wanted[7])
		require.Equal(t, codec.Layer{Temporal: 1}, b.lastLayer(2).Layer)

		asked := anna.asked
		boris.watch(7, 180)
		b.run(300*time.Millisecond, anna, boris)
		n = len(boris.saw)
		b.run(2*time.Second, anna, boris)
		require.InDelta(t, 60, len(boris.saw)-n, 2)
		require.Equal(t, codec.Everything, b.wanted[7][0].Layer)
		require.Equal(t, codec.Layer{Temporal: 2}, b.lastLayer(2).Layer)
		require.Equal(t, asked, anna.asked, "it comes by itself at the next place to switch up")
		boris.requireSeamless(70 * time.Millisecond)
	})
}

// TestAnEncodingWithoutItsFirstKeyframeIsLearned: of the largest nothing but what came before the keys began with a
// keyframe, and its publisher was told to stop it before anybody wanted it.
func TestAnEncodingWithoutItsFirstKeyframeIsLearned(t *testing.T) {
	filming(t, []uint16{180, 360, 720}, func(b *bench, anna, boris *member, f *film) {
		f.obeys, f.dumb = true, true
		for _, r := range f.encodings {
			r.size = 500 // all bring as little
		}
		f.encodings[2].key = false
		boris.watch(7, 180)
		b.run(2*time.Second, anna, boris)
		require.Equal(t, []bool{true, false, false}, b.told(7))
		require.Zero(t, anna.asked, "a thumbnail needs nothing of the largest")
		boris.watch(7, 720)
		b.run(600*time.Millisecond, anna, boris)
		require.EqualValues(t, 2, boris.saw[len(boris.saw)-1].mark)
		b.run(time.Second, anna, boris)
		require.EqualValues(t, 720, b.lastLayer(2).Height)
		require.Equal(t, []bool{false, false, true}, b.told(7))
		require.LessOrEqual(t, anna.asked, 3, "to learn its size, to enter it, and one of the middle encoding meanwhile")
	})
}

// TestWhoComesAndGoesIsNotPassedOn: two viewers with other views each, ten times a second; and then one in full, who has his
// picture after the word to the publisher and its keyframe.
func TestWhoComesAndGoesIsNotPassedOn(t *testing.T) {
	filming(t, []uint16{180, 360, 720}, func(b *bench, anna, boris *member, f *film) {
		f.obeys = true
		clara := b.viewer(3, codec.VP8)
		b.run(3*time.Second, anna, boris, clara)
		tellings, asked := b.tellings, anna.asked
		for i := range 100 {
			for k, m := range []*member{boris, clara} {
				if i%2 == k {
					m.watch(7, []uint32{180, 360}[k])
				} else {
					b.shard.Post(Assign{ID: m.id, Slot: 0})
				}
			}
			b.run(99*time.Millisecond, anna, boris, clara)
		}
		require.LessOrEqual(t, b.tellings-tellings, 3, "nothing is off for 400 ms")
		require.LessOrEqual(t, anna.asked-asked, 2*2*10, "two keyframes a second of each")
		for i := range 40 {
			m := []*member{boris, clara}[i%2]
			m.watch(7, []uint32{180, 720, 360}[i%3])
			b.run(66*time.Millisecond, anna, boris, clara)
			b.shard.Post(Assign{ID: m.id, Slot: 0})
			b.run(462*time.Millisecond, anna, boris, clara)
		}
		require.LessOrEqual(t, b.tellings-tellings, 3+4*21)
		b.run(2*time.Second, anna, boris, clara)
		require.Equal(t, []bool{false, false, false}, b.told(7))
		n := len(boris.saw)
		boris.watch(7, 720)
		b.run(99*time.Millisecond, anna, boris, clara)
		require.Equal(t, []byte{2}, boris.marks(n))
	})
}
