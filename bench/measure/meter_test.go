package measure

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

const (
	millisecond = time.Millisecond
	frameTime   = time.Second / 25 // 40 ms, a whole number of everything
)

func video(c VideoConfig) *VideoMeter {
	c.FPS, c.Width, c.Height, c.Codec = 25, 1280, 720, "VP8"
	return NewVideo(c)
}

// frameAt gives a frame of one packet, sent at i × 40 ms, that was on its way for delay.
func frameAt(m *VideoMeter, i int, delay time.Duration) {
	sent := time.Duration(i) * frameTime
	m.Packet(sent+delay, uint16(i), 1000, uint32(i)*3600, false)
	m.Frame(sent+delay, Frame{
		Stamped: true, Sent: sent, ID: uint32(i), Keyframe: i == 0, Width: 1280, Height: 720, Bytes: 4000, Decodable: true,
	})
}

func TestAPerfectStream(t *testing.T) {
	m := video(VideoConfig{})
	for i := range 250 {
		frameAt(m, i, 20*millisecond)
	}
	s := m.Stream(10*time.Second + 20*millisecond)
	require.Equal(t, Loss{Expected: 250}, s.Loss)
	require.Equal(t, 10.0, s.Seconds)
	require.Equal(t, 250.0*8000/10, s.Bitrate)
	require.Equal(t, Distribution{250, 20, 20, 20, 20, 20, 20}, s.Delay)
	require.Equal(t, s.Delay, s.Played)
	require.Zero(t, s.Jitter)
	require.InDelta(t, 25, s.Picture.FPS, 1e-9)
	require.Zero(t, s.Picture.Freezes)
	require.Zero(t, s.Picture.FrozenSeconds)
	require.Equal(t, int64(250), s.Picture.Frames)
	require.Len(t, s.Slices, 11)
	require.Equal(t, Slice{
		At: 4, Packets: 25, Bitrate: 200_000, DelayP50: 20, DelayP95: 20, DelayMax: 20, FPS: 25,
	}, s.Slices[4])
}

func TestLatest(t *testing.T) {
	m, a := video(VideoConfig{}), NewAudio(AudioConfig{})
	none, _ := m.Latest(time.Second)
	require.Zero(t, none)
	for i := range 100 {
		frameAt(m, i, 20*millisecond)
		a.Packet(time.Duration(i)*20*millisecond, uint16(2*i), 100, 0, false)
	}
	s, _ := m.Latest(3990 * millisecond)
	require.Equal(t, Slice{At: 2, Packets: 25, Bitrate: 200_000, DelayP50: 20, DelayP95: 20, DelayMax: 20, FPS: 25}, s)
	require.Equal(t, m.Stream(3990 * millisecond).Slices[2], s)
	_, loss := a.Latest(2 * time.Second)
	require.Equal(t, int64(199), loss.Expected)
}

func TestEvery50thPacketDropped(t *testing.T) {
	m := NewAudio(AudioConfig{})
	for i := range 5000 {
		if i%50 == 25 {
			continue
		}
		// Past 65535 on the way.
		m.Packet(time.Duration(i)*20*millisecond, uint16(64_000+i), 100, uint32(i)*960, false)
	}
	s := m.Stream(100 * time.Second)
	require.Equal(t, int64(5000), s.Loss.Expected)
	require.Equal(t, int64(4900), s.Packets)
	require.Equal(t, 0.02, s.Loss.Before)
	require.Equal(t, 0.02, s.Loss.After)
	require.Zero(t, s.Loss.Reordered+s.Loss.Duplicates+s.Loss.Repaired)
	for _, slice := range s.Slices {
		require.Equal(t, 0.02, slice.LossShare, "at %v", slice.At)
	}
	require.Equal(t, 0.02, m.voice(s, s.Sound).Loss, "without a playout buffer, loss stands for concealment")
}

