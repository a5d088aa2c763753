package caller

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/clip"
	"github.com/tolkyn/tolkyn/signaling/client"
)

// TestARecordingIsTheClip: over a clean network every frame and packet arrives in the file as it was in the clip, at the
// time it had there, and every number of both reports is right.
func TestARecordingIsTheClip(t *testing.T) {
	dir := t.TempDir()
	clipA, frames := film(t, dir, "a.ivf", 'a', 300, 60)
	song, packets := sing(t, dir, "a.ogg", 's', 500)
	inWorld(t, func(t *testing.T, w *world) {
		recording := w.config("bek", 0)
		recording.Record, recording.For = filepath.Join(dir, "out"), 20*time.Second
		b := start(t.Context(), recording)
		time.Sleep(2 * time.Second)
		playing := w.config("aru", 0)
		playing.Play = []string{clipA, song}
		var live []Report
		playing.Watch = func(r Report) { live = append(live, r) }
		began := time.Now()
		a := <-start(t.Context(), playing)
		require.NoError(t, a.err)
		require.InDelta(t, 10+linger.Seconds(), time.Since(began).Seconds(), 1, "it ends by itself")
		recorded := <-b
		require.NoError(t, recorded.err)

		got, at := watched(t, filepath.Join(dir, "out", "aru-camera.ivf"))
		require.Equal(t, frames, got)
		for i := range at {
			require.EqualValues(t, i*3000, at[i])
		}
		require.Equal(t, packets, heard(t, filepath.Join(dir, "out", "aru-microphone.ogg")))

		parts := uint64(0)
		for _, frame := range frames {
			parts += uint64(len(clip.PacketizeVP8(frame, 0)))
		}
		sent, received := a.report.Sent, recorded.report.Received
		require.Len(t, sent, 2)
		require.Len(t, received, 2)
		for i, want := range []struct {
			id              string
			packets, frames uint64
		}{{"camera", parts, 300}, {"microphone", 500, 500}} {
			s := sent[i]
			require.Equal(t, want.id, s.ID)
			require.Equal(t, []uint64{want.packets, want.frames}, []uint64{s.Packets, s.Frames})
			require.Zero(t, s.Lost)
			require.InDelta(t, 40, s.RTTMS, 2)
			require.InDelta(t, 10, s.Seconds, 0.001)
			require.Zero(t, s.Jumps)
			for _, r := range received {
				if r.ID != want.id {
					continue
				}
				require.Equal(t, "aru", r.Who)
				require.Equal(t, []uint64{want.packets, want.frames, 0}, []uint64{r.Packets, r.Frames, r.Dropped})
				require.Zero(t, r.Lost)
				require.Less(t, r.JitterMS, 2.0)
				require.InDelta(t, 10, r.Seconds, 0.001)
				require.Greater(t, r.Bytes, s.Packets*12)
				require.Equal(t, filepath.Join(dir, "out", "aru-"+want.id+filepath.Ext(s.File)), r.File)
			}
		}
		require.Equal(t, []int{320, 180}, []int{sent[0].Width, sent[0].Height})
		require.Zero(t, recorded.report.Unknown)
		require.Equal(t, []string{"udp", "websocket"}, []string{a.report.Session.Media, a.report.Session.Transport})
		require.InDelta(t, 40, a.report.Session.PathRTTMS, 2)
		require.GreaterOrEqual(t, len(live), 10)
		lines := Table(live[4], live[5])
		require.Len(t, lines, 4)
		require.Contains(t, lines[2], "320x180")
		require.Regexp(t, `^> aru +camera +video +\d+ +\d+ +0.0 +4\d\.\d +0\.\d +(29|30|31)\.\d`, lines[2])
		require.Regexp(t, `^> aru +microphone +audio +\d+ +(49|50|51) +0.0`, lines[3])
	})
}

