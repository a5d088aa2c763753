package capture

import (
	"errors"
	"fmt"

	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
)

// Frame is one spatial layer of one picture, as an encoding sent it.
type Frame struct {
	Timestamp         uint32
	Spatial, Temporal int
	Layered           bool // the layer was told; else it is the base
	Keyframe          bool // of a picture, its base layer
	Packets           []rtp.Packet
}

// Frames reads what an encoding sent, in order. It knows nothing of our own codecs: layers are what pion's depacketizers and
// the dependency descriptor's template tell, so that those can be held against it. Padding-only packets are of no frame.
func (c *Capture) Frames(ssrc uint32) ([]Frame, error) {
	var frames []Frame
	var layers templates
	for _, p := range c.Packets {
		if p.RTCP {
			continue
		}
		var packet rtp.Packet
		if err := packet.Unmarshal(p.Data); err != nil {
			return nil, fmt.Errorf("read frames: %w", err)
		}
		if packet.SSRC != ssrc || len(packet.Payload) == 0 {
			continue
		}
		f := Frame{Timestamp: packet.Timestamp}
		start, err := c.begins(&f, &packet)
		if err != nil {
			return nil, fmt.Errorf("read frames: packet %d: %w", packet.SequenceNumber, err)
		}
		if b := packet.GetExtension(c.Extensions["dependency-descriptor"]); b != nil {
			if start, err = layers.read(b, &f); err != nil {
				return nil, fmt.Errorf("read frames: packet %d: %w", packet.SequenceNumber, err)
			}
		}
		if start || len(frames) == 0 || frames[len(frames)-1].Timestamp != f.Timestamp {
			frames = append(frames, f)
		}
		last := &frames[len(frames)-1]
		last.Packets = append(last.Packets, packet)
	}
	return frames, nil
}

// begins says whether the payload tells that a frame begins with it, and fills in what it tells of the frame.
func (c *Capture) begins(f *Frame, p *rtp.Packet) (bool, error) {
	f.Keyframe = Keyframe(c.Codec, p.Payload)
	switch c.Codec {
	case "VP8":
		var d codecs.VP8Packet
		if _, err := d.Unmarshal(p.Payload); err != nil {
			return false, err
		}
		f.Temporal, f.Layered = int(d.TID), d.T == 1
		return d.S == 1 && d.PID == 0, nil
	case "VP9":
		var d codecs.VP9Packet
		if _, err := d.Unmarshal(p.Payload); err != nil {
			return false, err
		}
		f.Spatial, f.Temporal, f.Layered = int(d.SID), int(d.TID), d.L
		return d.B, nil
	default:
		return false, nil // by timestamp
	}
}

// Keyframe says whether a payload is the first of a keyframe: of its base layer, where there are more.
func Keyframe(codec string, payload []byte) bool {
	if len(payload) == 0 {
		return false
	}
	switch codec {
	case "VP8":
		var p codecs.VP8Packet
		b, err := p.Unmarshal(payload)
		return err == nil && p.S == 1 && p.PID == 0 && len(b) > 0 && b[0]&1 == 0
	case "VP9":
		var p codecs.VP9Packet
		_, err := p.Unmarshal(payload)
		return err == nil && p.B && !p.P && !p.D
	case "H264":
		const sps, stapA = 7, 24
		kind := payload[0] & 0x1f
		return kind == sps || kind == stapA && len(payload) > 3 && payload[3]&0x1f == sps
	case "AV1":
		return payload[0]&0x08 != 0 // N: a coded video sequence begins
	default:
		return true
	}
}

// templates are the layers of a dependency descriptor's templates (AV1's RTP specification, annex A.8.2), all that is read of
// it here.
type templates struct {
	offset int
	layers [][2]int // spatial, temporal
}

// read tells a frame's layer, and whether this is the frame's first packet.
func (t *templates) read(b []byte, f *Frame) (start bool, err error) {
	r := bits{b: b}
	start = r.next(1) == 1
	r.next(1) // end
	template := r.next(6)
	r.next(16) // frame_number
	if len(b) > 3 {
		structure := r.next(1) == 1
		r.next(4) // the other flags
		if structure {
			t.offset, t.layers = r.next(6), nil
			r.next(5) // dt_cnt_minus_one
			layer, next := [2]int{}, 0
			for next != 3 && r.err == nil {
				t.layers = append(t.layers, layer)
				switch next = r.next(2); next {
				case 1:
					layer[1]++
				case 2:
					layer = [2]int{layer[0] + 1, 0}
				}
			}
		}
	}
	i := (template + 64 - t.offset) % 64
	if r.err != nil || i >= len(t.layers) {
		return start, errors.New("the dependency descriptor names a template that is not there")
	}
	f.Spatial, f.Temporal, f.Layered = t.layers[i][0], t.layers[i][1], true
	return start, nil
}

// bits reads numbers, highest bit first.
type bits struct {
	b   []byte
	at  int
	err error
}

func (r *bits) next(n int) int {
	value := 0
	for range n {
		if r.at >= 8*len(r.b) {
			r.err = errors.New("too short")
			return 0
		}
		value = value<<1 | int(r.b[r.at/8]>>(7-r.at%8))&1
		r.at++
	}
	return value
}
