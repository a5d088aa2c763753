package caller

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/bench/scenario"
	"github.com/tolkyn/tolkyn/bench/source"
)

// wire takes what a tape sends.
type wire struct {
	webrtc.TrackLocalContext

	began     time.Time
	keyframes []time.Duration // when the first packet of each went
	pictures  []time.Duration // likewise, of all
}

func (w *wire) ID() string                           { return "wire" }
func (w *wire) SSRC() webrtc.SSRC                    { return 1 }
func (w *wire) SSRCRetransmission() webrtc.SSRC      { return 0 }
func (w *wire) WriteStream() webrtc.TrackLocalWriter { return w }
func (w *wire) Write([]byte) (int, error)            { panic("not used") }

func (w *wire) SSRCForwardErrorCorrection() webrtc.SSRC { return 0 }

func (w *wire) CodecParameters() []webrtc.RTPCodecParameters {
	return []webrtc.RTPCodecParameters{{RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8, ClockRate: 90000}}}
}

func (w *wire) WriteRTP(_ *rtp.Header, payload []byte) (int, error) {
	if now := time.Since(w.began); payload[0]&0x10 != 0 {
		w.pictures = append(w.pictures, now)
		if payload[4]&1 == 0 { // RFC 6386 §9.1
			w.keyframes = append(w.keyframes, now)
		}
	}
	return len(payload), nil
}

// An encoding that is wanted again begins with a keyframe, as encoders do, wherever the clip is: though one has just gone by unseen, by
// itself or because the request came before the word.
func TestWhatIsWantedAgainBeginsWithAKeyframe(t *testing.T) {
	clips, err := source.Load()
	require.NoError(t, err)
	camera := scenario.Track{Media: scenario.Camera, Profile: scenario.P720, Layers: 3}
	for _, asked := range []bool{false, true} {
		for off := time.Second; off < 2*time.Second; off += 90 * time.Millisecond {
			synctest.Test(t, func(t *testing.T) {
				tape, err := newTape(clips, scenario.Caller{Identity: "aru", Number: 1, Publish: []scenario.Track{camera}}, 0, 0)
				require.NoError(t, err)
				w := &wire{began: time.Now()}
				_, err = tape.local.Bind(w)
				require.NoError(t, err)
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- tape.play(ctx) }()
				time.Sleep(500 * time.Millisecond)
				tape.unwanted.Store(true)
				time.Sleep(off)
				if asked {
					tape.wantKeyframe()
					time.Sleep(5 * time.Millisecond)
				}
				again := time.Since(w.began)
				tape.unwanted.Store(false)
				time.Sleep(200 * time.Millisecond)
				cancel()
				require.NoError(t, <-ended)
				for len(w.pictures) > 0 && w.pictures[0] < again {
					w.pictures = w.pictures[1:]
				}
				require.NotEmpty(t, w.pictures)
				require.Contains(t, w.keyframes, w.pictures[0], "wanted again %v after it was not", off)
				require.Less(t, w.pictures[0]-again, 40*time.Millisecond)
			})
		}
	}
}
