package framed

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
)

// ErrFraming is of a stream whose next frame is empty or longer than MaxFrame.
var ErrFraming = errors.New("framed: not a frame of RFC 4571")

// Read reads one frame into b, which holds at least MaxFrame bytes, and returns its length. Errors: ErrFraming, those of r.
func Read(r *bufio.Reader, b []byte) (int, error) {
	size, err := r.Peek(2)
	if err != nil {
		return 0, err
	}
	n := int(binary.BigEndian.Uint16(size))
	if n == 0 || n > MaxFrame {
		return 0, ErrFraming
	}
	_, _ = r.Discard(2) // it was peeked at
	return io.ReadFull(r, b[:n])
}
