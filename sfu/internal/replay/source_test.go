package replay

import (
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"strings"
	"sync"

	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"

	"github.com/tolkyn/tolkyn/internal/capture"
)

// source is one encoding of one capture, and what each of its pictures looks like.
type source struct {
	name    string // capture and RID
	capture *capture.Capture
	ssrc    uint32

	frames  []capture.Frame
	packets []origin
	at      map[string][]int // places in packets by their content, ascending
	top     int              // highest spatial layer
	tops    int              // highest temporal layer
	alone   bool             // each spatial layer is a stream of its own, in modes S2T1 and so on

	// looks is the MD5 of each picture as it is decoded from all spatial layers up to one, or from that one alone: by that
	// layer, then by picture.
	looks []map[int]string
}

// origin is one packet that a browser sent.
type origin struct {
	rtp.Packet
	frame   int // which frame of the encoding
	picture int // which picture: frames of one timestamp
	first   bool
	last    bool // of its frame
}

// content is the part of a payload that no server may change.
func content(codec string, payload []byte) ([]byte, error) {
	switch codec {
	case "VP8":
		return (&codecs.VP8Packet{}).Unmarshal(payload)
	case "VP9":
		return (&codecs.VP9Packet{}).Unmarshal(payload)
	default:
		return payload, nil
	}
}

// voice is the one codec whose captures are not decoded.
const voice = "opus"

// recordings are the captures by codec, read once for all tests.
var recordings = sync.OnceValues(func() (map[string][]*source, error) {
	paths, err := capture.List("../../../codec/testdata/captures")
	if err != nil {
		return nil, err
	}
	byCodec := map[string][]*source{}
	for _, path := range paths {
		c, err := capture.Read(path)
		if err != nil {
			return nil, err
		}
		if c.REDPayloadType != 0 {
			continue
		}
		for _, e := range c.Encodings {
			s, err := newSource(filepath.Base(path), c, e)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			byCodec[c.Codec] = append(byCodec[c.Codec], s)
		}
	}
	if len(byCodec) == 0 {
		return nil, errors.New("no captures: see codec/testdata/captures/README.md")
	}
	for codec, sources := range byCodec {
		if codec == voice {
			continue
		}
		if err := decodeAlone(codec, sources); err != nil {
			return nil, err
		}
	}
	return byCodec, nil
})

func newSource(name string, c *capture.Capture, e capture.Encoding) (*source, error) {
	s := &source{
		name: strings.TrimSpace(name + " " + e.RID), capture: c, ssrc: e.SSRC, at: map[string][]int{},
		alone: strings.Contains(c.Asked, `"scalabilityMode":"S`),
	}
	var err error
	if s.frames, err = c.Frames(e.SSRC); err != nil {
		return nil, err
	}
	picture := -1
	for i, f := range s.frames {
		if i == 0 || f.Timestamp != s.frames[i-1].Timestamp {
			picture++
		}
		s.top, s.tops = max(s.top, f.Spatial), max(s.tops, f.Temporal)
		for j, p := range f.Packets {
			b, err := content(c.Codec, p.Payload)
			if err != nil {
				return nil, err
			}
			s.at[string(b)] = append(s.at[string(b)], len(s.packets))
			s.packets = append(s.packets, origin{Packet: p, frame: i, picture: picture, first: j == 0, last: j == len(f.Packets)-1})
		}
	}
	return s, nil
}

// decodeAlone decodes every source, cut to the spatial layers up to each. All of them go through one decoder one after
// another: each begins with a keyframe.
func decodeAlone(codec string, sources []*source) error {
	type place struct {
		source  *source
		spatial int
		picture int
	}
	var pictures [][]*rtp.Packet
	var places []place
	for _, s := range sources {
		for spatial := range s.top + 1 {
			s.looks = append(s.looks, map[int]string{})
			for number, packets := range s.cut(spatial) {
				pictures, places = append(pictures, packets), append(places, place{s, spatial, number})
			}
		}
	}
	sums, err := decode(codec, pictures)
	if err != nil {
		at := places[min(len(sums), len(places)-1)]
		return fmt.Errorf("%s up to spatial layer %d, picture %d or soon after: %w", at.source.name, at.spatial, at.picture, err)
	}
	for i, at := range places {
		at.source.looks[at.spatial][at.picture] = sums[i]
	}
	return nil
}

// cut yields the pictures of a source by their numbers, without the spatial layers above one, and those below it that it does
// not build on.
func (s *source) cut(spatial int) iter.Seq2[int, []*rtp.Packet] {
	return func(yield func(int, []*rtp.Packet) bool) {
		var packets []*rtp.Packet
		for i, p := range s.packets {
			if of := s.frames[p.frame].Spatial; of == spatial || of < spatial && !s.alone {
				clone := p.Packet
				clone.Marker = false
				packets = append(packets, &clone)
			}
			if last := i == len(s.packets)-1 || s.packets[i+1].picture != p.picture; !last || len(packets) == 0 {
				continue
			}
			packets[len(packets)-1].Marker = true
			if !yield(p.picture, packets) {
				return
			}
			packets = nil
		}
	}
}
