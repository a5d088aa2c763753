//go:build !race

package caller

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/bench/measure"
	"github.com/tolkyn/tolkyn/bench/scenario"
)

// These calls do not run with the race detector: so many timers at one moment of a bubble's time break its own bookkeeping
// (ThreadSanitizer's "CHECK failed … slot_locked", or a crash inside it, every other run with Go 1.26). Full callers are run with it for
// real in package bench.

// broken is a server that is in the way: it hands on what it gets, with the faults that it was given. It lives in this process
// and in a bubble's time, so that what callers measure of it is exact.
type broken struct {
	// What it does to each packet that it hands on: when the receiver gets it after the sender, and whether at all.
	treat func(p passing) (after time.Duration, ok bool)
	// Whose picture it shows instead of somebody's; nil: the right one.
	swap func(at time.Duration, from string) string

	mu    sync.Mutex
	epoch time.Time
	there []*guest
}

// passing is a packet on its way through the server.
type passing struct {
	at     time.Duration
	kind   measure.Kind
	from   string
	number int // of the packets of this track to this receiver, from 1
}

type guest struct {
	server *broken
	p      Participant
	lanes  map[string]*lane
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// lane is one track on its way to one guest.
type lane struct {
	packets chan timed
	source  Source
	count   int
}

type timed struct {
	at time.Time
	p  *rtp.Packet
}

// Dial implements Dialer.
func (b *broken) Dial(_ context.Context, p Participant) (Connection, error) {
	g := &guest{server: b, p: p, lanes: map[string]*lane{}}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	for _, t := range p.Tracks {
		if _, err := t.Local.Bind(binding{func(h *rtp.Header, payload []byte) {
			b.pass(g, t, rtp.Packet{Header: h.Clone(), Payload: bytes.Clone(payload)})
		}}); err != nil {
			return nil, err
		}
	}
	b.mu.Lock()
	b.there = append(b.there, g)
	b.mu.Unlock()
	for _, s := range []measure.Step{measure.Connect, measure.Auth, measure.Join, measure.ICE, measure.DTLS} {
		p.On.Step(s, time.Now())
	}
	p.On.Up(time.Now(), true)
	return g, nil
}

// pass hands a packet to everybody else.
func (b *broken) pass(from *guest, t Track, packet rtp.Packet) {
	b.mu.Lock()
	defer b.mu.Unlock()
	at := time.Since(b.epoch)
	shown := from.p.Identity
	if b.swap != nil && t.Kind == measure.Video {
		shown = b.swap(at, shown)
	}
	for _, to := range b.there {
		// Whose picture is shown in whose place is seen by those who are neither.
		if to == from || to.p.Identity == shown {
			continue
		}
		l := to.lanes[shown+t.ID]
		if l == nil {
			l = &lane{packets: make(chan timed, 10_000), source: Source{
				Slot: len(to.lanes), Sender: shown, Track: t.ID, Kind: t.Kind, Codec: "VP8",
			}}
			to.lanes[shown+t.ID] = l
			to.wg.Go(func() { to.deliver(l) })
		}
		l.count++
		after, ok := time.Duration(0), true
		if b.treat != nil {
			after, ok = b.treat(passing{at, t.Kind, from.p.Identity, l.count})
		}
		packet.SequenceNumber = uint16(l.count) // a slot's own
		if ok {
			one := packet
			l.packets <- timed{time.Now().Add(after), &one}
		}
	}
}

func (g *guest) deliver(l *lane) {
	for {
		select {
		case t := <-l.packets:
			if !sleepUntil(g.ctx, t.at) {
				return
			}
			g.p.On.Packet(time.Now(), l.source, t.p, measure.FirstTry)
		case <-g.ctx.Done():
			return
		}
	}
}

// Look implements Connection.
func (*guest) Look(int, int) {}

// RequestKeyframe implements Connection.
func (g *guest) RequestKeyframe(slot int) error {
	g.server.mu.Lock()
	defer g.server.mu.Unlock()
	for _, l := range g.lanes {
		for _, other := range g.server.there {
			if l.source.Slot == slot && other.p.Identity == l.source.Sender {
				other.p.On.KeyframeRequest(l.source.Track)
			}
		}
	}
	return nil
}

// Stats implements Connection.
func (g *guest) Stats() Stats { return Stats{Signaling: "none", Path: "memory"} }

// NetworkChanged implements Connection.
func (g *guest) NetworkChanged() {}

// Close implements Connection.
func (g *guest) Close() error {
	for _, t := range g.p.Tracks {
		if err := t.Local.Unbind(binding{}); err != nil {
			return err
		}
	}
	g.cancel()
	g.wg.Wait()
	return nil
}

// binding is a connection as a local track knows it.
type binding struct {
	write func(*rtp.Header, []byte)
}

func (binding) CodecParameters() []webrtc.RTPCodecParameters {
	return []webrtc.RTPCodecParameters{
		{RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8}, PayloadType: 96},
		{RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}, PayloadType: 111},
	}
}
func (binding) HeaderExtensions() []webrtc.RTPHeaderExtensionParameter { return nil }
func (binding) SSRC() webrtc.SSRC                                      { return 1 }
func (binding) SSRCRetransmission() webrtc.SSRC                        { return 0 }
func (binding) SSRCForwardErrorCorrection() webrtc.SSRC                { return 0 }
func (b binding) WriteStream() webrtc.TrackLocalWriter                 { return b }
func (binding) ID() string                                             { return "binding" }
func (binding) RTCPReader() interceptor.RTCPReader                     { return nil }
func (b binding) Write([]byte) (int, error)                            { return 0, io.ErrNoProgress }

