package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/bench/source"
	"github.com/tolkyn/tolkyn/internal/clip"
	"github.com/tolkyn/tolkyn/signaling/client"
)

// stampPage loads the SDK and reads, on their way to the decoders, the stamps of all frames that are received. stamps.KIND is
// what was read: the stamps of each sender with when they came, and how many frames had none.
const stampPage = `
import * as sdk from "/sdk.js";
window.stamps = { audio: { read: {}, missing: 0 }, video: { read: {}, missing: 0 } };
const worker = new Worker(URL.createObjectURL(new Blob([window.workerScript])));
worker.onmessage = ({ data: { kind, stamp, at } }) => {
  if (stamp) (stamps[kind].read[stamp.sender] ??= []).push({ ...stamp, at });
  else stamps[kind].missing++;
};
const add = RTCPeerConnection.prototype.addTransceiver;
RTCPeerConnection.prototype.addTransceiver = function (kind, init) {
  const t = add.call(this, kind, init);
  if (init.direction === "recvonly") t.receiver.transform = new RTCRtpScriptTransform(worker, { kind });
  return t;
};
window.codeOn = (video) => {
  const canvas = document.createElement("canvas");
  const [w, h] = [(canvas.width = video.videoWidth), (canvas.height = video.videoHeight)];
  const g = canvas.getContext("2d");
  g.drawImage(video, 0, 0);
  return tolkynSource.readBlocks(g.getImageData(0, 0, w, h).data, w, h);
};
window.loudest = (h) => {
  if (!h) return 0;
  const samples = new Float32Array(h.tone.fftSize);
  h.tone.getFloatTimeDomainData(samples);
  return Math.max(...samples.map(Math.abs));
};
window.tolkyn = { sdk };
`

const stampWorker = `
onrtctransform = ({ transformer: { options: { kind }, readable, writable } }) => {
  const read = kind === "video" ? tolkynSource.readVP8 : tolkynSource.readOpus;
  const look = new TransformStream({
    transform(frame, to) {
      const stamp = read(new Uint8Array(frame.data));
      postMessage({ kind, stamp, at: 1000 * (performance.timeOrigin + performance.now()) });
      to.enqueue(frame);
    },
  });
  void readable.pipeThrough(look).pipeTo(writable);
};
`

// stampScript is all of the page's code.
func stampScript(t *testing.T) string {
	t.Helper()
	worker, err := json.Marshal(source.ReadJS + stampWorker)
	require.NoError(t, err)
	return fmt.Sprintf("%s\nwindow.workerScript = %s;\n%s", source.ReadJS, worker, stampPage)
}

// clipTrack is one that a client in this process sends.
type clipTrack struct {
	player *source.Player
	track  *webrtc.TrackLocalStaticRTP
	wants  chan struct{} // one place: a keyframe is wanted
}

// sendClips joins and sends the picture and the voice of a scene until the test ends.
func sendClips(t *testing.T, s *server, o clipOf) {
	t.Helper()
	clips, err := source.Load()
	require.NoError(t, err)
	sent := map[string]*clipTrack{ // by kind
		"video": {player: clips.Video(o.scene, o.layer, source.Sender(o.scene, 1, int(o.layer)))},
		"audio": {player: clips.Audio(o.scene, o.profile, source.Sender(o.scene, 0, 0))},
	}
	var tracks []client.LocalTrack
	for kind, mime := range map[string]string{"audio": webrtc.MimeTypeOpus, "video": webrtc.MimeTypeVP8} {
		c := sent[kind]
		c.wants = make(chan struct{}, 1)
		c.track, err = webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: mime}, kind, o.name)
		require.NoError(t, err)
		local := client.LocalTrack{ID: kind, Source: client.Microphone, Track: c.track}
		if kind == "video" {
			local.Source = client.Camera
			local.OnKeyframeRequest = func() {
				select {
				case c.wants <- struct{}{}:
				default: // asked already
				}
			}
		}
		tracks = append(tracks, local)
	}

	session, err := client.Dial(t.Context(), s.url, client.Token(devToken(t, s, o.name)), client.Options{})
	require.NoError(t, err)
	_, err = session.Join(t.Context(), client.JoinOptions{Name: o.name, Tracks: tracks, AudioSlots: -1, VideoSlots: -1})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	var done sync.WaitGroup
	start := time.Now()
	for _, c := range sent {
		done.Go(func() { c.play(ctx, start) })
	}
	t.Cleanup(func() {
		stop()
		done.Wait()
		require.NoError(t, session.Close())
	})
}

