package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// Sizes of frames, in bytes.
const (
	// MaxClientFrame bounds what a client may send: an offer of 128 m-lines deflates to a quarter of it.
	MaxClientFrame = 64 << 10
	// MaxServerFrame bounds what a server sends: Joined and Snapshot name everybody in a room of 1,000.
	MaxServerFrame = 1 << 20
)

// The ways a frame can be refused; test with errors.Is.
var (
	ErrFrameTooLarge = errors.New("frame is too large")
	ErrBadFrame      = errors.New("not a frame of this protocol")
)

// Format is how a frame is written: one format for the life of a connection.
type Format uint8

// The formats, by WebSocket subprotocol.
const (
	Binary Format = iota // "tolkyn": protobuf
	JSON                 // "tolkyn.json": canonical proto3 JSON, for debugging by hand
)

// String returns the WebSocket subprotocol that stands for the format.
func (f Format) String() string {
	if f == JSON {
		return "tolkyn.json"
	}
	return "tolkyn"
}

// DecodeClient reads what a client sent. Errors: ErrFrameTooLarge, ErrBadFrame (wrapped with the place in JSON). A message
// this version does not know leaves ClientFrame.Message nil; in JSON an unknown field is an error, because a person typed it.
func (f Format) DecodeClient(b []byte) (*ClientFrame, error) {
	frame := new(ClientFrame)
	if err := f.decode(b, frame, MaxClientFrame); err != nil {
		return nil, err
	}
	return frame, nil
}

// DecodeServer reads what a server sent; errors as DecodeClient.
func (f Format) DecodeServer(b []byte) (*ServerFrame, error) {
	frame := new(ServerFrame)
	if err := f.decode(b, frame, MaxServerFrame); err != nil {
		return nil, err
	}
	return frame, nil
}

func (f Format) decode(b []byte, into proto.Message, limit int) error {
	if len(b) > limit {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrFrameTooLarge, len(b), limit)
	}
	unmarshal := proto.Unmarshal
	if f == JSON {
		unmarshal = protojson.Unmarshal
	}
	if err := unmarshal(b, into); err != nil {
		return fmt.Errorf("%w: %w", ErrBadFrame, err)
	}
	return nil
}

// EncodeClient writes a frame as a client sends it. Errors: ErrFrameTooLarge, ErrBadFrame (a string that is not UTF-8).
func (f Format) EncodeClient(frame *ClientFrame) ([]byte, error) {
	return f.encode(frame, MaxClientFrame)
}

// EncodeServer writes a frame as a server sends it; errors as EncodeClient.
func (f Format) EncodeServer(frame *ServerFrame) ([]byte, error) {
	return f.encode(frame, MaxServerFrame)
}

func (f Format) encode(frame proto.Message, limit int) ([]byte, error) {
	marshal := proto.Marshal
	if f == JSON {
		marshal = marshalJSON
	}
	b, err := marshal(frame)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadFrame, err)
	}
	if len(b) > limit {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrFrameTooLarge, len(b), limit)
	}
	return b, nil
}

// marshalJSON takes out the spaces that protojson puts in at random, so that equal frames are equal bytes.
func marshalJSON(frame proto.Message) ([]byte, error) {
	loose, err := protojson.Marshal(frame)
	if err != nil {
		return nil, err
	}
	var tight bytes.Buffer
	if err := json.Compact(&tight, loose); err != nil {
		return nil, err
	}
	return tight.Bytes(), nil
}

// Reply is the answer to the request with this id; with id 0 it answers nobody (Bye, an Error before it).
func Reply(id uint64, message isServerFrame_Message) *ServerFrame {
	return &ServerFrame{Id: id, Message: message}
}

// Event is a frame that nobody asked for. Its sequence number is given when it is kept for replay.
func Event(message isServerFrame_Message) *ServerFrame {
	return &ServerFrame{Message: message}
}
