package sfu

import (
	"errors"
	"fmt"
	"time"
)

// TrackKind says whether a track is heard or seen.
type TrackKind uint8

// The kinds of track.
const (
	Audio TrackKind = iota + 1
	Video
)

// TrackSource says what a track shows.
type TrackSource uint8

// The sources of tracks.
const (
	Microphone TrackSource = iota + 1
	Camera
	Screen
	ScreenAudio
)

// Track is one published track, as its publisher describes it.
type Track struct {
	ID     string // unique within the peer, at most 64 bytes
	Kind   TrackKind
	Source TrackSource
	MID    string // a=mid of the m-line that carries it; only on the way in
	Muted  bool
}

// PeerInfo is what others see of a peer.
type PeerInfo struct {
	ID       string
	Identity string
	Name     string
	Tracks   []Track
}

// SlotInfo says what flows in one receive slot.
type SlotInfo struct {
	MID     string // a=mid of the receiving m-line
	PeerID  string // empty: nothing flows
	TrackID string
}

// Wish is one line of what a client wants to see; see Peer.Subscribe.
type Wish struct {
	PeerID   string
	TrackID  string // empty: every track of the peer
	Hidden   bool
	Priority uint32 // higher first
	Width    uint32 // pixels on screen; 0 when unknown
	Height   uint32
}

// JoinRequest opens a media session.
type JoinRequest struct {
	Tenant    string
	Room      string
	Identity  string
	Name      string
	Publish   bool // may send
	Subscribe bool // may receive
	Offer     string
	Tracks    []Track
	// Events receives everything that happens to this peer after Join returned, in order. It is called from the room's
	// goroutine and must not block.
	Events func(Event)
}

// Joined is the answer to a JoinRequest.
type Joined struct {
	PeerID string
	Answer string
	Peers  []PeerInfo // everybody else in the room
	Slots  []SlotInfo
}

// Event is one of PeerJoined, PeerLeft, TrackPublished, TrackUnpublished, TrackMuted, SlotsChanged, Gone.
type Event interface{ event() }

// PeerJoined: somebody is in the room from now on.
type PeerJoined struct{ Peer PeerInfo }

// PeerLeft: somebody is no longer in the room.
type PeerLeft struct{ PeerID string }

// TrackPublished: a peer sends one more track.
type TrackPublished struct {
	PeerID string
	Track  Track
}

// TrackUnpublished: a peer ended a track.
type TrackUnpublished struct {
	PeerID string
	Track  Track
}

// TrackMuted: a peer muted or unmuted a track, as Track.Muted says.
type TrackMuted struct {
	PeerID string
	Track  Track
}

// SlotsChanged: the whole slot map of this peer from now on.
type SlotsChanged struct{ Slots []SlotInfo }

// Gone is the last event of a peer that did not leave by itself.
type Gone struct{ Reason GoneReason }

// GoneReason says why a peer is gone.
type GoneReason uint8

// The reasons.
const (
	// GoneReplaced: a second join with the same identity took over.
	GoneReplaced GoneReason = iota + 1
	// GoneSilent: no authenticated packet for 15 s. The session may join again.
	GoneSilent
	// GoneFailed: its media session failed (handshake, or a fault of ours contained to this peer).
	GoneFailed
	// GoneShutdown: the server closes.
	GoneShutdown
)

func (PeerJoined) event()       {}
func (PeerLeft) event()         {}
func (TrackPublished) event()   {}
func (TrackUnpublished) event() {}
func (TrackMuted) event()       {}
func (SlotsChanged) event()     {}
func (Gone) event()             {}

// The errors a join or a later request can meet; test with errors.Is.
var (
	ErrClosed           = errors.New("sfu is closed")
	ErrGone             = errors.New("peer has left the room")
	ErrRoomFull         = errors.New("room is full")
	ErrNotFound         = errors.New("no such track or peer")
	ErrForbidden        = errors.New("token does not allow this")
	ErrBadOffer         = errors.New("bad SDP offer")
	ErrUnsupportedCodec = errors.New("no codec in common")
)

// BusyError refuses work that this node has no room for now.
type BusyError struct{ RetryAfter time.Duration }

func (e *BusyError) Error() string {
	return fmt.Sprintf("node is busy, try again in %v", e.RetryAfter)
}
