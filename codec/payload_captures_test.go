package codec

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/pion/rtp"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/capture"
)

// What browsers really sent is understood, packet by packet: payloads, their frames, the numbers of their pictures, and
// the header extensions that speak of media.
func TestCapturesAreUnderstood(t *testing.T) {
	paths, err := capture.List("testdata/captures")
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			c, err := capture.Read(path)
			require.NoError(t, err)
			walks := map[uint32]*captureWalk{}
			for _, e := range c.Encodings {
				walks[e.SSRC] = &captureWalk{codec: codecNamed(t, c.Codec), capture: c}
			}
			for _, p := range c.Packets {
				if p.RTCP {
					continue
				}
				var packet rtp.Packet
				require.NoError(t, packet.Unmarshal(p.Data))
				w := walks[packet.SSRC]
				require.NotNil(t, w, "SSRC %d", packet.SSRC)
				w.packet(t, &packet)
			}
			for ssrc, w := range walks {
				w.end(t, ssrc)
			}
		})
	}
}

func codecNamed(t *testing.T, name string) Codec {
	for c := Opus; int(c) < Count; c++ {
		if c.String() == name {
			return c
		}
	}
	require.Fail(t, "no codec is named so", name)
	return 0
}

// captureWalk goes through the packets of one encoding.
type captureWalk struct {
	codec     Codec
	capture   *capture.Capture
	sequence  uint16
	timestamp uint32
	last      Meta   // of the packet before that had a payload
	primary   []byte // RED: of the packet before
	packets   int
	keyframes int
	pictures  int
	silences  int
	width     uint16
}

func (w *captureWalk) packet(t *testing.T, p *rtp.Packet) {
	w.extensions(t, p)
	gap := w.packets > 0 && p.SequenceNumber != w.sequence+1
	w.sequence = p.SequenceNumber
	if len(p.Payload) == 0 {
		return // padding, which probes the path
	}
	payload := p.Payload
	if w.capture.REDPayloadType != 0 && p.PayloadType == w.capture.REDPayloadType {
		payload = w.red(t, p)
	} else {
		require.Equal(t, w.capture.PayloadType, p.PayloadType)
	}
	m, ok := w.codec.Inspect(payload, p.Marker)
	require.True(t, ok, "packet %d: % x", p.SequenceNumber, payload[:min(len(payload), 24)])
	if w.codec.Video() {
		w.video(t, p, m, gap)
	} else {
		w.voice(t, payload)
	}
	w.packets++
	w.last, w.timestamp = m, p.Timestamp
}

// voice: browsers send 20 ms a packet.
func (w *captureWalk) voice(t *testing.T, payload []byte) {
	o, ok := ReadOpus(payload)
	require.True(t, ok)
	require.Equal(t, uint16(960), o.Samples)
	if o.DTX {
		w.silences++
	}
}

// red returns the packet's own payload. The copies in front of it are what the packets before were.
func (w *captureWalk) red(t *testing.T, p *rtp.Packet) []byte {
	blocks, n, ok := ReadRED(p.Payload)
	require.True(t, ok)
	for _, b := range blocks[:n] {
		require.Equal(t, w.capture.PayloadType, b.PayloadType)
	}
	if n > 1 && w.packets > 0 && p.Timestamp-w.timestamp == uint32(blocks[n-2].Offset) {
		require.Equal(t, w.primary, blocks[n-2].Data)
	}
	w.primary = blocks[n-1].Data
	return w.primary
}

func (w *captureWalk) video(t *testing.T, p *rtp.Packet, m Meta, gap bool) {
	require.Equal(t, p.Marker, m.Last)
	require.True(t, !m.Last || m.End, "a picture ends with a frame")
	require.True(t, !m.Keyframe || m.Start && m.Entry)
	if m.Keyframe {
		w.keyframes++
		require.NotZero(t, m.Width)
		require.NotZero(t, m.Height)
		require.True(t, w.width == 0 || w.width == m.Width, "the encoding keeps its size")
		w.width = m.Width
	}
	newPicture := w.packets == 0 || p.Timestamp != w.timestamp
	if newPicture {
		w.pictures++
	}
	if w.packets == 0 {
		require.True(t, m.Keyframe, "captures begin with a keyframe")
	} else if !gap {
		require.Equal(t, newPicture, w.last.Last, "the marker ends a picture")
		w.follows(t, m, newPicture)
	}
	switch w.codec {
	case VP8:
		checkVP8(t, p.Payload, m.PictureID+1000, m.TL0+100)
	case VP9:
		checkVP9(t, p.Payload, m.PictureID+1000, m.TL0+100)
	}
}

// follows compares a packet with the one before.
func (w *captureWalk) follows(t *testing.T, m Meta, newPicture bool) {
	if w.codec == VP8 || w.codec == VP9 {
		require.Equal(t, w.last.End, m.Start, "a frame begins where the one before ended")
	}
	// Chromium's VP8 tells neither picture ids nor layers where the dependency descriptor does.
	require.True(t, w.codec != VP9 || m.HasPictureID)
	if m.HasPictureID {
		require.True(t, m.LongPictureID)
		want := w.last.PictureID
		if newPicture {
			want = (want + 1) & 0x7fff
		}
		require.Equal(t, want, m.PictureID)
	}
	if w.codec == VP9 && m.Start && !newPicture {
		require.Greater(t, m.Layer.Spatial, w.last.Layer.Spatial, "upwards in a picture")
	}
	if w.codec == H264 {
		require.True(t, !newPicture || m.Start)
		require.True(t, newPicture || !m.Keyframe, "the parameter sets come first")
	}
	if w.codec == VP8 && m.HasTL0 {
		want := w.last.TL0
		if newPicture && m.Layer.Temporal == 0 {
			want++
		}
		require.Equal(t, want, m.TL0)
	}
}

func (w *captureWalk) extensions(t *testing.T, p *rtp.Packet) {
	for name, id := range w.capture.Extensions {
		b := p.GetExtension(id)
		if b == nil {
			continue
		}
		ok := true
		switch name {
		case "audio-level":
			_, ok = ReadAudioLevel(b)
		case "orientation":
			_, ok = ReadOrientation(b)
		case "abs-capture-time":
			_, ok = ReadCaptureTime(b)
		case "playout-delay":
			_, ok = ReadPlayoutDelay(b)
		case "layers-allocation":
			var a LayersAllocation
			a, ok = ReadLayersAllocation(b)
			require.LessOrEqual(t, a.Streams, max(len(w.capture.Encodings), 3))
		}
		require.True(t, ok, "%s: % x", name, b)
	}
}

func (w *captureWalk) end(t *testing.T, ssrc uint32) {
	require.NotZero(t, w.packets, "SSRC %d sent", ssrc)
	if w.codec.Video() {
		require.GreaterOrEqual(t, w.keyframes, 2)
		require.Greater(t, w.pictures, w.keyframes)
	}
	if strings.Contains(w.capture.Asked, `"dtx":true`) {
		require.NotZero(t, w.silences, "silence was told")
	}
}
