package frame

import (
	"encoding/binary"
	"errors"
)

// MaxSize is the longest frame that is taken, in bytes with its header: an Ethernet packet's and a little. A client has no reason
// for a longer one, and one without end costs no more memory than this.
const MaxSize = 1600

// Errors of Next. The stream cannot be read on after one.
var (
	ErrForeign = errors.New("frame: neither STUN nor ChannelData")
	ErrTooLong = errors.New("frame: longer than 1600 bytes")
)

const (
	stunHeader    = 20
	channelHeader = 4
	cookie        = 0x2112A442
)

// maxSpares bounds what Spares hold: 100 kB.
const maxSpares = 64

// Spares are buffers for beginnings of frames that the readers of one goroutine share: who keeps none holds no memory, and keeping one
// costs none. The zero value is ready for use.
type Spares struct{ free []*[MaxSize]byte }

func (s *Spares) take() *[MaxSize]byte {
	if s == nil || len(s.free) == 0 {
		return new([MaxSize]byte)
	}
	b := s.free[len(s.free)-1]
	s.free = s.free[:len(s.free)-1]
	return b
}

func (s *Spares) give(b *[MaxSize]byte) {
	if s != nil && len(s.free) < maxSpares {
		s.free = append(s.free, b)
	}
}

// Reader takes frames off one stream. The zero value is ready for use.
type Reader struct {
	Spares *Spares // nil: memory is taken for each frame that comes in pieces

	room *[MaxSize]byte // of the beginning of a frame, or of the frame given out last; nil: neither lies here
	kept []byte         // the beginning of a frame, in room
	pad  int            // zeros still to come behind the last frame
}

// Next returns the first frame of b behind what earlier calls have kept, without padding, and what of b is left. An empty frame
// says that b is used up. The frame is valid until the next call, and while b is.
func (r *Reader) Next(b []byte) (frame, rest []byte, err error) {
	skip := min(r.pad, len(b))
	r.pad, b = r.pad-skip, b[skip:]
	if len(r.kept) == 0 {
		if r.room != nil {
			r.Spares.give(r.room)
			r.room = nil
		}
		n, err := size(b)
		if err != nil {
			return nil, nil, err
		}
		if n > 0 && n <= len(b) {
			return b[:n], r.behind(b[0], n, b[n:]), nil
		}
		if len(b) > 0 {
			r.room = r.Spares.take()
			r.kept = append(r.room[:0], b...)
		}
		return nil, nil, nil
	}
	// The header first: it tells how much more there is to come.
	for {
		n, err := size(r.kept)
		if err != nil {
			return nil, nil, err
		}
		want := n
		if n == 0 {
			want = len(r.kept) + 1
		}
		if n > 0 && len(r.kept) == n {
			frame, r.kept = r.kept, nil
			return frame, r.behind(frame[0], n, b), nil
		}
		if len(b) == 0 {
			return nil, nil, nil
		}
		take := min(want-len(r.kept), len(b))
		r.kept, b = append(r.kept, b[:take]...), b[take:]
	}
}

// behind skips the padding of a frame of n bytes: b is what comes after it.
func (r *Reader) behind(first byte, n int, b []byte) []byte {
	if first < 64 {
		return b
	}
	r.pad = -n & 3
	skip := min(r.pad, len(b))
	r.pad -= skip
	return b[skip:]
}

// Within reports whether the stream stands within a frame: an end here is a torn one.
func (r *Reader) Within() bool { return len(r.kept) > 0 }

// size is that of the frame which b begins, without padding; 0: not known yet. What can be no frame is told from its first byte,
// and from STUN's magic cookie.
func size(b []byte) (int, error) {
	switch {
	case len(b) == 0:
		return 0, nil
	case b[0] >= 64 && b[0] <= 127: // channels 0x4000 to 0x4FFF (RFC 8656 §12), to 0x7FFF in RFC 5766 §11
		if len(b) < channelHeader {
			return 0, nil
		}
		n := channelHeader + int(binary.BigEndian.Uint16(b[2:]))
		if n > MaxSize {
			return 0, ErrTooLong
		}
		return n, nil
	case b[0] >= 4: // RFC 9443: STUN is 0 to 3
		return 0, ErrForeign
	}
	if len(b) >= 4 {
		n := int(binary.BigEndian.Uint16(b[2:]))
		if n&3 != 0 {
			return 0, ErrForeign
		}
		if stunHeader+n > MaxSize {
			return 0, ErrTooLong
		}
	}
	if len(b) < 8 {
		return 0, nil
	}
	if binary.BigEndian.Uint32(b[4:]) != cookie {
		return 0, ErrForeign
	}
	return stunHeader + int(binary.BigEndian.Uint16(b[2:])), nil
}

// Pad appends the zeros that a frame of n bytes, header included, needs behind it on a stream (RFC 8656 §12.5).
func Pad(dst []byte, n int) []byte {
	var zeros [3]byte
	return append(dst, zeros[:-n&3]...)
}