func TestDelayOf80msAdded(t *testing.T) {
	m := video(VideoConfig{})
	for i := range 250 {
		delay := 20 * millisecond
		if i >= 125 {
			delay += 80 * millisecond
		}
		frameAt(m, i, delay)
	}
	s := m.Stream(10 * time.Second)
	require.Equal(t, 60.0, s.Delay.Mean)
	require.InEpsilon(t, 20, s.Delay.P50, 0.001)
	require.Equal(t, 100.0, s.Delay.P95)
	require.Equal(t, 100.0, s.Delay.Max)
	require.Equal(t, 20.0, s.Slices[2].DelayP95)
	require.Equal(t, 100.0, s.Slices[8].DelayP50)
	require.Zero(t, s.Picture.Freezes, "one gap of 120 ms is none")
}

func TestDelayOfTwoClocks(t *testing.T) {
	m := video(VideoConfig{})
	frameAt(m, 1, -5*millisecond)
	negative, over := m.Histograms().Delay.Clamped()
	require.Equal(t, []int64{1, 0}, []int64{negative, over})
	require.Zero(t, m.Stream(time.Second).Delay.Max)
}

func TestJitter(t *testing.T) {
	m := NewAudio(AudioConfig{})
	m.Packet(0, 1, 100, 0, false)
	m.Packet(36*millisecond, 2, 100, 960, false) // 16 ms late
	require.InDelta(t, 1, m.Stream(time.Second).Jitter, 1e-6, "RFC 3550: a sixteenth of the difference")
	m.Packet(40*millisecond, 3, 100, 1920, false)
	require.InDelta(t, 1+(16.0-1)/16, m.Stream(time.Second).Jitter, 1e-6)
}

func TestReorderDuplicatesRepair(t *testing.T) {
	m := video(VideoConfig{})
	take := func(seq uint16, repaired bool) { m.Packet(0, seq, 10, 0, repaired) }
	for _, seq := range []uint16{65534, 0, 65535, 1} { // 65535 overtaken
		take(seq, false)
	}
	take(1, false)     // twice
	take(6, false)     // 2, 3, 4, 5 missing
	take(3, true)      // repaired
	take(4, true)      // repaired, and then
	take(4, false)     // it came after all
	take(3, true)      // repaired twice
	take(65533, false) // before the first
	s := m.Stream(time.Second)
	require.Equal(t, Loss{
		Expected: 10, Before: 0.3, After: 0.2, Repaired: 1, Duplicates: 3, Reordered: 3,
	}, s.Loss)
	require.Equal(t, int64(8), s.Packets)
	require.Equal(t, int64(80), s.Bytes)
	require.InDelta(t, 0.2, s.Slices[0].LossShare, 1e-9)
}

// Lost in one second, repaired in the next: the second that it was due in has it.
func TestRepairGoesToTheSecondItWasDueIn(t *testing.T) {
	m := video(VideoConfig{})
	m.Packet(0, 0, 10, 0, false)
	m.Packet(900*millisecond, 3, 10, 0, false) // 1, 2 missing
	m.Packet(1100*millisecond, 4, 10, 0, false)
	m.Packet(3100*millisecond, 5, 10, 0, false)
	m.Packet(3200*millisecond, 1, 10, 0, true)
	s := m.Stream(4 * time.Second)
	require.Equal(t, []float64{0.25, 0, 0, 0}, losses(s))
	require.Equal(t, int64(2), s.Slices[3].Packets)
	m.Packet(3300*millisecond, 2, 10, 0, true)
	require.Equal(t, []float64{0, 0, 0, 0}, losses(m.Stream(4*time.Second)))
}

func losses(s Stream) []float64 {
	var all []float64
	for _, slice := range s.Slices {
		all = append(all, slice.LossShare)
	}
	return all
}

func TestSequencesOfTheirOwn(t *testing.T) {
	m := video(VideoConfig{})
	for i := range 10 {
		m.Packet(0, uint16(i), 10, 0, false)
	}
	m.NewSequence()
	for i := range 10 {
		m.Packet(time.Second, uint16(40_000+2*i), 10, 0, false) // every other one lost
	}
	m.Packet(time.Second, 39_999, 10, 0, false)
	s := m.Stream(2 * time.Second)
	require.Equal(t, int64(10+20), s.Loss.Expected)
	require.Equal(t, int64(21), s.Packets)
	require.Equal(t, []float64{0, 9.0 / 20}, losses(s))
}

