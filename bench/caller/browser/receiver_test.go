package browser

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/bench/measure"
	"github.com/tolkyn/tolkyn/bench/scenario"
	"github.com/tolkyn/tolkyn/bench/source"
)

var epoch = time.UnixMilli(1_793_000_000_000)

const ahead = 7 * time.Millisecond // of the page's clock

// pageTime is the time of the run's clock as the page has it.
func pageTime(at time.Duration) float64 { return float64(epoch.Add(at+ahead).UnixMicro()) / 1000 }

func stampAt(sender uint32, n int, at time.Duration) (f frame) {
	f.Stamped, f.Sender, f.Frame, f.Sent = true, sender, uint32(n), epoch.Add(at).UnixMicro()
	return f
}

// room is anna, who sends sound and picture, and bob, who receives.
func room(events ...scenario.Event) *receiver {
	anna := scenario.Caller{
		Number: 1, Room: "r", Identity: "anna", Events: append([]scenario.Event{{Do: scenario.Join}}, events...),
		Publish: []scenario.Track{{Media: scenario.Microphone}, {Media: scenario.Camera, Profile: scenario.P360}},
	}
	bob := scenario.Caller{Number: 2, Room: "r", Identity: "bob", AudioSlots: 1, VideoSlots: 1, Events: []scenario.Event{{Do: scenario.Join}}}
	r := newReceiver(bob, []scenario.Caller{anna, bob}, epoch, 0)
	r.ahead = ahead
	return r
}

// play tells ten seconds, one at a time: sound every 20 ms that was on its way for 30 ms, a picture every 40 ms that was for 50 and
// was shown 25 ms later. Of sound every 20th packet is lost.
func play(r *receiver, change func(second int, t *told)) {
	var sum [2]counters
	for second := range 10 {
		t := told{At: pageTime(time.Duration(second+1) * time.Second)}
		for i := range 50 {
			n := second*50 + i
			sent := time.Duration(n)*20*time.Millisecond + time.Millisecond
			if n%20 == 10 {
				sum[0].PacketsLost++
				continue
			}
			f := stampAt(source.Sender(1, 0, 0), n, sent)
			f.Slot, f.At, f.Size, f.Sequence, f.Timestamp = 0, pageTime(sent+30*time.Millisecond), 80, n+65_000, uint32(n*960)
			f.Sequence &= 0xffff
			t.Frames = append(t.Frames, f)
			sum[0].PacketsReceived++
		}
		for i := range 25 {
			n := second*25 + i
			sent := time.Duration(n)*40*time.Millisecond + time.Millisecond
			f := stampAt(source.Sender(1, 1, 0), n, sent)
			f.Slot, f.At, f.Size, f.Sequence, f.Timestamp = 1, pageTime(sent+50*time.Millisecond), 1000, -1, uint32(n*3600)
			f.Key = n == 0
			t.Frames = append(t.Frames, f)
			t.Shown = append(t.Shown, shown{1, f.Timestamp, pageTime(sent + 75*time.Millisecond)})
			sum[1].PacketsReceived += 2
			sum[1].FramesReceived++
			sum[1].FramesDecoded++
			sum[1].TotalInterFrameDelay += 0.04
			sum[1].TotalSquaredInterFrameDelay += 0.04 * 0.04
		}
		// Of a picture's packets one a second is lost and comes again, which Chromium counts as received as well.
		sum[1].PacketsLost++
		sum[1].RetransmittedPackets++
		sum[1].FrameWidth, sum[1].FrameHeight = 640, 360
		sum[0].TotalSamples += 48_000
		sum[0].ConcealedSamples += 2_400
		sum[0].ConcealmentEvents += 2
		sum[0].JitterBufferEmitted += 48_000
		sum[0].JitterBufferDelay += 48_000 * 0.060
		for slot, c := range sum {
			t.Readings = append(t.Readings, reading{
				Slot: slot, At: t.At, Identity: "anna", Source: []string{"microphone", "camera"}[slot], counters: c,
			})
		}
		if change != nil {
			change(second, &t)
		}
		r.take(t)
	}
}

func streams(r *receiver) (sound, picture measure.Stream) {
	var all measure.Totals
	r.results(&all)
	for _, s := range all.Streams {
		if s.Kind == measure.Audio {
			sound = s
		} else {
			picture = s
		}
	}
	return sound, picture
}

func TestWhatAPageToldIsWhatIsMeasured(t *testing.T) {
	r := room()
	play(r, nil)
	sound, picture := streams(r)

	require.Equal(t, "anna", sound.Sender)
	require.Equal(t, "microphone", sound.Track)
	require.Equal(t, measure.Loss{Expected: 500, Before: 0.05, After: 0.05}, sound.Loss)
	require.InDelta(t, 30, sound.Delay.P50, 0.01)
	require.InDelta(t, 30, sound.Delay.Max, 0.01)
	require.InDelta(t, 90, sound.Played.P50, 0.1, "30 ms on its way and 60 in the buffer")
	require.InDelta(t, 60, sound.Buffered.P50, 0.1)
	require.InDelta(t, 0.05, sound.Sound.Concealed, 1e-6)
	require.EqualValues(t, 20, sound.Sound.Events)
	require.InDelta(t, 90-75, sound.Sound.LipSync.P50, 1)
	require.Zero(t, sound.Wrong)

	require.InDelta(t, 50, picture.Delay.P50, 0.02)
	require.InDelta(t, 75, picture.Played.P50, 0.1)
	require.EqualValues(t, 500, picture.Packets)
	require.Equal(t, measure.Loss{Expected: 500, Before: 0.02, Repaired: 10}, picture.Loss)
	require.EqualValues(t, 250, picture.Picture.Frames)
	require.InDelta(t, 25, picture.Picture.FPS, 1e-6)
	require.Equal(t, []int{640, 360}, []int{picture.Picture.Width, picture.Picture.Height})
	require.Zero(t, picture.Wrong)
	require.InDelta(t, 81, milliseconds(r.firstFrame)+30, 0.1, "a keyframe, where pictures are due")
}