func devToken(t *testing.T, s *server, identity string) string {
	t.Helper()
	answer, err := http.Get(s.url + "/v1/dev-token?room=e2e&identity=" + identity)
	require.NoError(t, err)
	defer func() { require.NoError(t, answer.Body.Close()) }()
	var pass struct{ Token string }
	require.NoError(t, json.NewDecoder(answer.Body).Decode(&pass))
	return pass.Token
}

// play sends until ctx is over. What a connection does not take, for it is not there yet, is gone.
func (c *clipTrack) play(ctx context.Context, start time.Time) {
	packet := rtp.Packet{Header: rtp.Header{Version: 2}}
	var buffer []byte
	var picture uint16
	for {
		timer := time.NewTimer(time.Until(start.Add(c.player.Due())))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-c.wants:
			timer.Stop()
			c.player.Request(time.Since(start))
			continue
		case <-timer.C:
		}
		frame, err := c.player.Take(buffer[:0], time.Since(start), time.Now().UnixMicro())
		if err != nil {
			panic(err) // of a clip in memory
		}
		buffer, packet.Timestamp = frame.Data, frame.Timestamp
		parts, pictures := [][]byte{frame.Data}, c.track.Kind() == webrtc.RTPCodecTypeVideo
		if pictures {
			picture++
			parts = clip.PacketizeVP8(frame.Data, picture)
		}
		for i, part := range parts {
			packet.Payload, packet.Marker = part, pictures && i == len(parts)-1
			_ = c.track.WriteRTP(&packet)
			packet.SequenceNumber++
		}
	}
}

// readStamps are those of one kind that the page read so far, by sender.
type readStamps struct {
	Read    map[uint32][]readStamp
	Missing int
}

type readStamp struct {
	Frame                uint32
	Sent                 int64
	Caller, Track, Layer int
	At                   float64 // µs
}

// clipOf is what somebody sends.
type clipOf struct {
	name    string
	scene   int
	layer   source.Layer
	profile source.Profile
}

// TestStampsHarmNothing: Chromium decodes stamped pictures and stamped sound without a loss, a script on their way reads every
// stamp, and what is on the screen says which picture it is.
func TestStampsHarmNothing(t *testing.T) {
	senders := []clipOf{{"rich", 1, source.Mid, source.Voice}, {"thin", 2, source.Low, source.Thin}}
	s, p := startServer(t), startChromium(t).tab(t)
	show(t, p, "bob", startSite(t, s, stampScript(t)))
	await(t, p, "the SDK is loaded", "window.tolkyn?.sdk")
	eval[string](t, p, `e2e.join({ name: "bob", room: "e2e" })`)
	await(t, p, "bob is connected", `e2e.room.state === "connected"`)
	for _, c := range senders {
		sendClips(t, s, c)
	}
	for _, c := range senders {
		await(t, p, "the clip is seen", `e2e.sees(%v)?.frames > 10`, c.name)
		await(t, p, "the clip is heard", `loudest(e2e.hears(%v)) > 0.05`, c.name)
	}
	playsWithoutFault(t, p)
	for _, c := range senders {
		seesCodes(t, p, c)
	}
	for _, kind := range []string{"audio", "video"} {
		all := eval[readStamps](t, p, "stamps[%v]", kind)
		if kind == "video" {
			require.Zero(t, all.Missing, "frames without a stamp")
		} else {
			thin := len(all.Read[source.Sender(2, 0, 0)])
			require.InDelta(t, 3*thin, all.Missing, 10, "three of four thin packets have none")
		}
		require.Len(t, all.Read, len(senders), "by sender")
		for _, c := range senders {
			sender := source.Sender(c.scene, 0, 0)
			if kind == "video" {
				sender = source.Sender(c.scene, 1, int(c.layer))
			}
			checkStamps(t, kind, all.Read[sender], source.Stamp{Sender: sender})
		}
	}
	require.Empty(t, eval[[]string](t, p, "e2e.errors"))
}