func TestABeginningAnewIsNoLoss(t *testing.T) {
	m := video(VideoConfig{})
	m.Packet(0, 100, 10, 0, false)
	m.Packet(0, 30_000, 10, 0, false) // alone: a stray
	m.Packet(0, 101, 10, 0, false)
	require.Equal(t, int64(2), m.Stream(time.Second).Loss.Expected)
	m.Packet(0, 30_000, 10, 0, false)
	m.Packet(0, 30_001, 10, 0, false) // confirmed
	m.Packet(0, 30_002, 10, 0, false)
	require.Equal(t, Loss{Expected: 4}, m.Stream(time.Second).Loss)
}

func TestAnOutageIsLoss(t *testing.T) {
	m := video(VideoConfig{})
	m.Packet(0, 0, 10, 0, false)
	m.Packet(time.Second, 10_000, 10, 0, false)
	require.Equal(t, int64(10_001), m.Stream(time.Second).Loss.Expected)
}

// Whatever order, loss, copies and repairs: each number is counted exactly once.
func TestEveryNumberIsCountedOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := video(VideoConfig{})
		first := rapid.IntRange(0, 65535).Draw(t, "first")
		n := rapid.IntRange(1, 300).Draw(t, "numbers")
		type arrival struct {
			number   int
			repaired bool
		}
		var all []arrival
		fates := rapid.SliceOfN(rapid.SampledFrom([]string{"came", "came", "came", "lost", "repaired", "twice"}), n, n).Draw(t, "fates")
		for i, fate := range fates {
			switch fate {
			case "came":
				all = append(all, arrival{i, false})
			case "repaired":
				all = append(all, arrival{i, true})
			case "twice":
				all = append(all, arrival{i, false}, arrival{i, true})
			}
		}
		all = rapid.Permutation(all).Draw(t, "order")
		seen := map[int]bool{}
		low, high := n, -1
		for i, a := range all {
			m.Packet(time.Duration(i)*30*millisecond, uint16(first+a.number), 1, 0, a.repaired)
			seen[a.number] = true
			low, high = min(low, a.number), max(high, a.number)
		}
		s := m.Stream(time.Duration(len(all)) * 30 * millisecond)
		if len(all) == 0 {
			require.Zero(t, s.Loss)
			return
		}
		repaired, twice := 0, 0
		for _, fate := range fates[low : high+1] {
			repaired += count(fate == "repaired")
			twice += count(fate == "twice")
		}
		require.Equal(t, int64(high-low+1), s.Loss.Expected)
		require.Equal(t, int64(len(seen)), s.Packets)
		require.Equal(t, int64(repaired), s.Loss.Repaired)
		require.Equal(t, int64(twice), s.Loss.Duplicates)
		lost := s.Loss.Expected - s.Packets
		require.InDelta(t, float64(lost), s.Loss.After*float64(s.Loss.Expected), 1e-6)
		require.InDelta(t, float64(lost+s.Loss.Repaired), s.Loss.Before*float64(s.Loss.Expected), 1e-6)
		var packets int64
		for _, slice := range s.Slices {
			packets += slice.Packets
			require.GreaterOrEqual(t, slice.LossShare, 0.0)
			require.LessOrEqual(t, slice.LossShare, 1.0)
		}
		require.Equal(t, s.Packets, packets)
	})
}

func TestFreezeOf2s(t *testing.T) {
	m := video(VideoConfig{})
	for i := range 300 {
		if i < 100 || i >= 150 { // shown at 3.96 s, then at 6 s
			frameAt(m, i, 0)
		}
	}
	s := m.Stream(12 * time.Second)
	require.Equal(t, int64(1), s.Picture.Freezes)
	require.InDelta(t, 2.04, s.Picture.FrozenSeconds, 1e-9)
	shown, squares := 299*0.04, 248*0.04*0.04+2.04*2.04
	require.InDelta(t, shown/squares, s.Picture.FPS, 1e-9)
	frozen := []float64{}
	for _, slice := range s.Slices {
		frozen = append(frozen, slice.Frozen)
	}
	require.InDeltaSlice(t, []float64{0, 0, 0, 0.04, 1, 1, 0, 0, 0, 0, 0, 0}, frozen, 1e-9)
	require.Zero(t, s.Slices[4].FPS)
	require.InDelta(t, 50.0/300, s.Loss.After, 1e-9)
	require.InDelta(t, 50.0/75, s.Slices[6].LossShare, 1e-9, "the gap is seen when a packet comes again")
}

