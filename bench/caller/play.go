package caller

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/tolkyn/tolkyn/bench/measure"
	"github.com/tolkyn/tolkyn/bench/scenario"
	"github.com/tolkyn/tolkyn/bench/source"
	"github.com/tolkyn/tolkyn/internal/clip"
)

// tape is one encoding of a track that a full caller publishes: a clip that is played over and over.
type tape struct {
	// Fixed after newTape.
	id      string // of the track
	rid     string // empty where the track has no other encoding
	kind    measure.Kind
	local   *webrtc.TrackLocalStaticRTP
	clips   *source.Clips
	profile scenario.Profile
	scene   int
	sender  uint32
	wants   chan struct{} // one place: a keyframe is wanted

	// Atomic.
	muted          atomic.Bool
	unwanted       atomic.Bool // nobody watches it
	packets, bytes atomic.Int64
}

// newTape plays a layer, from 0, of a caller's i-th track.
func newTape(clips *source.Clips, c scenario.Caller, i, layer int) (*tape, error) {
	e := c.Publish[i].Encodings()[layer]
	t := &tape{
		id: string(c.Publish[i].Media), rid: e.RID, kind: measure.Video, clips: clips, profile: e.Profile,
		scene: c.Number, sender: source.Sender(c.Number, i, layer), wants: make(chan struct{}, 1),
	}
	mime := webrtc.MimeTypeVP8
	if c.Publish[i].Media == scenario.Microphone {
		t.kind, mime = measure.Audio, webrtc.MimeTypeOpus
	}
	var err error
	t.local, err = webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: mime}, t.id, c.Identity)
	return t, err
}

// newTapes are all that a caller publishes, in order.
func newTapes(clips *source.Clips, c scenario.Caller) ([]*tape, error) {
	var all []*tape
	for i, track := range c.Publish {
		for layer := range track.Encodings() {
			t, err := newTape(clips, c, i, layer)
			if err != nil {
				return nil, err
			}
			all = append(all, t)
		}
	}
	return all, nil
}

// tracksOf are what tapes in a row publish: those of one id are the encodings of one track.
func tracksOf(tapes []*tape) []Track {
	var all []Track
	for _, t := range tapes {
		switch n := len(all); {
		case t.rid == "":
			all = append(all, Track{ID: t.id, Kind: t.kind, Local: t.local})
			continue
		case n == 0 || all[n-1].ID != t.id:
			all = append(all, Track{ID: t.id, Kind: t.kind})
		}
		last := &all[len(all)-1]
		last.Encodings = append(last.Encodings, Encoding{
			RID: t.rid, Local: t.local, KeyframeRequest: t.wantKeyframe, Wanted: func(yes bool) { t.unwanted.Store(!yes) },
		})
	}
	return all
}

// wantKeyframe is called from anybody's goroutine.
func (t *tape) wantKeyframe() {
	select {
	case t.wants <- struct{}{}:
	default: // asked already
	}
}

// request asks all tapes of a track for a keyframe; no track: those of pictures.
func request(tapes []*tape, trackID string) {
	for _, t := range tapes {
		if t.id == trackID || trackID == "" && t.kind == measure.Video {
			t.wantKeyframe()
		}
	}
}

// play sends the clip in real time until ctx ends. A muted tape runs on unheard, as a microphone does, and so does one that nobody
// watches.
func (t *tape) play(ctx context.Context) error {
	player := t.clips.Video(t.scene, layerOf(t.profile), t.sender)
	if t.kind == measure.Audio {
		player = t.clips.Audio(t.scene, profileOf(t.profile), t.sender)
	}
	began := time.Now()
	packet := rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: uint16(rand.Uint32N(1 << 15))}}
	picture := uint16(rand.Uint32())
	var buffer []byte
	rests := false // the frame before went to nobody
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		timer.Reset(time.Until(began.Add(player.Due())))
		select {
		case <-ctx.Done():
			return nil
		case <-t.wants:
			player.Request(time.Since(began))
			continue
		case <-timer.C:
		}
		rested := rests
		if rests = t.muted.Load() || t.unwanted.Load(); rested && !rests {
			player.Request(time.Since(began)) // as an encoder begins
		}
		frame, err := player.Take(buffer[:0], time.Since(began), time.Now().UnixMicro())
		if err != nil {
			return fmt.Errorf("play %s: %w", t.id, err)
		}
		buffer = frame.Data
		if rests {
			player.Rest()
			continue
		}
		packet.Timestamp = frame.Timestamp
		if t.kind == measure.Audio {
			err = t.write(&packet, frame.Data, false)
		} else {
			picture++
			parts := clip.PacketizeVP8(frame.Data, picture)
			for i := 0; i < len(parts) && err == nil; i++ {
				err = t.write(&packet, parts[i], i == len(parts)-1)
			}
		}
		if err != nil {
			return fmt.Errorf("send %s: %w", t.id, err)
		}
	}
}

func (t *tape) write(p *rtp.Packet, payload []byte, last bool) error {
	p.Payload, p.Marker = payload, last
	err := t.local.WriteRTP(p)
	p.SequenceNumber++
	t.packets.Add(1)
	t.bytes.Add(int64(12 + len(payload)))
	// A connection that is being replaced takes nothing; the next one asks for a keyframe.
	if err != nil && !errors.Is(err, io.ErrClosedPipe) && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// playing runs all tapes of a caller.
type playing struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// startPlaying begins once ready is closed: then all of them at one moment.
func startPlaying(ctx context.Context, tapes []*tape, ready <-chan struct{}, failed func(error)) *playing {
	p := &playing{}
	ctx, p.cancel = context.WithCancel(ctx)
	for _, t := range tapes {
		p.wg.Go(func() {
			select {
			case <-ready:
			case <-ctx.Done():
				return
			}
			if err := t.play(ctx); err != nil {
				failed(err)
			}
		})
	}
	return p
}

func (p *playing) stop() {
	p.cancel()
	p.wg.Wait()
}