// seesCodes reads the blocks of ten pictures, in the page and here.
func seesCodes(t *testing.T, p tab, c clipOf) {
	t.Helper()
	w, h := c.layer.Size()
	seen := map[int]bool{}
	for before := -1.0; len(seen) < 10; {
		await(t, p, "the picture changes", `e2e.sees(%v).frames > %v`, c.name, before)
		before = eval[float64](t, p, `e2e.sees(%v).frames`, c.name)
		code := eval[source.Code](t, p, `codeOn(e2e.sees(%v).video)`, c.name)
		require.Equal(t, source.Code{Scene: c.scene, Layer: c.layer, Frame: code.Frame}, code)
		seen[code.Frame] = true
	}
	got := eval[struct {
		Width, Height int
		Pixels        []byte
	}](t, p, `e2e.grab(e2e.slot(%v, "video"))`, c.name)
	require.Equal(t, []int{w, h}, []int{got.Width, got.Height})
	code, ok := source.ReadBlocks(got.Pixels, w, w, h)
	require.True(t, ok)
	require.Equal(t, source.Code{Scene: c.scene, Layer: c.layer, Frame: code.Frame}, code)
}

// playsWithoutFault wants two seconds in which nothing freezes, is made up or lost. On a machine that is busy with other things
// the first ones may not be; stamps that harm would do it in all.
func playsWithoutFault(t *testing.T, p tab) {
	t.Helper()
	type counted struct{ Received, Decoded, Freezes, Concealed, Lost int }
	stats := func() counted {
		return eval[counted](t, p, `e2e.stats().then((all) => {
			const sum = (f) => all.filter((s) => s.type === "inbound-rtp").reduce((n, s) => n + (f(s) ?? 0), 0);
			return { Received: sum((s) => s.framesReceived), Decoded: sum((s) => s.framesDecoded), Freezes: sum((s) => s.freezeCount),
				Concealed: sum((s) => s.concealedSamples - s.silentConcealedSamples || 0), Lost: sum((s) => s.packetsLost) };
		})`)
	}
	var first, last counted
	for range 5 {
		first = stats()
		await(t, p, "two seconds of two pictures are decoded", `(await e2e.stats()).reduce((n, s) =>
			n + (s.type === "inbound-rtp" && s.framesDecoded || 0), 0) >= %v`, first.Decoded+2*2*source.FrameRate)
		last = stats()
		if last.Freezes == first.Freezes && last.Concealed == first.Concealed && last.Lost == first.Lost {
			break
		}
		t.Logf("not yet smooth: %+v, then %+v", first, last)
	}
	t.Logf("from %+v to %+v", first, last)
	require.Equal(t, first.Freezes, last.Freezes, "freezes")
	require.Equal(t, first.Concealed, last.Concealed, "samples that were made up")
	require.Equal(t, first.Lost, last.Lost, "lost packets")
	require.InDelta(t, last.Received, last.Decoded, 10, "but for those on their way, all that came was decoded")
}

// checkStamps wants them of this sender, in order, sent a moment before.
func checkStamps(t *testing.T, kind string, got []readStamp, of source.Stamp) {
	t.Helper()
	require.Greater(t, len(got), 5, kind) // the fewest: thin sound, four a second
	lowest := math.Inf(1)
	for i, s := range got {
		require.Equal(t, []int{of.Caller(), of.Track(), of.Layer()}, []int{s.Caller, s.Track, s.Layer})
		delay := s.At - float64(s.Sent)
		require.Greater(t, delay, -2000.0, "two clocks of one machine")
		lowest = min(lowest, delay)
		if i > 0 {
			require.Greater(t, s.Frame, got[i-1].Frame, "in order")
		}
	}
	t.Logf("%d stamps of %s, the quickest after %.1f ms", len(got), kind, lowest/1000)
	require.Less(t, lowest, 1e6, "a second is no delay on loopback: the time was read wrongly")
}