// A frame that came and then waited for an earlier one: the wait is none of the network's.
func TestAFrameThatWaitsForAnother(t *testing.T) {
	m := video(VideoConfig{})
	m.Frame(100*millisecond, Frame{Stamped: true, Sent: 10 * millisecond, Arrived: 30 * millisecond, Decodable: true})
	s := m.Stream(time.Second)
	require.Equal(t, Distribution{1, 20, 20, 20, 20, 20, 20}, s.Delay)
	require.Equal(t, Distribution{1, 70, 70, 70, 70, 70, 70}, s.Buffered)
	require.Equal(t, Distribution{1, 90, 90, 90, 90, 90, 90}, s.Played)
}

func TestWhenAGapIsAFreeze(t *testing.T) {
	for _, c := range []struct {
		every, gap time.Duration
		freeze     int64
	}{
		{40 * millisecond, 189 * millisecond, 0}, // average + 150 ms rules
		{40 * millisecond, 190 * millisecond, 1},
		{100 * millisecond, 299 * millisecond, 0}, // three averages rule
		{100 * millisecond, 300 * millisecond, 1},
	} {
		m := video(VideoConfig{})
		var now time.Duration
		for range 60 {
			m.Frame(now, Frame{Decodable: true})
			now += c.every
		}
		now += c.gap - c.every
		m.Frame(now, Frame{Decodable: true})
		require.Equal(t, c.freeze, m.Stream(now).Picture.Freezes, "%v after every %v", c.gap, c.every)
	}
}

func TestAFreezeThatGoesOn(t *testing.T) {
	m := video(VideoConfig{})
	for i := range 26 {
		frameAt(m, i, 0)
	}
	before := m.Stream(time.Second)
	s := m.Stream(4 * time.Second)
	require.Equal(t, int64(1), s.Picture.Freezes)
	require.Equal(t, 3.0, s.Picture.FrozenSeconds)
	require.Equal(t, 1.0, s.Slices[3].Frozen)
	require.Empty(t, cmp.Diff(before, m.Stream(time.Second)), "asking changes nothing")
}

func TestPausesAreNoFreezes(t *testing.T) {
	m := video(VideoConfig{})
	for i := range 26 {
		frameAt(m, i, 0)
	}
	m.Pause(time.Second)
	require.Zero(t, m.Stream(10*time.Second).Picture.Freezes)
	m.Resume(10 * time.Second)
	m.Frame(10*time.Second+100*millisecond, Frame{Decodable: true})
	s := m.Stream(10*time.Second + 100*millisecond)
	require.Zero(t, s.Picture.Freezes)
	require.InDelta(t, 1.1/(25*0.04*0.04+0.01), s.Picture.FPS, 1e-9)

	m.Pause(11 * time.Second)
	require.Equal(t, int64(1), m.Stream(11*time.Second).Picture.Freezes, "900 ms before the pause")
	m.Frame(20*time.Second, Frame{Decodable: true})
	require.Equal(t, int64(1), m.Stream(20*time.Second).Picture.Freezes, "a frame ends a pause")
}

func TestPausesAreNotMeasured(t *testing.T) {
	a, v := NewAudio(AudioConfig{}), NewVideo(VideoConfig{})
	both := func(pause bool, at time.Duration) {
		if pause {
			a.Pause(at)
			v.Pause(at)
			return
		}
		a.Resume(at)
		v.Resume(at)
	}
	both(true, 0)
	both(false, time.Second) // before the first packet: nothing is left out twice
	for i := range 100 {
		at := 2*time.Second + time.Duration(i)*20*millisecond
		a.Packet(at, uint16(i), 100, 0, false)
		v.Packet(at, uint16(i), 100, 0, false)
	}
	both(true, 4*time.Second)
	both(true, 5*time.Second)
	require.Equal(t, 2.0, a.Stream(9*time.Second).Seconds)
	both(false, 10*time.Second)
	for _, s := range []Stream{a.Stream(12 * time.Second), v.Stream(12 * time.Second)} {
		require.Equal(t, 4.0, s.Seconds)
		require.Equal(t, 10_000.0*8/4, s.Bitrate)
	}
}

