package client_test

import (
	"encoding/binary"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/netsim"
	"github.com/tolkyn/tolkyn/signaling/client"
)

// encoder films at a rate that may change: 30 pictures a second of as many packets as they take.
type encoder struct {
	rid           string
	width, height uint16
	track         *webrtc.TrackLocalStaticRTP

	mu       sync.Mutex
	bitrate  int
	paused   bool
	wantsKey bool
	keys     int // keyframes that were asked for
}

func newEncoder(t *testing.T, rid string, width, height uint16, bitrate int) *encoder {
	e := &encoder{rid: rid, width: width, height: height, bitrate: bitrate}
	var err error
	e.track, err = webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8}, "cam", "aru")
	require.NoError(t, err)
	return e
}

func (e *encoder) askKey() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.wantsKey = true
	e.keys++
}

func (e *encoder) asked() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.keys
}

func (e *encoder) follow(target client.TargetBitrate) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.bitrate, e.paused = target.Bitrate, target.Paused
}

// next is how large the next picture is, and whether it is a keyframe.
func (e *encoder) next() (bytes int, keyframe bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.paused {
		return 0, false
	}
	keyframe, e.wantsKey = e.wantsKey, false
	return max(e.bitrate/8/30, 40), keyframe
}

func (e *encoder) film(m *member) {
	p := rtp.Packet{Header: rtp.Header{Version: 2}}
	for picture := uint16(0); m.pause(time.Second / 30); picture++ {
		p.Timestamp += 3000
		bytes, keyframe := e.next()
		keyframe = keyframe || picture < 15
		packets := (bytes + 1099) / 1100
		for i := range packets {
			p.Payload = append(vp8Frame(keyframe, picture), make([]byte, 600)...)[:max(bytes/packets, 20)]
			if i > 0 {
				p.Payload[0] &^= 0x10 // not the beginning of a partition
			} else if keyframe {
				binary.LittleEndian.PutUint16(p.Payload[12:], e.width)
				binary.LittleEndian.PutUint16(p.Payload[14:], e.height)
			}
			p.Payload[17] = e.rid[0]
			p.Marker = i == packets-1
			_ = e.track.WriteRTP(&p)
			p.SequenceNumber++
		}
	}
}

// uplink sets what a member's way to the server carries, with a queue of 300 ms.
func (w *world) uplink(m *member, bitrate int64) {
	w.net.SetLink(m.host, w.host, netsim.LinkConfig{Delay: 20 * time.Millisecond, Rate: bitrate, QueueTime: 300 * time.Millisecond})
}

// watch joins with a slot for a picture of this size, and an audio slot, and counts what comes.
func (w *world) watch(name string, of *member, width, height uint32) *member {
	m := w.dial(name)
	var err error
	m.room, err = m.client.Join(w.t.Context(), client.JoinOptions{Name: name, AudioSlots: 1, VideoSlots: 1})
	require.NoError(w.t, err)
	require.NoError(w.t, m.room.Subscribe(w.t.Context(), client.Subscription{
		Wishes: []client.Wish{{ParticipantID: of.room.ID(), TrackID: "cam", Width: width, Height: height}},
	}))
	for _, s := range m.room.Slots() {
		m.wg.Go(func() { m.listen(s) })
	}
	return m
}