// TestLossLeavesOnlyWholeFrames: with 5 % loss on each hop, what is recorded is whole, in order, and at its time.
func TestLossLeavesOnlyWholeFrames(t *testing.T) {
	dir := t.TempDir()
	clipA, frames := film(t, dir, "a.ivf", 'a', 900, 30)
	song, packets := sing(t, dir, "a.ogg", 's', 1500)
	inWorld(t, func(t *testing.T, w *world) {
		recording := w.config("bek", 0.05)
		recording.Record, recording.For = filepath.Join(dir, "out"), 45*time.Second
		b := start(t.Context(), recording)
		time.Sleep(4 * time.Second)
		playing := w.config("aru", 0.05)
		playing.Play = []string{clipA, song}
		a := <-start(t.Context(), playing)
		require.NoError(t, a.err)
		recorded := <-b
		require.NoError(t, recorded.err)

		got, at := watched(t, filepath.Join(dir, "out", "aru-camera.ivf"))
		first, last := number(got[0], 20), -1
		for i, frame := range got {
			n := number(frame, 20)
			require.Equal(t, frames[n], frame)
			require.Greater(t, n, last)
			require.True(t, n == last+1 || frame[0]&1 == 0, "after a loss a keyframe is first: %d after %d", n, last)
			if a.report.Sent[0].Jumps == 0 {
				require.EqualValues(t, (n-first)*3000, at[i])
			}
			last = n
		}
		sent := a.report.Sent[0]
		t.Logf("%d of %d frames recorded; %+v", len(got), sent.Frames, sent)
		require.Greater(t, float64(len(got)), 0.8*float64(sent.Frames), "what was lost is sent again")

		var sound Track
		for _, r := range recorded.report.Received {
			if r.Kind == "audio" {
				sound = r
			}
		}
		t.Logf("sound: %+v", sound)
		real := 0
		for _, p := range heard(t, sound.File) {
			if len(p.Data) == 1 {
				continue // for the decoder to conceal
			}
			real++
			want := packets[number(p.Data, 10)]
			require.Equal(t, want.Data, p.Data)
			require.Equal(t, want.At-packets[0].At, p.At)
		}
		require.EqualValues(t, sound.Packets, real)
		require.InDelta(t, 1500, float64(sound.Packets)+float64(sound.Lost), 3, "all are accounted for, but for the ends")
		require.Less(t, sound.LostPercent, 2.0, "of nearly 10 %% that are lost on the two hops most come with copies or are sent again")
		require.InDelta(t, float64(sound.Lost)*0.02, sound.FilledSeconds, 0.001)
	})
}

// TestAViewerWhoComesLater makes the clip jump to its next keyframe.
func TestAViewerWhoComesLater(t *testing.T) {
	dir := t.TempDir()
	clipA, frames := film(t, dir, "a.ivf", 'a', 300, 60)
	inWorld(t, func(t *testing.T, w *world) {
		playing := w.config("aru", 0)
		playing.Play = []string{clipA}
		a := start(t.Context(), playing)
		time.Sleep(5 * time.Second)
		recording := w.config("bek", 0)
		recording.Record, recording.For = filepath.Join(dir, "out"), 10*time.Second
		recorded := <-start(t.Context(), recording)
		require.NoError(t, recorded.err)
		played := <-a
		require.NoError(t, played.err)
		got, at := watched(t, filepath.Join(dir, "out", "aru-camera.ivf"))
		first := number(got[0], 20)
		require.Zero(t, first%60, "it begins with a keyframe")
		require.Equal(t, frames[first:], got)
		require.EqualValues(t, (len(got)-1)*3000, at[len(at)-1])
		s := played.report.Sent[0]
		require.NotZero(t, s.Jumps)
		require.EqualValues(t, 300, s.Frames+s.Skipped)
	})
}