func TestKeyframesLayersAndSize(t *testing.T) {
	m := video(VideoConfig{})
	m.NeedKeyframe(0)
	m.NeedKeyframe(200 * millisecond)
	m.Frame(300*millisecond, Frame{Bytes: 100})
	m.Frame(400*millisecond, Frame{Keyframe: true, Decodable: true, Width: 640, Height: 360, Layer: 1})
	m.Frame(440*millisecond, Frame{Decodable: true, Layer: 1})
	m.Frame(480*millisecond, Frame{Keyframe: true, Decodable: true, Width: 1280, Height: 720, Layer: 2})
	m.Frame(520*millisecond, Frame{Keyframe: true, Decodable: true, Width: 640, Height: 360, Layer: 1})
	m.NeedKeyframe(600 * millisecond)
	p := m.Stream(time.Second).Picture
	require.Equal(t, int64(2), p.KeyframeWait.Count)
	require.Equal(t, 400.0, p.KeyframeWait.Max, "the second is still waited for")
	require.Equal(t, int64(2), p.LayerSwitches)
	require.Equal(t, int64(2), m.Stream(time.Second).Switches)
	require.Equal(t, []int{640, 360}, []int{p.Width, p.Height})
	require.Equal(t, []int64{4, 1}, []int64{p.Frames, p.Undecodable})
}

// Where frames are not put together, layers are told by the packets that were looked into.
func TestLayersOfHeaders(t *testing.T) {
	m := video(VideoConfig{Headers: true})
	for _, layer := range []int{2, 2, 0, 1, 1, 2} {
		m.Layer(layer)
	}
	s := m.Stream(time.Second)
	require.Nil(t, s.Picture)
	require.Equal(t, int64(3), s.Switches)
	totals := Totals{}
	totals.AddStream(s, m.Histograms())
	totals.AddStream(s, m.Histograms())
	require.Equal(t, int64(6), totals.Summary(Video).Switches)
}

func TestWrongSender(t *testing.T) {
	m := video(VideoConfig{Of: Of{Stamp: 7}})
	for i := range 10 {
		m.Packet(0, uint16(i), 10, 0, false)
		m.Frame(0, Frame{Stamped: true, Sender: uint32(7 + i%5/4), Decodable: true})
	}
	s := m.Stream(time.Second)
	require.Equal(t, int64(2), s.Wrong)
	require.Equal(t, int64(8), s.Picture.Frames)
	require.Equal(t, int64(8), s.Delay.Count)

	a := NewAudio(AudioConfig{Of: Of{Stamp: 7}})
	a.Stamped(0, 0, 8)
	a.Stamped(time.Second, 0, 7)
	require.Equal(t, int64(1), a.Stream(time.Second).Wrong)
	require.Equal(t, 1000.0, a.Stream(time.Second).Delay.Max)
}

func TestConcealment(t *testing.T) {
	m := NewAudio(AudioConfig{})
	const pull = 480 // 10 ms
	for i := range 1000 {
		now := time.Duration(i) * 10 * millisecond
		p := Played{Samples: pull, Stamped: true, Sent: now - 120*millisecond, Waited: 60 * millisecond}
		switch {
		case i%100 >= 96: // 40 ms a second
			p = Played{Samples: pull, Concealed: pull}
		case i == 10:
			p.Accelerated = 240
		case i == 20:
			p.Expanded = 240
		case i == 30:
			p = Played{Samples: pull, Silent: pull}
		}
		if i%2 == 0 {
			m.Packet(now, uint16(i/2), 92, uint32(i)*pull, false)
		}
		m.Played(now, p)
	}
	m.Late()
	s := m.Stream(10 * time.Second)
	require.Equal(t, 0.04, s.Sound.Concealed)
	require.Equal(t, int64(10), s.Sound.Events)
	require.Equal(t, 240.0/480_000, s.Sound.Accelerated)
	require.Equal(t, 240.0/480_000, s.Sound.Expanded)
	require.Equal(t, 1.0/500, s.Sound.Late)
	require.Equal(t, 120.0, s.Played.P99)
	require.Equal(t, 60.0, s.Buffered.Mean)
	require.Equal(t, 0.04, s.Slices[5].Concealed)
	want := Voice{
		Band: Fullband, Ie: OpusIe(32_000), Bpl: OpusBpl, Loss: 0.04, Burst: 2 * 0.96,
		Delay: 120*millisecond + 20*millisecond + OpusLookahead,
	}
	require.Empty(t, cmp.Diff(want, m.voice(s, s.Sound)))
	require.Equal(t, want.MOS(), s.Sound.MOS)

	m.Pause(10 * time.Second)
	m.Played(10*time.Second, Played{Samples: pull, Concealed: pull})
	m.Resume(10 * time.Second)
	require.Equal(t, 0.04, m.Stream(10*time.Second).Sound.Concealed)
}