// A publisher of three encodings on a link of 2.5, 0.6 and 2.5 Mbit/s again keeps its sound whole, pauses its largest one in
// time and has it back, and what it sends is never for long more than the link carries.
func TestAPublisherDropsItsLargestEncodingAndGetsItBack(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.dial("aru")
		w.uplink(a, 2_500_000)
		encoders := []*encoder{newEncoder(t, "q", 160, 90, 150_000), newEncoder(t, "h", 320, 180, 350_000), newEncoder(t, "f", 640, 360, 1_200_000)}
		var encodings []client.Encoding
		for _, e := range encoders {
			encodings = append(encodings, client.Encoding{RID: e.rid, Track: e.track, OnKeyframeRequest: e.askKey})
		}
		var err error
		a.mic, err = webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}, "mic", "aru")
		require.NoError(t, err)
		a.room, err = a.client.Join(t.Context(), client.JoinOptions{Name: "aru", AudioSlots: -1, VideoSlots: -1, Tracks: []client.LocalTrack{
			{Source: client.Microphone, Track: a.mic}, {Source: client.Camera, Encodings: encodings},
		}})
		require.NoError(t, err)
		b := w.watch("bek", a, 160, 90)
		w.watch("cem", a, 320, 180)
		w.watch("dan", a, 640, 360)
		w.eventually(5*time.Second, "aru is connected", func() bool { return a.room.State() == client.Connected })
		a.wg.Go(func() { a.talk(a.mic) })
		for _, e := range encoders {
			a.wg.Go(func() { e.film(a) })
		}
		paused := func(rid string) bool {
			for _, p := range a.room.Stats().Published {
				if p.RID == rid {
					return p.Paused
				}
			}
			return false
		}
		sent := func() (bytes uint64) {
			for _, p := range a.room.Stats().Published {
				bytes += p.Bytes
			}
			return bytes
		}
		sounds := func(d time.Duration, share float64, what string) {
			t.Helper()
			before := b.count(a, client.Audio)
			time.Sleep(d)
			require.GreaterOrEqual(t, float64(b.count(a, client.Audio)-before), share*d.Seconds()*50, what)
		}
		time.Sleep(3 * time.Second)
		require.False(t, paused("f"), "all of 1.7 Mbit/s go through 2.5")
		before := sent()
		sounds(5*time.Second, 0.99, "at 2.5 Mbit/s")
		require.InEpsilon(t, 1_740_000, float64(sent()-before)*8/5, 0.05)

		w.uplink(a, 600_000)
		dropped := time.Now()
		w.eventually(time.Second, "the largest is paused", func() bool { return paused("f") })
		t.Logf("paused after %v", time.Since(dropped))
		require.Less(t, time.Since(dropped), 600*time.Millisecond)
		require.False(t, paused("q"))
		sounds(2*time.Second, 0.9, "while the queue drains") // what the full queue took is gone
		before = sent()
		sounds(10*time.Second, 0.99, "at 0.6 Mbit/s")
		require.LessOrEqual(t, float64(sent()-before)*8/10, 600_000.0)
		require.True(t, paused("f"))
		require.Less(t, a.room.Stats().Uplink.Queue, 100*time.Millisecond)
		require.False(t, paused("q"))

		w.uplink(a, 2_500_000)
		returned, asked := time.Now(), encoders[2].asked()
		w.eventually(15*time.Second, "the largest is back", func() bool { return !paused("f") && !paused("h") })
		t.Logf("back after %v", time.Since(returned))
		w.eventually(time.Second, "it was asked for a keyframe", func() bool { return encoders[2].asked() > asked })
		before = sent()
		sounds(5*time.Second, 0.99, "at 2.5 Mbit/s again")
		require.InEpsilon(t, 1_740_000, float64(sent()-before)*8/5, 0.1)
		require.False(t, paused("f"))
	})
}

// An encoder that follows its target is told what the link carries, in time.
func TestAnEncoderFollowsItsTarget(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.dial("aru")
		w.uplink(a, 2_500_000)
		e := newEncoder(t, "x", 640, 360, 300_000)
		var err error
		a.room, err = a.client.Join(t.Context(), client.JoinOptions{Name: "aru", AudioSlots: -1, VideoSlots: -1, Tracks: []client.LocalTrack{{
			Source: client.Camera, Track: e.track, OnKeyframeRequest: e.askKey, MaxBitrate: 2_000_000,
			OnTargetBitrate: func(all []client.TargetBitrate) {
				if len(all) != 1 || all[0].RID != "" || all[0].Paused {
					panic("one encoding, never paused")
				}
				e.follow(all[0])
			},
		}}})
		require.NoError(t, err)
		b := w.watch("bek", a, 640, 360)
		w.eventually(5*time.Second, "aru is connected", func() bool { return a.room.State() == client.Connected })
		a.wg.Go(func() { e.film(a) })
		for _, phase := range []struct {
			rate        int64
			settle      time.Duration
			least, most int
		}{
			{2_500_000, 4 * time.Second, 1_900_000, 2_000_000},
			{600_000, 2 * time.Second, 400_000, 600_000},
			{2_500_000, 6 * time.Second, 1_900_000, 2_000_000},
		} {
			w.uplink(a, phase.rate)
			time.Sleep(phase.settle)
			before := b.count(&member{name: "x"}, client.Video)
			time.Sleep(4 * time.Second)
			target := a.room.Stats().Published[0].Target
			t.Logf("%d bit/s: target %d, %+v", phase.rate, target, a.room.Stats().Uplink)
			require.GreaterOrEqual(t, target, phase.least)
			require.LessOrEqual(t, target, phase.most)
			require.Greater(t, b.count(&member{name: "x"}, client.Video)-before, 100, "pictures come")
		}
	})
}

