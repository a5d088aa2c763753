package client_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/signaling/client"
	"github.com/tolkyn/tolkyn/signaling/wire"
)

func inWorld(t *testing.T, play func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.startServer()
		play(t, w)
		w.close()
	})
}

func TestThreeHearAndSeeEachOther(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b, c := w.dial("aru").join(), w.dial("bek").join(), w.dial("cem").join()
		a.hears(5*time.Second, b, c)
		b.hears(5*time.Second, a, c)
		c.hears(5*time.Second, a, b)

		require.Len(t, all[client.ParticipantJoined](a), 2)
		there := c.room.Participants()
		require.Len(t, there, 2)
		require.Equal(t, "aru", there[0].Identity)
		require.Len(t, there[0].Tracks, 2)
		shows := map[string]bool{}
		for _, s := range c.room.Slots() {
			if p, track, ok := s.Shows(); ok {
				require.Equal(t, s.Kind(), track.Kind)
				shows[p.Name+" "+track.ID] = true
			}
		}
		require.Equal(t, map[string]bool{"aru mic": true, "aru cam": true, "bek mic": true, "bek cam": true}, shows)
		rtt, err := a.client.Ping(t.Context())
		require.NoError(t, err)
		require.Equal(t, a.client.RTT(), rtt)
		require.Equal(t, client.Connected, a.room.State())

		c.leave()
		w.eventually(time.Second, "aru hears that cem left", func() bool { return len(all[client.ParticipantLeft](a)) == 1 })
		ended := all[client.Ended](c)
		require.Len(t, ended, 1)
		require.NoError(t, c.client.Close()) // again
		require.Equal(t, wire.Bye_LEFT, ended[0].Err.Reason)
		require.True(t, c.eventsDone)
		var over *client.EndError
		require.ErrorAs(t, c.room.Mute(t.Context(), "mic", true), &over)
		_, err = c.room.Slots()[0].ReadRTP(t.Context())
		for err == nil { // what was still queued
			_, err = c.room.Slots()[0].ReadRTP(t.Context())
		}
		require.EqualError(t, err, "EOF")
	})
}

func TestFiveSecondsOfDarkness(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.dial("aru").join(), w.dial("bek").join()
		a.hears(5*time.Second, b)
		a.way.cut(true)
		require.NoError(t, b.room.Mute(t.Context(), "mic", true))
		c := w.dial("cem").join()
		muting := make(chan error)
		go func() { muting <- a.room.Mute(t.Context(), "cam", true) }() // waits for the resume
		time.Sleep(5 * time.Second)
		require.Equal(t, client.Reconnecting, a.room.State())
		require.Len(t, a.room.Participants(), 1)
		a.hears(time.Second, c) // media does not need signaling
		a.way.mend()
		require.NoError(t, <-muting)
		w.eventually(10*time.Second, "aru knows", func() bool { return len(all[client.ParticipantJoined](a)) == 2 })
		for range 3 { // and nothing is told twice, however often the connection breaks
			a.way.cut(false)
			time.Sleep(3 * time.Second)
		}
		require.Equal(t, client.Connected, a.room.State())
		require.Len(t, all[client.ParticipantJoined](a), 2)
		require.Empty(t, all[client.Rebuilt](a))
		muted := all[client.TrackMuted](a)
		require.Len(t, muted, 1)
		require.Equal(t, client.Track{ID: "mic", Kind: client.Audio, Source: client.Microphone, Muted: true}, muted[0].Track)
		w.eventually(time.Second, "bek knows of the mute", func() bool { return len(all[client.TrackMuted](b)) == 1 })
	})
}

func TestASilentConnectionIsGivenUp(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.dial("aru").join(), w.dial("bek").join()
		a.hears(5*time.Second, b)
		a.way.silent.Store(true)
		require.NoError(t, b.room.Mute(t.Context(), "mic", true))
		w.eventually(14*time.Second, "aru notices", func() bool { return a.room.State() == client.Reconnecting })
		require.Empty(t, all[client.TrackMuted](a))
		a.way.silent.Store(false)
		w.eventually(20*time.Second, "aru is back", func() bool { return a.room.State() == client.Connected })
		w.eventually(time.Second, "aru hears of the mute", func() bool { return len(all[client.TrackMuted](a)) == 1 })
		require.Empty(t, all[client.Rebuilt](a))

		// Closing does not wait for what hangs.
		a.way.silent.Store(true)
		start := time.Now()
		require.NoError(t, a.client.Close())
		require.LessOrEqual(t, time.Since(start), time.Second)
		a.way.silent.Store(false)
	})
}