func TestNothingCame(t *testing.T) {
	a := NewAudio(AudioConfig{Of: Of{Due: time.Second}}).Stream(3 * time.Second)
	require.Equal(t, 2.0, a.Seconds)
	require.Equal(t, 1.0, a.Sound.MOS)
	v := video(VideoConfig{}).Stream(time.Second)
	require.Equal(t, 1.0, v.Picture.Score)
	require.Empty(t, v.Slices)
}

func TestLipSync(t *testing.T) {
	for _, skew := range []time.Duration{0, 120 * millisecond, -45 * millisecond} {
		l := NewLipSync()
		a, v := NewAudio(AudioConfig{LipSync: l}), video(VideoConfig{LipSync: l})
		for now := time.Duration(0); now < 20*time.Second; now += millisecond {
			// Sound is pulled every 10 ms, 100 ms + skew after it was sent; pictures are shown 100 ms after.
			if sent := now - 100*millisecond - skew; sent >= 0 && sent%(10*millisecond) == 0 {
				a.Played(now, Played{Samples: 480, Stamped: true, Sent: sent})
			}
			if sent := now - 100*millisecond; sent >= 0 && sent%(33*millisecond) == 0 {
				v.Frame(now, Frame{Stamped: true, Sent: sent, Decodable: true})
			}
		}
		d := a.Stream(20 * time.Second).Sound.LipSync
		require.Greater(t, d.Count, int64(590), "%v", skew)
		require.InDelta(t, ms(skew), d.P50, 0.1)
		require.InDelta(t, ms(skew), d.P99, 0.1)
		require.InDelta(t, ms(skew), d.Mean, 0.001)
	}
}

func TestLipSyncIsNotGuessedAcrossHoles(t *testing.T) {
	l := NewLipSync()
	l.sound(0, 100*millisecond)
	l.sound(300*millisecond, 400*millisecond)
	l.picture(150*millisecond, 250*millisecond)
	l.picture(310*millisecond, 410*millisecond)
	l.sound(600*millisecond, 700*millisecond)
	require.Zero(t, l.Distribution().Count)
	for i := range 10 * soundPoints {
		l.picture(time.Duration(i+1)*time.Hour, 0)
	}
	require.Len(t, l.pictures, picturePoints)
}

func TestMetersDoNotAllocate(t *testing.T) {
	l := NewLipSync()
	a, v := NewAudio(AudioConfig{LipSync: l}), video(VideoConfig{LipSync: l})
	i := 0
	feed := func() {
		now := time.Duration(i) * 10 * time.Microsecond // within a second: the timeline grows by one entry a second
		sent := now - time.Duration(i%7)*millisecond
		a.Packet(now, uint16(i), 100, uint32(i)*480, i%9 == 0)
		a.Stamped(now, sent, 0)
		a.Played(now, Played{Samples: 480, Stamped: true, Sent: sent, Waited: millisecond})
		v.Packet(now, uint16(i), 1000, uint32(i)*900, false)
		v.Frame(now, Frame{Stamped: true, Sent: sent, Width: 320, Height: 180, Decodable: true, Bytes: 500})
		i++
	}
	for range 2 * window {
		feed()
	}
	require.Zero(t, testing.AllocsPerRun(1000, feed))
}

func BenchmarkPacket(b *testing.B) {
	m := video(VideoConfig{})
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		m.Packet(time.Duration(i)*4*millisecond, uint16(i), 1000, uint32(i)*900, false)
		i++
	}
}
