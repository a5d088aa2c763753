package replay

import (
	"errors"
	"fmt"
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

	// apart: spatial layers are streams of their own (modes S2T1 and so on of webrtc-svc), of which a receiver gets one.
	apart bool

	// looks is the MD5 of each picture as it is decoded from all spatial layers up to one: by that layer, then by picture.
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

// recordings are the video captures by codec, read once for all tests.
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
		if c.Codec == "opus" {
			continue
		}
		for _, e := range c.Encodings {
			s, err := newSource(filepath.Base(path), c, e)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			if !s.apart { // a slot cannot show one of them alone
				byCodec[c.Codec] = append(byCodec[c.Codec], s)
			}
		}
	}
	if len(byCodec) == 0 {
		return nil, errors.New("no captures: see codec/testdata/captures/README.md")
	}
	return byCodec, nil
})

func newSource(name string, c *capture.Capture, e capture.Encoding) (*source, error) {
	s := &source{name: strings.TrimSpace(name + " " + e.RID), capture: c, ssrc: e.SSRC, at: map[string][]int{}}
	s.apart = strings.Contains(c.Asked, `"scalabilityMode":"S`)
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
	for spatial := range s.top + 1 {
		looks, err := s.decodeAlone(spatial)
		if err != nil {
			return nil, fmt.Errorf("decode %s up to spatial layer %d: %w", s.name, spatial, err)
		}
		s.looks = append(s.looks, looks)
	}
	return s, nil
}

// decodeAlone decodes the encoding cut to the spatial layers up to one.
func (s *source) decodeAlone(spatial int) (map[int]string, error) {
	var pictures [][]*rtp.Packet
	var numbers []int
	for _, p := range s.packets {
		if of := s.frames[p.frame].Spatial; of > spatial || s.apart && of != spatial {
			continue
		}
		if len(numbers) == 0 || numbers[len(numbers)-1] != p.picture {
			numbers, pictures = append(numbers, p.picture), append(pictures, nil)
		}
		clone := p.Packet
		clone.Marker = false
		pictures[len(pictures)-1] = append(pictures[len(pictures)-1], &clone)
	}
	for _, p := range pictures {
		p[len(p)-1].Marker = true
	}
	sums, err := decode(s.capture.Codec, pictures)
	if err != nil {
		return nil, err
	}
	looks := map[int]string{}
	for i, n := range numbers {
		looks[n] = sums[i]
	}
	return looks, nil
}
