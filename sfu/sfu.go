package sfu

import (
	"context"
	"log/slog"
	"net"
	"net/netip"

	"github.com/tolkyn/tolkyn/internal/udp"
)

// Config of an SFU. The zero value of each optional field means its default.
type Config struct {
	// Socket carries all media; the SFU owns it from New on and closes it.
	Socket udp.Socket
	// TCP accepts ICE-TCP (RFC 6544) connections; nil for none. Owned like Socket.
	TCP net.Listener
	// Advertise lists the addresses told to clients as candidates, with the ports of Socket and TCP.
	Advertise []netip.Addr
	// MaxPeers bounds one room; default 1000.
	MaxPeers int
	// MaxAudioSlots and MaxVideoSlots bound what one peer may offer; defaults 16 and 49.
	MaxAudioSlots, MaxVideoSlots int
	// Logger gets one line per state change; nil discards.
	Logger *slog.Logger
}

// SFU forwards media between the peers of its rooms. All methods are safe from any goroutine.
type SFU struct{ _ Config }

// New starts an SFU.
func New(cfg Config) (*SFU, error) { return &SFU{}, nil }

// Join opens a media session: it answers the offer and puts the peer into its room, which is made when it is the first.
// Errors: ErrClosed, ErrRoomFull, ErrForbidden, ErrBadOffer, ErrUnsupportedCodec, *BusyError.
func (s *SFU) Join(ctx context.Context, req JoinRequest) (*Peer, Joined, error) {
	return nil, Joined{}, ErrClosed
}

// Close ends every peer with GoneShutdown and frees the sockets. It waits for all goroutines.
func (s *SFU) Close() error { return nil }

// Peer is one client's media session. All methods are safe from any goroutine.
type Peer struct{}

// Negotiate answers a later offer: new or recycled m-lines, or an ICE restart. tracks describes the sending m-lines that
// are new; those already published stay.
func (p *Peer) Negotiate(ctx context.Context, offer string, tracks []Track) (answer string, err error) {
	return "", ErrClosed
}

// Unpublish ends tracks by id. ErrNotFound when one is unknown (the others still end).
func (p *Peer) Unpublish(ctx context.Context, ids []string) error { return ErrClosed }

// Subscribe replaces the peer's wishes.
func (p *Peer) Subscribe(ctx context.Context, wishes []Wish) error { return ErrClosed }

// Mute tells the room that a track of this peer is silent or dark (or no longer).
func (p *Peer) Mute(ctx context.Context, trackID string, muted bool) error { return ErrClosed }

// State returns what Joined would say now: for a session that lost its events.
func (p *Peer) State(ctx context.Context) (peers []PeerInfo, slots []SlotInfo, err error) {
	return nil, nil, ErrClosed
}

// Leave ends the media session; others see PeerLeft. Idempotent.
func (p *Peer) Leave(ctx context.Context) error { return nil }