// What paces and answers is timers: no track and no connection has a goroutine more than without.
func TestPacingTakesNoGoroutine(t *testing.T) {
	count := func(unpaced bool) (n int) {
		inWorld(t, func(t *testing.T, w *world) {
			m, err := w.tryWith("aru", "ws://server.example", client.Options{Unpaced: unpaced})
			require.NoError(t, err)
			b := w.dial("bek").join()
			m.join()
			m.hears(5*time.Second, b)
			time.Sleep(2 * time.Second)
			synctest.Wait()
			n = runtime.NumGoroutine()
		})
		return n
	}
	require.Equal(t, count(true), count(false))
}

// A publisher whose application takes targets and does nothing about them, on an uplink that is thin, or loses much: its sound is
// whole but for what the path loses, what does not fit is held back and not tried again and again, and it ends at once when it is told
// to in the middle of that.
func TestAnApplicationThatIgnoresItsTargets(t *testing.T) {
	for name, c := range map[string]struct {
		link  netsim.LinkConfig
		sound float64 // share of it that comes
		whole bool    // all encodings go out
	}{
		"thin":  {netsim.LinkConfig{Rate: 500_000, QueueTime: 300 * time.Millisecond}, 0.99, false},
		"lossy": {netsim.LinkConfig{Rate: 4_000_000, QueueTime: 300 * time.Millisecond, Loss: 0.2}, 0.76, true},
		"both":  {netsim.LinkConfig{Rate: 450_000, QueueTime: 300 * time.Millisecond, Loss: 0.1}, 0.86, false},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				a := w.dial("aru")
				c.link.Delay = 20 * time.Millisecond
				w.net.SetLink(a.host, w.host, c.link)
				encoders := []*encoder{newEncoder(t, "q", 160, 90, 150_000), newEncoder(t, "h", 320, 180, 350_000), newEncoder(t, "f", 640, 360, 1_200_000)}
				var encodings []client.Encoding
				for _, e := range encoders {
					encodings = append(encodings, client.Encoding{
						RID: e.rid, Track: e.track, OnKeyframeRequest: e.askKey, MaxBitrate: e.bitrate, MinBitrate: e.bitrate / 5,
					})
				}
				var err error
				a.mic, err = webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}, "mic", "aru")
				require.NoError(t, err)
				var mu sync.Mutex
				pauses, paused := 0, false
				a.room, err = a.client.Join(t.Context(), client.JoinOptions{Name: "aru", AudioSlots: -1, VideoSlots: -1, Tracks: []client.LocalTrack{
					{Source: client.Microphone, Track: a.mic},
					{Source: client.Camera, Encodings: encodings, OnTargetBitrate: func(all []client.TargetBitrate) {
						mu.Lock()
						defer mu.Unlock()
						if now := all[1].Paused || all[2].Paused; now != paused {
							paused = now
							pauses++
						}
					}},
				}})
				require.NoError(t, err)
				b := w.watch("bek", a, 160, 90)
				w.watch("cem", a, 320, 180)
				w.watch("dan", a, 640, 360)
				w.eventually(10*time.Second, "aru is connected", func() bool { return a.room.State() == client.Connected })
				a.wg.Go(func() { a.talk(a.mic) })
				for _, e := range encoders {
					a.wg.Go(func() { e.film(a) })
				}
				time.Sleep(10 * time.Second)
				sent := func() uint64 {
					all := a.room.Stats().Published
					return all[len(all)-1].Packets // of the largest
				}
				sounds, pictures, largest := b.count(a, client.Audio), b.count(&member{name: "q"}, client.Video), sent()
				time.Sleep(15 * time.Second)
				require.GreaterOrEqual(t, float64(b.count(a, client.Audio)-sounds), c.sound*15*50)
				seen := b.count(&member{name: "q"}, client.Video) - pictures
				require.GreaterOrEqual(t, seen, 15*28, "pictures of the smallest come whole")
				mu.Lock()
				t.Logf("%+v, larger ones paused %v after %d changes, %d pictures of the smallest, %d packets of the largest",
					a.room.Stats().Uplink, paused, pauses, seen, sent()-largest)
				if c.whole {
					require.False(t, paused)
					require.Greater(t, sent()-largest, uint64(1000))
				} else { // we hold it back, or the server says before us that nobody can watch it
					require.Less(t, sent()-largest, uint64(100))
				}
				require.LessOrEqual(t, pauses, 5)
				mu.Unlock()
				require.Less(t, a.room.Stats().Uplink.Queue, 100*time.Millisecond)
				left := time.Now()
				a.leave()
				require.Less(t, time.Since(left), 2*time.Second)
			})
		})
	}
}