func TestMuteHoldsBackAndLetsGo(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.dial("aru").join(), w.dial("bek").join()
		b.hears(5*time.Second, a)
		require.NoError(t, a.room.Mute(t.Context(), "mic", true))
		time.Sleep(500 * time.Millisecond)
		before := b.count(a, client.Audio)
		time.Sleep(5 * time.Second)
		require.Equal(t, before, b.count(a, client.Audio))
		require.NoError(t, a.room.Mute(t.Context(), "mic", false))
		b.hears(time.Second, a)
		muted := all[client.TrackMuted](b)
		require.Len(t, muted, 2)
		require.True(t, muted[0].Track.Muted)
		require.False(t, muted[1].Track.Muted)
		require.ErrorIs(t, a.room.Mute(t.Context(), "nothing", true), client.ErrNoTrack)
	})
}

// TestStatsTellWhatGoesOut: both links have a delay of 20 ms and lose nothing.
func TestStatsTellWhatGoesOut(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.dial("aru").join(), w.dial("bek").join()
		b.hears(5*time.Second, a)
		time.Sleep(10 * time.Second)
		first := a.room.Stats()
		time.Sleep(10 * time.Second)
		second := a.room.Stats()
		require.Equal(t, "udp", second.Path.Protocol)
		require.InDelta(t, 0.040, second.Path.RTT.Seconds(), 0.002)
		require.Len(t, second.Published, 2)
		for i, s := range second.Published {
			require.Equal(t, []string{"mic", "cam"}[i], s.ID)
			rate := []float64{50, 30}[i]
			require.InDelta(t, 10*rate, float64(s.Packets-first.Published[i].Packets), 2)
			size := []uint64{12 + 80, 12 + 600}[i]
			require.Equal(t, s.Packets*size, s.Bytes)
			require.NotZero(t, s.Reports)
			require.Zero(t, s.Lost)
			require.Zero(t, s.Fraction)
			require.Less(t, s.Jitter, time.Millisecond)
			require.InDelta(t, 0.040, s.RTT.Seconds(), 0.002)
		}
	})
}

func TestPublishLaterAndUnpublish(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.dial("aru").join(), w.dial("bek").join()
		b.hears(5*time.Second, a)
		screen, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8}, "screen", "zoe")
		require.NoError(t, err)
		z := &member{w: w, name: "zoe", stopping: a.stopping}
		require.NoError(t, a.room.Publish(t.Context(), client.LocalTrack{
			Source: client.Screen, Track: screen, OnKeyframeRequest: func() { z.wantsKey.Store(true) },
		}))
		require.Error(t, a.room.Publish(t.Context(), client.LocalTrack{Track: screen}))
		a.wg.Go(func() { z.film(screen) })
		w.eventually(5*time.Second, "bek sees the screen", func() bool { return b.count(z, client.Video) > 2 })
		require.Equal(t, client.Screen, all[client.TrackPublished](b)[0].Track.Source)
		require.NoError(t, b.room.Subscribe(t.Context(), client.Subscription{
			Wishes: []client.Wish{{ParticipantID: a.room.ID(), TrackID: "cam", Hidden: true}},
		}))
		require.NoError(t, a.room.Unpublish(t.Context(), "screen"))
		require.ErrorIs(t, a.room.Unpublish(t.Context(), "screen"), client.ErrNoTrack)
		w.eventually(time.Second, "bek hears of it", func() bool { return len(all[client.TrackUnpublished](b)) == 1 })
	})
}

func TestMLinesAreUsedAgain(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.dial("aru").join(), w.dial("bek").join()
		b.hears(5*time.Second, a)
		var lines int
		for i := range 20 { // more than the server takes of one peer at a time
			screen, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8}, fmt.Sprint("screen ", i), "zoe")
			require.NoError(t, err)
			z := &member{w: w, name: fmt.Sprint(i), stopping: make(chan struct{})} // known by the first digit
			require.NoError(t, a.room.Publish(t.Context(), client.LocalTrack{
				Source: client.Screen, Track: screen, OnKeyframeRequest: func() { z.wantsKey.Store(true) },
			}))
			z.wg.Go(func() { z.film(screen) })
			b.mu.Lock()
			before := b.got[z.name[:1]+client.Video.String()]
			b.mu.Unlock()
			w.eventually(5*time.Second, "bek sees "+screen.ID(), func() bool { return b.count(z, client.Video) > before+2 })
			require.NoError(t, a.room.Unpublish(t.Context(), screen.ID()))
			close(z.stopping)
			z.wg.Wait()
			if i == 0 {
				lines = len(a.room.Connection().GetTransceivers())
			}
		}
		require.Len(t, a.room.Connection().GetTransceivers(), lines)
		b.hears(time.Second, a)
	})
}

func TestTheSecondDeviceTakesOver(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		first := w.dial("aru").join()
		second := w.dial("aru").join()
		<-first.room.Done() // by itself
		<-first.client.Done()
		ended := all[client.Ended](first)
		w.eventually(time.Second, "the reader has read it", func() bool { ended = all[client.Ended](first); return len(ended) == 1 })
		require.Equal(t, wire.Bye_REPLACED, ended[0].Err.Reason)
		_, err := first.client.Ping(t.Context())
		require.ErrorIs(t, err, error(ended[0].Err))
		w.eventually(5*time.Second, "the second is connected", func() bool { return second.room.State() == client.Connected })
	})
}