func (b binding) WriteRTP(h *rtp.Header, payload []byte) (int, error) {
	b.write(h, payload)
	return len(payload), nil
}

// call plays a scenario against a server in a bubble's time, as a worker process would, and returns its result.
func call(t *testing.T, text string, server *broken, look func(t *testing.T, r *Result)) {
	t.Helper()
	s, err := scenario.Parse("test.yaml", []byte(text), scenario.Known{})
	require.NoError(t, err)
	perform(t, Job{Callers: scenario.Schedule(s), Warmup: s.Warmup, Duration: s.Duration}, server, look)
}

// perform plays a job that begins a second from now.
func perform(t *testing.T, job Job, server *broken, look func(t *testing.T, r *Result)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		server.epoch = time.Now().Add(time.Second)
		job.Epoch = server.epoch
		line, err := json.Marshal(job)
		require.NoError(t, err)
		in, tell := io.Pipe()
		go func() { _, _ = tell.Write(append(line, '\n')) }()
		var out bytes.Buffer
		require.NoError(t, Work(t.Context(), in, &out, func(Target) (Dialer, error) { return server, nil }))
		require.NoError(t, tell.Close())
		messages := json.NewDecoder(&out)
		var last Message
		for messages.More() {
			last = Message{}
			require.NoError(t, messages.Decode(&last))
		}
		require.Empty(t, last.Error)
		require.NotNil(t, last.Result)
		require.False(t, last.Result.Partial)
		look(t, last.Result)
	})
}

const three = `
name: three
duration: 14s
warmup: 2s
rooms:
  - name: room
    callers:
      - {name: aru, publish: [{media: microphone}, {media: camera, profile: 180p}]}
      - {name: bek, publish: [{media: microphone}, {media: camera, profile: 180p}]}
      - {name: cem, publish: [{media: microphone}, {media: camera, profile: 180p}]}
`

func each(r *Result, kind measure.Kind, look func(s measure.Stream)) {
	for _, s := range r.Totals.Streams {
		if s.Kind == kind {
			look(s)
		}
	}
}

// TestAServerWithoutFault has none.
func TestAServerWithoutFault(t *testing.T) {
	call(t, three, &broken{}, func(t *testing.T, r *Result) {
		require.Len(t, r.Totals.Callers, 3)
		require.Len(t, r.Totals.Streams, 12)
		each(r, measure.Audio, func(s measure.Stream) {
			require.InDelta(t, 12, s.Seconds, 0.05)
			require.InDelta(t, 600, s.Packets, 2)
			require.Zero(t, s.Loss.Before)
			require.Zero(t, s.Delay.Max)
			require.Zero(t, s.Sound.Concealed)
			require.Zero(t, s.Wrong)
			require.Greater(t, s.Sound.MOS, 4.3)
			require.InDelta(t, 0, s.Sound.LipSync.P50, 1)
		})
		each(r, measure.Video, func(s measure.Stream) {
			require.InDelta(t, 360, s.Picture.Frames, 2)
			require.Zero(t, s.Picture.Freezes)
			require.InDelta(t, 30, s.Picture.FPS, 0.5)
			require.Equal(t, []int{320, 180}, []int{s.Picture.Width, s.Picture.Height})
			require.Zero(t, s.Wrong)
		})
	})
}

// TestAServerThatDropsEvery50th: loss is two in a hundred, and so is what had to be made up of the sound.
func TestAServerThatDropsEvery50th(t *testing.T) {
	server := &broken{treat: func(p passing) (time.Duration, bool) { return 0, p.number%50 != 0 }}
	call(t, three, server, func(t *testing.T, r *Result) {
		each(r, measure.Audio, func(s measure.Stream) {
			// One that is missing at the very end is not seen.
			require.InDelta(t, 0.02, s.Loss.Before, 1.0/600)
			require.InDelta(t, 0.02, s.Loss.After, 1.0/600)
			require.InDelta(t, 0.02, s.Sound.Concealed, 0.002)
			require.InDelta(t, 12, s.Sound.Events, 1)
			require.Zero(t, s.Wrong)
		})
		undecodable := int64(0)
		each(r, measure.Video, func(s measure.Stream) {
			require.InDelta(t, 0.02, s.Loss.After, 1.0/400)
			require.NotZero(t, s.Picture.Freezes, "until a keyframe that was asked for")
			require.Less(t, s.Picture.FrozenSeconds, 12*0.75)
			undecodable += s.Picture.Undecodable
		})
		require.NotZero(t, undecodable)
	})
}

