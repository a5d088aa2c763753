package wire

import (
	"encoding/binary"
	"fmt"
	"io"

	"google.golang.org/protobuf/proto"
)

// Sizes of a StreamReader's buffer, in bytes.
const (
	// idleBuffer is what waits for the next frame: all but offers and room states are smaller.
	idleBuffer = 512
	// keepBuffer is the most that is kept once a larger frame has been read.
	keepBuffer = 4 << 10
)

// AppendFrame appends an encoded frame to b as it goes over a stream (raw QUIC, WebTransport): its length as an unsigned
// varint, seven bits a byte, least significant first (as in protobuf), then the frame.
func AppendFrame(b, frame []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(frame)))
	return append(b, frame...)
}

// AppendServer appends a frame as AppendFrame does, without another copy. Errors: ErrFrameTooLarge, ErrBadFrame (a string
// that is not UTF-8); b then has grown by nothing.
func AppendServer(b []byte, frame *ServerFrame) ([]byte, error) {
	size := proto.Size(frame)
	if size > MaxServerFrame {
		return b, fmt.Errorf("%w: %d bytes, at most %d", ErrFrameTooLarge, size, MaxServerFrame)
	}
	longer := binary.AppendUvarint(b, uint64(size))
	longer, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(longer, frame)
	if err != nil {
		return b, fmt.Errorf("%w: %w", ErrBadFrame, err)
	}
	return longer, nil
}

// StreamReader takes the frames off a stream. Its buffer grows with the bytes that arrive, not with the length that is
// announced, so that a peer must send what it wants us to hold. Not safe for concurrent use.
type StreamReader struct {
	from       io.Reader
	limit      int
	buf        []byte
	start, end int // buf[start:end] has been read from the stream and not yet handed out
}

// NewStreamReader reads frames of at most limit bytes (MaxClientFrame, MaxServerFrame).
func NewStreamReader(from io.Reader, limit int) *StreamReader {
	return &StreamReader{from: from, limit: limit}
}

// Next returns the next encoded frame; it is good until the following call. Errors: ErrFrameTooLarge, ErrBadFrame (a length
// that is none), io.EOF where the stream ends between two frames, io.ErrUnexpectedEOF inside one, those of the stream.
func (r *StreamReader) Next() ([]byte, error) {
	for {
		length, n := binary.Uvarint(r.buf[r.start:r.end])
		switch {
		case n < 0 || n == 0 && r.end-r.start >= binary.MaxVarintLen64:
			return nil, fmt.Errorf("%w: its length is no varint of 64 bits", ErrBadFrame)
		case n > 0 && length > uint64(r.limit):
			return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrFrameTooLarge, length, r.limit)
		case n > 0 && uint64(r.end-r.start-n) >= length:
			frame := r.buf[r.start+n : r.start+n+int(length)]
			r.start += n + int(length)
			return frame, nil
		}
		if err := r.Wait(); err != nil {
			return nil, err
		}
	}
}

// Buffered tells whether a whole frame is there already: Next would return it without waiting.
func (r *StreamReader) Buffered() bool {
	length, n := binary.Uvarint(r.buf[r.start:r.end])
	return n > 0 && uint64(r.end-r.start-n) >= length
}

// Wait reads from the stream once; Next does so by itself. Who calls it while nothing is Buffered waits with fewer calls on
// its stack, which thousands of idle readers feel. What Next returned before may be overwritten.
func (r *StreamReader) Wait() error {
	switch have := r.end - r.start; {
	case have == 0 && (r.buf == nil || len(r.buf) > keepBuffer):
		r.buf, r.start, r.end = make([]byte, idleBuffer), 0, 0
	case r.end < len(r.buf):
	case r.start > 0:
		copy(r.buf, r.buf[r.start:r.end])
		r.start, r.end = 0, have
	default:
		grown := make([]byte, 2*len(r.buf))
		copy(grown, r.buf)
		r.buf = grown
	}
	n, err := r.from.Read(r.buf[r.end:])
	r.end += n
	if n > 0 {
		return nil // an error comes again with the next Read
	}
	if err == io.EOF && r.end > r.start {
		return io.ErrUnexpectedEOF
	}
	return err
}
