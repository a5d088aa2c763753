package signaling

import (
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tolkyn/tolkyn/signaling/wire"
)

// flushBytes of encoded frames go into the stream at once: a dozen packets.
const flushBytes = 16 << 10

// maxKeptBuffer is the most that a buffer keeps for the next writer.
const maxKeptBuffer = 64 << 10

// buffers hold what is being written, so that an idle connection has none.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// byteStream is a stream of QUIC or of WebTransport.
type byteStream interface {
	io.ReadWriteCloser
	SetReadDeadline(t time.Time) error
	SetWriteDeadline(t time.Time) error
}

// control is the control stream: frames follow each other, each with its length before it.
type control struct {
	// Owned by the reader.
	frames   *wire.StreamReader
	deadline time.Time

	// Fixed once opened.
	stream byteStream

	// Atomic.
	opened atomic.Bool
}

// begin takes the stream that the client opened first.
func (s *control) begin(stream byteStream) {
	s.stream = stream
	s.frames = wire.NewStreamReader(stream, wire.MaxClientFrame)
	s.opened.Store(true)
	s.until(s.deadline)
}

func (s *control) wait() error { return s.frames.Wait() }

func (s *control) next() (*wire.ClientFrame, error) {
	b, err := s.frames.Next()
	if err != nil {
		return nil, err
	}
	return wire.Binary.DecodeClient(b)
}

func (s *control) more() bool { return s.frames.Buffered() }

func (s *control) until(t time.Time) {
	s.deadline = t
	if s.opened.Load() {
		// Fails never: the stream's methods return an error for the sake of an interface.
		_ = s.stream.SetReadDeadline(t)
	}
}

// send puts as many frames as there are into the same packets.
func (s *control) send(frames []*wire.ServerFrame) error {
	buffer := buffers.Get().(*[]byte)
	b := (*buffer)[:0]
	defer func() {
		if cap(b) <= maxKeptBuffer {
			*buffer = b
			buffers.Put(buffer)
		}
	}()
	for i, frame := range frames {
		var err error
		if b, err = wire.AppendServer(b, frame); err != nil {
			return err
		}
		if len(b) < flushBytes && i < len(frames)-1 {
			continue
		}
		// Fails never, as above.
		_ = s.stream.SetWriteDeadline(time.Now().Add(writeTimeout))
		if _, err := s.stream.Write(b); err != nil {
			return err
		}
		b = b[:0]
	}
	return nil
}

// end says that nothing more is sent. False when the client has never opened the stream.
func (s *control) end() bool {
	if !s.opened.Load() {
		return false
	}
	// It fails on a broken stream, and there nothing is left to end.
	_ = s.stream.Close()
	return true
}