// TestOneSlotShowsTwo: what a slot shows changes every three seconds; each publisher's file has his frames and no others,
// and the time in it goes on while he is not shown.
func TestOneSlotShowsTwo(t *testing.T) {
	dir := t.TempDir()
	clips := map[string][][]byte{}
	inWorld(t, func(t *testing.T, w *world) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var playing []<-chan result
		for i, who := range []string{"aru", "bek"} {
			c := w.config(who, 0)
			path, frames := film(t, dir, who+".ivf", who[0], 900, 15)
			song, _ := sing(t, dir, who+".ogg", who[0], 1500)
			clips[who] = frames
			c.Play = []string{path, song}
			playing = append(playing, start(ctx, c))
			time.Sleep(time.Duration(i+1) * 300 * time.Millisecond)
		}
		c := w.config("cem", 0)
		session, err := client.Dial(ctx, c.Server, c.Token, c.Client)
		require.NoError(t, err)
		room, err := session.Join(ctx, client.JoinOptions{AudioSlots: 1, VideoSlots: 1})
		require.NoError(t, err)
		files, err := openStore(filepath.Join(dir, "out"))
		require.NoError(t, err)
		began := time.Now()
		r := newReceiver(room, files, began)
		read := make(chan struct{})
		for _, s := range room.Slots() {
			go func() {
				r.read(s)
				read <- struct{}{}
			}()
		}
		for i := range 6 {
			shown := room.Participants()[i%2]
			require.NoError(t, room.Subscribe(ctx, client.Subscription{Wishes: []client.Wish{
				{ParticipantID: shown.ID, TrackID: "camera"}, {ParticipantID: shown.ID, TrackID: "microphone"},
			}}))
			for range 60 {
				time.Sleep(50 * time.Millisecond)
				require.NoError(t, r.poll())
			}
		}
		require.NoError(t, room.Leave())
		<-read
		<-read
		require.NoError(t, r.close())
		files.close()
		cancel()
		for _, p := range playing {
			require.NoError(t, (<-p).err)
		}
		for who, frames := range clips {
			got, at := watched(t, filepath.Join(dir, "out", who+"-camera.ivf"))
			require.Greater(t, len(got), 150, who)
			runs := 1
			for i, frame := range got {
				require.Equal(t, frames[number(frame, 20)], frame, who)
				if i > 0 && at[i]-at[i-1] > 90000 {
					runs++
					require.Zero(t, frame[0]&1, "a stretch begins with a keyframe")
				}
				if i > 0 && at[i]-at[i-1] < 90000/2 {
					require.EqualValues(t, 3000, at[i]-at[i-1])
				}
			}
			require.Equal(t, 3, runs, who)
			require.InDelta(t, 15, float64(at[len(at)-1])/90000, 1.2, "of 18 s the first three or the last three were the other's")
			for _, p := range heard(t, filepath.Join(dir, "out", who+"-microphone.ogg")) {
				require.True(t, len(p.Data) == 1 || p.Data[1] == who[0])
			}
		}
		require.Zero(t, r.unknown())
		entries, err := os.ReadDir(filepath.Join(dir, "out"))
		require.NoError(t, err)
		require.Len(t, entries, 4)
	})
}

// TestTheServerRestarts: everybody is somebody new by then, so there are new files; what plays goes on.
func TestTheServerRestarts(t *testing.T) {
	dir := t.TempDir()
	path, frames := film(t, dir, "a.ivf", 'a', 600, 30)
	inWorld(t, func(t *testing.T, w *world) {
		recording := w.config("bek", 0)
		recording.Record, recording.For = filepath.Join(dir, "out"), 18*time.Second
		b := start(t.Context(), recording)
		time.Sleep(time.Second)
		playing := w.config("aru", 0)
		playing.Play = []string{path}
		a := start(t.Context(), playing)
		time.Sleep(5 * time.Second)
		w.restartServer()
		recorded := <-b
		require.NoError(t, recorded.err)
		played := <-a
		require.NoError(t, played.err)
		for _, r := range []Report{recorded.report, played.report} {
			require.Equal(t, []int{1, 1}, []int{r.Session.Reconnects, r.Session.Rebuilds})
		}
		require.EqualValues(t, 600, played.report.Sent[0].Frames+played.report.Sent[0].Skipped)
		require.Len(t, recorded.report.Received, 2)
		last := -1
		for i, name := range []string{"aru-camera.ivf", "aru-camera-2.ivf"} {
			require.Equal(t, name, filepath.Base(recorded.report.Received[i].File))
			got, _ := watched(t, recorded.report.Received[i].File)
			require.Greater(t, len(got), 100)
			for _, frame := range got {
				n := number(frame, 20)
				require.Equal(t, frames[n], frame)
				require.Greater(t, n, last)
				last = n
			}
		}
		require.Greater(t, last, 400)
	})
}

