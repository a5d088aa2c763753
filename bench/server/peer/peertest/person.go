package peertest

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/bench/caller"
	"github.com/tolkyn/tolkyn/bench/measure"
	"github.com/tolkyn/tolkyn/internal/clip"
)

const (
	// patience is how long a test waits for what must come: how fast it comes is the machine's business.
	patience = 30 * time.Second
	// plenty is how many packets of a track are enough to believe that it flows.
	plenty = 25
	// A frame of a picture has three packets.
	frameSize = 2600
)

// Person is in a call, publishes a microphone and a camera, and notes what comes. All methods are safe from any goroutine.
type Person struct {
	// Fixed after Join.
	Identity string
	conn     caller.Connection
	leave    context.CancelFunc
	sending  sync.WaitGroup

	// Guarded by mu.
	mu       sync.Mutex
	got      map[string]int // packets by "sender/track", as they say themselves
	slots    map[string]int // of video, by sender
	wrong    []string       // packets that came under another's name
	repaired int
	steps    []measure.Step
	ups      []bool
	asked    int // keyframe requests
}

// Join places somebody who takes so many streams of each kind. They leave with the test, or with Leave.
func Join(t testing.TB, d caller.Dialer, room, identity string, audio, video int, n caller.Network) *Person {
	t.Helper()
	p := &Person{Identity: identity, got: map[string]int{}, slots: map[string]int{}}
	who := caller.Participant{
		Room: room, Identity: identity, AudioSlots: audio, VideoSlots: video, Network: n,
		On: caller.Events{Step: p.step, Packet: p.packet, KeyframeRequest: p.keyframe, Up: p.up},
	}
	microphone := local(t, webrtc.MimeTypeOpus, "microphone", identity)
	camera := local(t, webrtc.MimeTypeVP8, "camera", identity)
	who.Tracks = []caller.Track{
		{ID: "microphone", Kind: measure.Audio, Local: microphone}, {ID: "camera", Kind: measure.Video, Local: camera},
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var err error
	p.conn, err = d.Dial(ctx, who)
	require.NoError(t, err, identity)
	speaking, leave := context.WithCancel(context.Background())
	p.leave = leave
	p.sending.Go(func() { p.send(speaking, microphone, camera) })
	t.Cleanup(func() { p.Leave(t) })
	return p
}

func local(t testing.TB, mime, id, identity string) *webrtc.TrackLocalStaticRTP {
	track, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: mime}, id, identity)
	require.NoError(t, err)
	return track
}

// Leave ends the stay; twice does no harm.
func (p *Person) Leave(t testing.TB) {
	t.Helper()
	p.leave()
	p.sending.Wait()
	require.NoError(t, p.conn.Close(), p.Identity)
}

// Connection is the driver's.
func (p *Person) Connection() caller.Connection { return p.conn }

// Gets waits until plenty of each other's microphone and camera has come from now on, and nothing under a wrong name.
func (p *Person) Gets(t testing.TB, others ...*Person) {
	t.Helper()
	var tracks []string
	for _, o := range others {
		tracks = append(tracks, o.Identity+"/microphone", o.Identity+"/camera")
	}
	p.GetsTracks(t, tracks...)
}

// GetsTracks is Gets of tracks by name: "ann/camera".
func (p *Person) GetsTracks(t testing.TB, tracks ...string) {
	t.Helper()
	p.mu.Lock()
	before := maps.Clone(p.got)
	p.mu.Unlock()
	p.Eventually(t, func() bool {
		return !slices.ContainsFunc(tracks, func(name string) bool { return p.got[name]-before[name] < plenty })
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	require.Empty(t, p.wrong, "%s got packets under wrong names", p.Identity)
}

// Got is how many packets of a track have come.
func (p *Person) Got(track string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.got[track]
}

// GetsRepaired waits until a packet has come by retransmission.
func (p *Person) GetsRepaired(t testing.TB) {
	t.Helper()
	p.Eventually(t, func() bool { return p.repaired > 0 })
}

// Steps are those told so far.
func (p *Person) Steps() []measure.Step {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.steps)
}

// Ups is what was told of the media path.
func (p *Person) Ups() []bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.ups)
}

