package caller

import (
	"context"
	"net"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/tolkyn/tolkyn/bench/measure"
)

// Dialer places one participant into a call on some server; each server has one (packages below bench/server).
// Safe from any goroutine.
type Dialer interface {
	// Dial returns once the server has let the participant in; media may still be on its way. Errors name what failed and,
	// where the server said why, what it said.
	Dial(ctx context.Context, p Participant) (Connection, error)
}

// Participant is who comes, with what, over which network.
type Participant struct {
	Room, Identity         string
	Tracks                 []Track // published from the start
	AudioSlots, VideoSlots int     // most streams of each kind that it wants at one time; 0: none
	Saver                  bool    // each byte counts; servers that know no such thing are not told
	Network                Network
	On                     Events
}

// Track is one that a participant publishes.
type Track struct {
	ID    string // "microphone", "camera", "screen"; unique within the participant
	Kind  measure.Kind
	Local *webrtc.TrackLocalStaticRTP // whoever dials writes to it; nil with Encodings
	// Encodings make a simulcast of it, the smallest first.
	Encodings []Encoding
}

// Encoding is one stream of a simulcast. Its functions are called from the connection's goroutines and must not block.
type Encoding struct {
	RID   string
	Local *webrtc.TrackLocalStaticRTP // whoever dials writes to it
	// KeyframeRequest: somebody needs a picture of this encoding that can be decoded alone.
	KeyframeRequest func()
	// Wanted says whether anybody watches it; before the first word somebody does.
	Wanted func(bool)
}

// Network is where sockets are opened. The zero value: this process's own network.
type Network struct {
	// Settings edits what each PeerConnection is made with: a UDP mux over a modelled link, for instance.
	Settings func(*webrtc.SettingEngine)
	// Dial opens TCP connections: WebSocket, HTTP, media over TCP.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// ListenPacket opens a UDP socket towards server, for QUIC.
	ListenPacket func(ctx context.Context, server *net.UDPAddr) (net.PacketConn, error)
	// ListenMedia opens the UDP socket of a PeerConnection, for clients that take one; nil: as Settings has it.
	ListenMedia func() (net.PacketConn, error)
}

// Source says whose packet it is, as far as the server has told.
type Source struct {
	Slot   int    // the receive position, from 0; packets of one slot have one sequence
	Sender string // identity; empty while unknown
	Track  string // id, or what the server calls it; empty while unknown
	Kind   measure.Kind
	Codec  string // "opus", "VP8"
}

// Events of a connection. They are called from its goroutines, those of one slot in order, and must not block. All are set.
type Events struct {
	// Step tells the end of a step of setting up, once each. measure.DTLS must be told: sending begins with it.
	Step func(step measure.Step, at time.Time)
	// Packet is one RTP packet, decrypted, in order of arrival; came says how. Of RED (RFC 2198) it is the packet's own payload, and
	// before it, under their own numbers, the copies that fill a hole. The receiver keeps it.
	Packet func(at time.Time, s Source, p *rtp.Packet, came measure.Repair)
	// KeyframeRequest: somebody needs a picture of the track that can be decoded alone.
	KeyframeRequest func(trackID string)
	// Up tells that the media path was lost, or is back.
	Up func(at time.Time, up bool)
}

// Connection is one participant's place in the call. Safe from any goroutine.
type Connection interface {
	// RequestKeyframe asks the server for a picture of what flows in a video slot.
	RequestKeyframe(slot int) error
	// Look tells how large every picture is on the participant's screen, in pixels, also those that come later. It does not wait.
	// Connections to servers that take no such word, or whose drivers know none, do nothing.
	Look(width, height int)
	// Stats returns the present figures.
	Stats() Stats
	// NetworkChanged tells that the network under the participant is another by now.
	NetworkChanged()
	// Close leaves and returns when all goroutines have ended. Idempotent.
	Close() error
}

// Stats of a Connection since Dial.
type Stats struct {
	Signaling  string        // what carries signaling: "quic", "websocket", "http"
	Path       string        // what carries media: "udp", "tcp"
	RTT        time.Duration // of the media path; 0 before it is known
	Reconnects int64
	Dropped    int64 // packets that we were too slow to take
	// Up and Down are what media took of the data volume, in bytes, IP and UDP headers included; of connections whose sockets are the
	// Network's own, 0.
	Up, Down int64
}
