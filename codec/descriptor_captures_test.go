package codec

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/capture"
	"github.com/tolkyn/tolkyn/internal/packet"
)

// Every dependency descriptor that a browser wrote is read, agrees with the payload behind it, and is rewritten without
// another meaning.
func TestCapturesDescriptors(t *testing.T) {
	paths, err := capture.List("testdata/captures")
	require.NoError(t, err)
	described := 0
	for _, path := range paths {
		c, err := capture.Read(path)
		require.NoError(t, err)
		id := c.Extensions["dependency-descriptor"]
		if id == 0 {
			continue
		}
		t.Run(filepath.Base(path), func(t *testing.T) {
			streams := map[uint32]*describedStream{}
			for _, e := range c.Encodings {
				streams[e.SSRC] = &describedStream{codec: codecNamed(t, c.Codec), shared: len(c.Encodings) > 1, frames: map[uint16]Descriptor{}}
			}
			for _, p := range c.Packets {
				h, ok := packet.ParseHeader(p.Data)
				s := streams[h.SSRC]
				if p.RTCP || !ok || s == nil {
					continue
				}
				payload, ok := h.Payload(p.Data)
				require.True(t, ok)
				var b []byte
				for e := h.Elements(p.Data); e.Next(); {
					if e.ID == id {
						b = e.Data()
					}
				}
				if len(payload) == 0 || b == nil {
					require.False(t, len(payload) != 0 && s.packets > 0, "packets of one stream all have it, or none")
					continue
				}
				s.packet(t, &h, payload, b)
				described++
			}
			for _, s := range streams {
				if s.packets > 0 {
					s.end(t)
				}
			}
		})
	}
	require.NotZero(t, described)
}

type describedStream struct {
	codec      Codec
	shared     bool // encodings of one simulcast are numbered together
	structure  Structure
	last       uint16
	first      uint16
	lastNumber uint16
	lastEnd    bool
	frames     map[uint16]Descriptor // by number
	packets    int
	sized      bool
	keyframes  int
	layers     map[Layer]int
}

func (s *describedStream) packet(t *testing.T, h *packet.Header, payload, b []byte) {
	d, ok := s.structure.ReadDescriptor(b)
	require.True(t, ok, "packet %d: % x", h.Sequence, b)
	m, ok := s.codec.Inspect(payload, h.Marker)
	require.True(t, ok)

	gap := s.packets > 0 && h.Sequence != s.last+1
	s.last = h.Sequence
	require.True(t, !m.Keyframe || d.Structure, "the structure makes the keyframe")
	require.True(t, !d.Structure || d.Start && m.Entry, "only frames that need no other picture carry it")
	require.True(t, !h.Marker || d.End, "the picture's last packet is the frame's")
	if m.HasLayer {
		require.Equal(t, m.Layer, d.Layer)
	}
	if m.Keyframe && s.codec != VP9 { // whose first frame tells its own layer's size
		width, height := s.structure.Resolution(s.structure.Target(s.structure.Targets() - 1).Spatial)
		require.True(t, width == 0 || width == m.Width && height == m.Height, "%dx%d, and %dx%d", width, height, m.Width, m.Height)
		s.sized = s.sized || width != 0
	}
	if s.codec == VP8 || s.codec == VP9 {
		require.Equal(t, []bool{m.Start, m.End}, []bool{d.Start, d.End})
	}
	require.True(t, !d.Start || m.Start, "a frame begins with something that can begin one")
	if s.packets > 0 && !gap {
		require.Equal(t, s.lastEnd, d.Start, "a frame begins where the one before ended")
		if d.Start {
			step := int16(d.Number - s.lastNumber)
			require.True(t, step == 1 || s.shared && step > 0, "frame %d after %d", d.Number, s.lastNumber)
		} else {
			require.Equal(t, s.lastNumber, d.Number)
		}
	}
	s.packets++
	s.lastEnd, s.lastNumber = d.End, d.Number
	checkAppend(t, &s.structure, b, d.Number+12345, 0)
	checkAppend(t, &s.structure, b, d.Number+12345, s.structure.Within(Layer{0, 1}))
	if d.Start {
		s.frame(t, b, d)
	}
}

// frame checks what a frame depends on: who needs it needs those as well.
func (s *describedStream) frame(t *testing.T, b []byte, d Descriptor) {
	if d.Structure && d.Layer == (Layer{}) {
		s.keyframes++
		s.layers = map[Layer]int{}
		for i := range s.structure.Targets() {
			require.Equal(t, i, s.structure.Best(s.structure.Target(i), ^uint32(0)), "browsers have a target for each layer")
		}
	}
	if len(s.frames) == 0 {
		s.first = d.Number
	}
	s.layers[d.Layer]++
	references, n, ok := s.structure.References(b)
	require.True(t, ok)
	require.Equal(t, d.Structure, n == 0)
	for _, number := range references[:n] {
		f, ok := s.earlier(t, number)
		if !ok {
			continue
		}
		missing := d.Needed & d.Active &^ f.Needed
		require.Zero(t, missing, "frame %d needs %d, and decode targets %b do not have it", d.Number, number, missing)
		require.Zero(t, d.Needed&d.Active&f.Discardable, "frame %d refers to %d, which was to be discardable", d.Number, number)
	}
	for target := range s.structure.Targets() {
		chain := s.structure.Chain(target)
		if chain < 0 {
			require.Equal(t, VP8, s.codec, "browsers' other codecs have chains")
			continue
		}
		distance, ok := s.structure.ChainDistance(b, chain)
		require.True(t, ok)
		if d.Active>>target&1 == 0 || distance == 0 {
			continue
		}
		if f, ok := s.earlier(t, d.Number-uint16(distance)); ok {
			require.True(t, s.structure.InChain(f, chain), "frame %d, chain %d, %d frames before", d.Number, chain, distance)
		}
	}
	s.frames[d.Number] = d
}

// earlier is an earlier frame; false when it was before the capture began: Chromium's AV1 refers to frames in front of the
// keyframe when the encoder left out the picture behind it, and chains of spatial layers without dependence among them lead
// there.
func (s *describedStream) earlier(t *testing.T, number uint16) (Descriptor, bool) {
	f, ok := s.frames[number]
	require.True(t, ok || int16(number-s.first) < 0, "frame %d was not sent", number)
	return f, ok
}

func (s *describedStream) end(t *testing.T) {
	require.GreaterOrEqual(t, s.keyframes, 2)
	require.True(t, s.sized || s.codec != AV1, "AV1's structures tell sizes")
	t.Logf("%d packets, %d keyframes, %d decode targets, layers of the last sequence %v", s.packets, s.keyframes, s.structure.Targets(), s.layers)
}