// TestReadersInJavaScript: they read what Go wrote, and nothing else.
func TestReadersInJavaScript(t *testing.T) {
	t.Parallel()
	p := startChromium(t).tab(t)
	show(t, p, "readers", "data:text/html,<!doctype html>")
	eval[any](t, p, "void eval(%v)", source.ReadJS)
	numbers := func(b []byte) []int { // as JSON, bytes would be base64
		list := make([]int, len(b))
		for i, v := range b {
			list[i] = int(v)
		}
		return list
	}
	type read struct{ Sender, Frame, Sent int64 }
	ask := func(reader string, b []byte) *read {
		return eval[*read](t, p, "tolkynSource."+reader+"(new Uint8Array(%v))", numbers(b))
	}
	packets := [][]byte{
		{0x78},
		{0x78, 1, 2, 3},
		{0x79, 1, 2},
		{0x7a, 1, 1, 2, 3},
		{0x7b, 2, 1, 2},
		{0x7b, 0x83, 1, 2, 1, 2, 2, 3, 3, 3},
		{0x7b, 0x41, 4, 9, 0xfc, 0x44, 1, 10},
		append([]byte{0x7b, 0x41, 255, 100, 9}, make([]byte, 354)...),
	}
	for _, sent := range []int64{0, -1, 1, 1_793_000_000_123_456, -62_135_596_800_000_000 / 2} {
		s := source.Stamp{Sender: 0xfffffff1, Frame: 0x80000001, Sent: sent}
		want := &read{int64(s.Sender), int64(s.Frame), s.Sent}
		frame := source.AppendVP8(nil, []byte("a frame"), s)
		require.Equal(t, want, ask("readVP8", frame))
		frame[len(frame)-1] ^= 1
		require.Nil(t, ask("readVP8", frame))
		for _, packet := range packets {
			require.Equal(t, want, ask("readOpus", source.AppendOpus(nil, packet, s)), "%x", packet)
			require.Nil(t, ask("readOpus", packet), "%x", packet)
		}
	}
	stamped := source.AppendOpus(nil, packets[3], source.Stamp{})
	for n := range stamped {
		require.Nil(t, ask("readOpus", stamped[:n]))
		require.Nil(t, ask("readVP8", stamped[:n]))
	}
}

// TestWritersInJavaScript: what they write is what Go writes, and is read by Go.
func TestWritersInJavaScript(t *testing.T) {
	t.Parallel()
	p := startChromium(t).tab(t)
	show(t, p, "writers", "data:text/html,<!doctype html>")
	eval[any](t, p, "void eval(%v)", source.ReadJS)
	eval[any](t, p, "void eval(%v)", source.WriteJS)
	list := func(b []byte) []int { // as JSON, bytes would be base64
		out := make([]int, len(b))
		for i, v := range b {
			out[i] = int(v)
		}
		return out
	}
	write := func(writer string, b []byte, s source.Stamp) []byte {
		stamp := map[string]any{"sender": s.Sender, "frame": s.Frame, "sent": s.Sent}
		var out []byte
		for _, v := range eval[[]int](t, p, "[...tolkynSource."+writer+"(new Uint8Array(%v), %v)]", list(b), stamp) {
			out = append(out, byte(v))
		}
		return out
	}
	for _, sent := range []int64{0, -1, 1_793_000_000_123_456} {
		s := source.Stamp{Sender: 0xfffffff1, Frame: 0x80000001, Sent: sent}
		require.Equal(t, source.AppendVP8(nil, []byte("a frame"), s), write("stampVP8", []byte("a frame"), s))
		for _, packet := range [][]byte{
			{0x78, 1, 2, 3},
			{0x79, 1, 2},
			{0x7a, 1, 1, 2, 3},
			{0x7b, 2, 1, 2},
			{0x7b, 0x83, 1, 2, 1, 2, 2, 3, 3, 3},
		} {
			require.Equal(t, source.AppendOpus(nil, packet, s), write("stampOpus", packet, s), "%x", packet)
		}
		for _, packet := range [][]byte{{0x78}, {0x78, 1}, {0x7b, 0x41, 4, 9, 0xfc, 0x44, 1, 10}} {
			require.Equal(t, packet, write("stampOpus", packet, s), "left as it is: %x", packet)
		}
	}
	code := source.Code{Scene: 2, Layer: source.Mid, Frame: 161}
	pixels := eval[[]int](t, p, `(() => {
		const g = Object.assign(document.createElement("canvas"), { width: 320, height: 16 }).getContext("2d");
		tolkynSource.drawBlocks(g, 320, %v);
		return [...g.getImageData(0, 0, 320, 16).data].filter((_, i) => i %% 4 === 1);
	})()`, code)
	luma := make([]byte, len(pixels))
	for i, v := range pixels {
		luma[i] = byte(v)
	}
	got, ok := source.ReadBlocks(luma, 320, 320, 16)
	require.True(t, ok)
	require.Equal(t, code, got)
}