// TestATrackComesBack under the id it had: it gets a file of its own.
func TestATrackComesBack(t *testing.T) {
	dir := t.TempDir()
	path, frames := film(t, dir, "a.ivf", 'a', 90, 30)
	inWorld(t, func(t *testing.T, w *world) {
		recording := w.config("bek", 0)
		recording.Record, recording.For = filepath.Join(dir, "out"), 20*time.Second
		b := start(t.Context(), recording)
		time.Sleep(time.Second)
		c := w.config("aru", 0)
		session, err := client.Dial(t.Context(), c.Server, c.Token, c.Client)
		require.NoError(t, err)
		room, err := session.Join(t.Context(), client.JoinOptions{})
		require.NoError(t, err)
		time.Sleep(time.Second)
		for range 2 {
			players, err := openPlayers([]string{path}, false)
			require.NoError(t, err)
			require.NoError(t, room.Publish(t.Context(), tracksOf(players)[0]))
			time.Sleep(settle)
			require.NoError(t, players[0].run(t.Context(), time.Now()))
			require.NoError(t, room.Unpublish(t.Context(), "camera"))
			closePlayers(players)
			time.Sleep(2 * goneFor)
		}
		require.NoError(t, room.Leave())
		recorded := <-b
		require.NoError(t, recorded.err)
		require.Len(t, recorded.report.Received, 2)
		for i, name := range []string{"aru-camera.ivf", "aru-camera-2.ivf"} {
			require.Equal(t, name, filepath.Base(recorded.report.Received[i].File))
			got, _ := watched(t, recorded.report.Received[i].File)
			require.Equal(t, frames[number(got[0], 20):], got)
		}
	})
}

func TestACallThatCannotBe(t *testing.T) {
	dir := t.TempDir()
	good, _ := film(t, dir, "a.ivf", 'a', 3, 3)
	cut := filepath.Join(dir, "cut.ivf")
	b, err := os.ReadFile(good)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(cut, b[:100], 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "clip.mp4"), b, 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "clip.ogg"), b, 0o644))
	for want, c := range map[string]Config{
		"no such file":                 {Play: []string{filepath.Join(dir, "none.ivf")}},
		"cut.ivf: frame 1, at byte 32": {Play: []string{good, cut}},
		"clip.mp4: want a name that":   {Play: []string{filepath.Join(dir, "clip.mp4")}},
		"clip.ogg: page 1: not an Ogg": {Play: []string{filepath.Join(dir, "clip.ogg")}},
		"dir.ivf: not a file":          {Play: []string{filepath.Join(dir, "dir.ivf")}},
		"--record: mkdir":              {Record: filepath.Join(good, "below")},
	} {
		if want == "dir.ivf: not a file" {
			require.NoError(t, os.Mkdir(filepath.Join(dir, "dir.ivf"), 0o755))
		}
		_, err := Run(t.Context(), c)
		require.ErrorContains(t, err, want)
	}
	inWorld(t, func(t *testing.T, w *world) {
		c := w.config("aru", 0)
		c.Room = "other"
		_, err := Run(t.Context(), c)
		require.EqualError(t, err, `the token is for room "r", --room says "other"`)
		c = w.config("aru", 0)
		c.Token = client.Token("none")
		_, err = Run(t.Context(), c)
		require.ErrorContains(t, err, "unauthorized")
		// Somebody else takes the identity.
		first := start(t.Context(), w.config("aru", 0))
		time.Sleep(2 * time.Second)
		second := w.config("aru", 0)
		second.For = time.Second
		require.NoError(t, (<-start(t.Context(), second)).err)
		require.ErrorContains(t, (<-first).err, "replaced")
	})
}