func TestAServerThatRestartsIsJoinedAgain(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.dial("aru").join(), w.dial("bek").join()
		a.hears(5*time.Second, b)
		id := a.room.ID()
		w.stopServer() // Bye(SHUTDOWN, REJOIN)
		w.startServer()
		w.eventually(10*time.Second, "both are back", func() bool {
			return len(all[client.Rebuilt](a)) > 0 && len(all[client.Rebuilt](b)) > 0
		})
		a.hears(5*time.Second, b)
		b.hears(5*time.Second, a)
		require.NotEqual(t, id, a.room.ID())
		require.Len(t, a.room.Participants(), 1)
		require.Empty(t, all[client.Ended](a))
	})
}

func TestICERestart(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.dial("aru").join(), w.dial("bek").join()
		a.hears(5*time.Second, b)
		require.NoError(t, a.room.RestartICE(t.Context()))
		a.hears(5*time.Second, b)
		b.hears(5*time.Second, a)
		require.Empty(t, all[client.Rebuilt](a))

		// A path that is away for a while is mended without being asked.
		a.cutOff(true)
		w.eventually(20*time.Second, "aru notices", func() bool { return a.room.State() == client.Reconnecting })
		a.cutOff(false)
		w.eventually(20*time.Second, "aru is back", func() bool { return a.room.State() == client.Connected })
		a.hears(5*time.Second, b)
		b.hears(5*time.Second, a)
	})
}

func TestSilenceRebuildsTheMedia(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.dial("aru").join(), w.dial("bek").join()
		a.hears(5*time.Second, b)
		a.cutOff(true)
		w.eventually(30*time.Second, "the server gives aru up", func() bool { return len(all[client.ParticipantLeft](b)) == 1 })
		a.cutOff(false)
		w.eventually(30*time.Second, "aru is back", func() bool {
			return len(all[client.Rebuilt](a)) > 0 && a.room.State() == client.Connected
		})
		a.hears(5*time.Second, b)
		b.hears(5*time.Second, a)
	})
}

func TestAServerThatStaysAwayEndsTheClient(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.dial("aru").join()
		start := time.Now()
		a.way.cut(true)
		<-a.client.Done()
		require.InDelta(t, client.DefaultGiveUpAfter.Seconds(), time.Since(start).Seconds(), 12)
		<-a.room.Done()
	})
}

func TestDialIsRefused(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		dial := (&way{pipes: w.pipes}).dial
		_, err := client.Dial(t.Context(), "ws://server.example", client.Token("no token"), client.Options{Dial: dial})
		var refused *client.ServerError
		require.ErrorAs(t, err, &refused)
		require.Equal(t, wire.Error_UNAUTHORIZED, refused.Code)
		_, err = client.Dial(t.Context(), "ftp://server.example", client.Token(""), client.Options{})
		require.Error(t, err)
		_, err = client.Dial(t.Context(), "ws://server.example", nil, client.Options{})
		require.Error(t, err)
		_, err = client.Dial(t.Context(), "ws://server.example", token("aru"), client.Options{Dial: (&way{dark: true}).dial})
		require.ErrorContains(t, err, "no route")
		m := w.dial("aru").join()
		_, err = m.client.Join(t.Context(), client.JoinOptions{})
		require.True(t, errors.Is(err, client.ErrJoined))
	})
}

// TestSaving: a room is rebuilt with little to pay for, and again with all of it; in both all hear each other.
func TestSaving(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.dial("aru").join(), w.dial("bek").join()
		a.hears(5*time.Second, b)
		for i, on := range []bool{true, false} {
			a.room.Save(on)
			w.eventually(5*time.Second, "rebuilt", func() bool { return len(all[client.Rebuilt](a)) == i+1 })
			require.Equal(t, on, strings.Contains(a.room.Connection().RemoteDescription().SDP, "a=ptime:60"))
			a.hears(5*time.Second, b)
			b.hears(5*time.Second, a)
			a.room.Save(on) // nothing changes
		}
		time.Sleep(time.Second)
		require.Len(t, all[client.Rebuilt](a), 2)

		// Who thinks better of it while the room is being rebuilt gets what he said last.
		for thinks := 10 * ms; thinks < 150*ms; thinks += 10 * ms {
			a.room.Save(true)
			time.Sleep(thinks)
			a.room.Save(false)
			time.Sleep(3 * time.Second)
			require.NotContains(t, a.room.Connection().RemoteDescription().SDP, "a=ptime:60", thinks)
		}
		a.hears(5*time.Second, b)
	})
}