// Asks requests a keyframe of somebody and waits until they have heard.
func (p *Person) Asks(t testing.TB, of *Person) {
	t.Helper()
	p.mu.Lock()
	slot, ok := p.slots[of.Identity]
	p.mu.Unlock()
	require.True(t, ok, "no picture of %s", of.Identity)
	of.mu.Lock()
	before := of.asked
	of.mu.Unlock()
	require.NoError(t, p.conn.RequestKeyframe(slot))
	of.Eventually(t, func() bool { return of.asked > before })
}

// Eventually waits for what is so under the lock.
func (p *Person) Eventually(t testing.TB, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		p.mu.Lock()
		ok := so()
		state := fmt.Sprintf("%s: got %v, wrong %v, steps %v, up %v, asked %d", p.Identity, p.got, p.wrong, p.steps, p.ups, p.asked)
		p.mu.Unlock()
		if ok {
			return
		}
		require.False(t, time.Now().After(deadline), state)
	}
}

// send talks and waves, 50 packets and 25 frames a second.
func (p *Person) send(ctx context.Context, microphone, camera *webrtc.TrackLocalStaticRTP) {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	sound := rtp.Packet{Header: rtp.Header{Version: 2, Marker: true}}
	picture := rtp.Packet{Header: rtp.Header{Version: 2}}
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		sound.SequenceNumber++
		sound.Timestamp = uint32(i) * 960
		sound.Payload = append([]byte{0xf8}, p.signed("microphone", 60)...)
		_ = microphone.WriteRTP(&sound) // between two sessions there is nobody to write to
		if i%2 > 0 {
			continue
		}
		picture.Timestamp = uint32(i) * 1800
		frame := append(frameHeader(i%20 == 0), p.signed("camera", frameSize)...)
		parts := clip.PacketizeVP8(frame, uint16(i/2))
		for j, part := range parts {
			picture.SequenceNumber++
			picture.Payload, picture.Marker = part, j == len(parts)-1
			_ = camera.WriteRTP(&picture)
		}
	}
}

// signed repeats a signature.
func (p *Person) signed(track string, size int) []byte {
	signature := "<" + p.Identity + "/" + track + ">"
	return []byte(strings.Repeat(signature, size/len(signature)+1))[:size]
}

// frameHeader begins a VP8 frame (RFC 6386, section 9.1): a keyframe of 320×180, or one that leans on it.
func frameHeader(keyframe bool) []byte {
	if keyframe {
		return []byte{0x10, 0, 0, 0x9d, 0x01, 0x2a, 320 & 0xff, 320 >> 8, 180, 0}
	}
	return []byte{0x11, 0, 0}
}

// signature finds who sent a packet. The last one is taken: what stands before the frame may look like one.
func signature(payload []byte) (string, bool) {
	end := bytes.LastIndexByte(payload, '>')
	if end < 0 {
		return "", false
	}
	begin := bytes.LastIndexByte(payload[:end], '<')
	return string(payload[begin+1 : end]), begin >= 0
}

func (p *Person) packet(_ time.Time, s caller.Source, packet *rtp.Packet, came measure.Repair) {
	name, ok := signature(packet.Payload)
	p.mu.Lock()
	defer p.mu.Unlock()
	if !ok {
		return // padding, or a silence that a server has made
	}
	p.got[name]++
	if came == measure.Resent {
		p.repaired++
	}
	if told := s.Sender + "/" + s.Track; told != name && len(p.wrong) < 10 {
		p.wrong = append(p.wrong, fmt.Sprintf("%s as %s", name, told))
	}
	if s.Kind == measure.Video {
		p.slots[s.Sender] = s.Slot
	}
}

func (p *Person) step(s measure.Step, _ time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.steps = append(p.steps, s)
}

func (p *Person) keyframe(trackID string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if trackID == "camera" {
		p.asked++
	}
}

func (p *Person) up(_ time.Time, up bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ups = append(p.ups, up)
}