// A slot that has long been one person's by the server's word and carries another's frames is the server's mistake.
func TestSomebodyElsesFrames(t *testing.T) {
	r := room()
	carol := r.all[0]
	carol.Number, carol.Identity = 3, "carol"
	r.all = append(r.all, carol)
	play(r, func(second int, t *told) {
		for i := range t.Frames {
			if second >= 5 && t.Frames[i].Sequence >= 0 {
				t.Frames[i].Sender = source.Sender(3, 0, 0)
			}
		}
	})
	var all measure.Totals
	r.results(&all)
	wrong := map[string]int64{}
	for _, s := range all.Streams {
		wrong[s.Sender+" "+s.Track] = s.Wrong
	}
	require.EqualValues(t, 237, wrong["anna microphone"], "five seconds of 50 packets, but for those lost")
	require.Zero(t, wrong["anna camera"])
	require.Zero(t, wrong["carol microphone"])
}

// While somebody is muted or away nothing is due: what Chromium makes up then is nobody's fault.
func TestWhatIsNotDueIsNotHeld(t *testing.T) {
	r := room(scenario.Event{At: 4 * time.Second, Do: scenario.Mute}, scenario.Event{At: 7 * time.Second, Do: scenario.Unmute})
	play(r, func(second int, t *told) {
		if second >= 4 && second < 7 {
			t.Readings[0].ConcealedSamples += 48_000 // a sum of its own, in these seconds only
		}
	})
	sound, _ := streams(r)
	require.Less(t, sound.Sound.Concealed, 0.06)
}

func TestAStreamThatNeverCame(t *testing.T) {
	r := room()
	r.take(told{At: pageTime(5 * time.Second)})
	sound, picture := streams(r)
	require.Zero(t, sound.Packets)
	require.Equal(t, "camera", picture.Track)
	require.InDelta(t, 5, picture.Seconds, 0.001)
}

// What a page may tell in any case: numbers of no slot, of nobody, without end.
func TestStrangePages(t *testing.T) {
	for _, text := range []string{
		`{}`,
		`{"frames":[{"slot":-5,"at":1e300,"sequence":70000,"stamped":true,"sender":4294967295,"sent":-9007199254740991}]}`,
		`{"frames":[{"slot":1,"at":-1e300,"sequence":-1}],"shown":[{"slot":9,"at":0}],"readings":[{"slot":7,"identity":"nobody"}]}`,
		`{"at":1e18,"frames":[{"slot":0,"at":1,"sequence":1,"stamped":true,"sender":256}],"readings":[{"slot":0,"at":1e15,
			"identity":"anna","source":"microphone","concealmentEvents":1e300,"totalSamplesReceived":1e300,"jitterBufferEmittedCount":1}]}`,
		`{"at":1e18,"readings":[{"slot":0,"identity":"anna","source":"camera","packetsLost":-1e300,"totalSamplesReceived":1e300}]}`,
	} {
		var t1 told
		require.NoError(t, json.Unmarshal([]byte(text), &t1))
		r := room()
		require.NotPanics(t, func() {
			r.take(t1)
			r.take(t1)
		})
	}
}

func TestCountersAddUp(t *testing.T) {
	var a, b counters
	for i, f := range a.fields() {
		*f = float64(i + 1)
	}
	a.Jitter, a.FrameWidth = 3, 640
	b.add(a)
	require.Equal(t, a, b)
	zero := counters{Jitter: 3, FrameWidth: 640}
	require.Equal(t, zero, a.since(b))
	require.Len(t, a.fields(), 22)
	require.False(t, math.IsNaN(lossOf(counters{}).Before))
}

func TestWhenTracksAreSent(t *testing.T) {
	c := scenario.Caller{Events: []scenario.Event{
		{At: 1, Do: scenario.Join}, {At: 2, Do: scenario.Mute}, {At: 4, Do: scenario.Leave}, {At: 6, Do: scenario.Rejoin},
	}}
	voice, camera := scenario.Track{Media: scenario.Microphone}, scenario.Track{Media: scenario.Camera}
	for at, want := range [][2]bool{{false, false}, {true, true}, {false, true}, {false, true}, {false, false}, {false, false}, {true, true}} {
		require.Equal(t, want, [2]bool{sends(c, voice, time.Duration(at)), sends(c, camera, time.Duration(at))}, "at %d", at)
	}
}

func TestSettings(t *testing.T) {
	_, err := New(Config{Server: "nowhere"})
	require.ErrorContains(t, err, "Server")
	t.Setenv("PATH", t.TempDir())
	_, err = New(Config{Server: "http://127.0.0.1:1"})
	require.ErrorContains(t, err, "apt-get install -y chromium")
}
