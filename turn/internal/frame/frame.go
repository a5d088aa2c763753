package frame

import "errors"

// MaxSize is the longest frame that is taken, in bytes with its header: an Ethernet packet's and a little. A client has no reason
// for a longer one, and what has no end keeps nothing but this much of memory.
const MaxSize = 1600

// Errors of Next. The stream cannot be read on after one.
var (
	ErrForeign = errors.New("frame: neither STUN nor ChannelData")
	ErrTooLong = errors.New("frame: longer than 1600 bytes")
)

// Reader takes frames off one stream. The zero value is ready for use.
type Reader struct{}

// Next returns the first frame of b behind what earlier calls have kept, without padding, and what of b is left. An empty frame
// says that b is used up. The frame is valid until the next call and while b is.
func (r *Reader) Next(b []byte) (frame, rest []byte, err error) { return nil, nil, nil }

// Within reports whether the stream stands within a frame: an end here is a torn one.
func (r *Reader) Within() bool { return false }

// Pad appends the zeros that ChannelData of this length in bytes, header included, needs behind it on a stream.
func Pad(dst []byte, n int) []byte { return append(dst, make([]byte, -n&3)...) }