// TestAServerThatDelays by 80 ms.
func TestAServerThatDelays(t *testing.T) {
	server := &broken{treat: func(passing) (time.Duration, bool) { return 80 * time.Millisecond, true }}
	call(t, three, server, func(t *testing.T, r *Result) {
		for _, s := range r.Totals.Streams {
			require.InDelta(t, 80, s.Delay.P50, 0.1)
			require.InDelta(t, 80, s.Delay.P99, 0.1)
			require.Zero(t, s.Loss.Before)
			require.Greater(t, s.Played.P50, 80.0)
		}
	})
}

// TestAServerThatFreezes all pictures for 2 s.
func TestAServerThatFreezes(t *testing.T) {
	server := &broken{treat: func(p passing) (time.Duration, bool) {
		if hold := 9*time.Second - p.at; p.kind == measure.Video && p.at > 7*time.Second && hold > 0 {
			return hold, true
		}
		return 0, true
	}}
	call(t, three, server, func(t *testing.T, r *Result) {
		each(r, measure.Video, func(s measure.Stream) {
			require.EqualValues(t, 1, s.Picture.Freezes)
			require.InDelta(t, 2, s.Picture.FrozenSeconds, 0.05)
			require.Zero(t, s.Loss.After)
			require.InDelta(t, 2000, s.Delay.Max, 40)
		})
		each(r, measure.Audio, func(s measure.Stream) { require.Zero(t, s.Sound.Concealed) })
	})
}

// TestAServerThatMixesTwoUp: from 6 s on it shows aru's picture as bek's and bek's as aru's.
func TestAServerThatMixesTwoUp(t *testing.T) {
	server := &broken{swap: func(at time.Duration, from string) string {
		if at < 6*time.Second {
			return from
		}
		return map[string]string{"aru": "bek", "bek": "aru", "cem": "cem"}[from]
	}}
	call(t, three, server, func(t *testing.T, r *Result) {
		wrong := map[string]int64{}
		for _, s := range r.Totals.Streams {
			if s.Receiver == "cem" {
				wrong[s.Sender+" "+s.Track] = s.Wrong
			}
		}
		for _, who := range []string{"aru", "bek"} {
			require.InDelta(t, 8*30, wrong[who+" camera"], 5)
			require.Zero(t, wrong[who+" microphone"])
		}
		condition, err := measure.ParseCondition("wrong == 0")
		require.NoError(t, err)
		require.False(t, condition.Evaluate(&r.Totals).Holds)
	})
}

// TestAServerThatHoldsOneVoiceBack by 900 ms, and not the picture: lips move before they are heard.
func TestAServerThatHoldsOneVoiceBack(t *testing.T) {
	server := &broken{treat: func(p passing) (time.Duration, bool) {
		if p.from == "bek" && p.kind == measure.Audio {
			return 900 * time.Millisecond, true
		}
		return 0, true
	}}
	call(t, three, server, func(t *testing.T, r *Result) {
		each(r, measure.Audio, func(s measure.Stream) {
			if s.Sender == "bek" {
				require.InDelta(t, 900, s.Delay.P50, 0.1)
				// The picture waits for its sound, but not longer than somebody would take it for a delay.
				require.InDelta(t, 900+s.Buffered.P50-float64(holdMost/time.Millisecond), s.Sound.LipSync.P50, 12)
				return
			}
			require.Zero(t, s.Delay.P99)
			require.InDelta(t, 0, s.Sound.LipSync.P50, 1)
		})
	})
}

// TestSomebodyWhoNeverComes is missed, and somebody who is muted is not.
func TestSomebodyWhoNeverComes(t *testing.T) {
	server := &broken{treat: func(p passing) (time.Duration, bool) { return 0, p.from != "bek" }}
	text := strings.Replace(three, "{name: cem,", "{name: cem, talk: {spell: 1s, pause: 3s},", 1)
	call(t, text, server, func(t *testing.T, r *Result) {
		for _, s := range r.Totals.Streams {
			switch {
			case s.Sender == "bek":
				require.Zero(t, s.Packets)
			case s.Kind == measure.Audio:
				require.Zero(t, s.Sound.Concealed, "%s hears %s", s.Receiver, s.Sender)
			}
		}
		require.Equal(t, 2, r.Totals.Summary(measure.Audio).Missing)
		require.Equal(t, 2, r.Totals.Summary(measure.Video).Missing)
	})
}
