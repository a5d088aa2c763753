package sfu

import (
	"errors"
	"fmt"
	"time"

	"github.com/tolkyn/tolkyn/codec"
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
	// BackupOf is the id of the track that shows the same in another codec, as CodecWanted asked for; only on the way in.
	// Nobody hears of a backup: who cannot decode the first gets it in the same slot.
	BackupOf string
}

// DeviceClass sums up what a device can do.
type DeviceClass uint8

// The classes. The zero value is not told: the SFU concludes from the rest of Device.
const (
	LowDevice    DeviceClass = iota + 1 // publishes one encoding of 360 lines, H.264 where it has it, and receives two videos
	NormalDevice                        // three encodings
	HighDevice                          // three encodings, and codecs that cost more
)

// Device is what a client knows of the machine it runs on; zero for what it does not know.
type Device struct {
	Class            DeviceClass
	Decoders         int // videos it can decode at once
	Cores            int // of its processor
	SavingPower      bool
	Hot              bool // its operating system calls it serious or critical
	HardwareEncoders []codec.Codec
}

// Profile is what the sound of a peer may cost.
type Profile uint8

// The profiles. The zero value is the one that the peer has, and at first FullProfile.
const (
	FullProfile Profile = iota + 1
	// SaverProfile: 12 kbit/s in packets of 60 ms, nothing in silence, and little feedback: where each byte counts.
	SaverProfile
)

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

// Subscription is all that a client says of what it wants to see; see Peer.Subscribe.
type Subscription struct {
	Wishes      []Wish // in order of preference
	VideoPaused bool   // no video in any slot
	LastN       int    // at most so many videos in the slots; 0: no bound
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
	Device    Device
	Profile   Profile
	// Events receives everything that happens to this peer after Join returned, in order. It is called from the room's
	// goroutine and must not block.
	Events func(Event)
}

// Joined is the answer to a JoinRequest.
type Joined struct {
	PeerID string
	Answer string
	Peers  []PeerInfo // everybody else in a small room; the first page of a large one, those in Slots among them
	Slots  []SlotInfo
	Size   int // peers in the room, this one counted
}

// RosterPage is a part of those in a room, in join order.
type RosterPage struct {
	Peers []PeerInfo
	Size  int  // peers in the room, the asking one counted
	More  bool // there are more behind the last of Peers
}

// Event is one of PeerJoined, PeerLeft, TrackPublished, TrackUnpublished, TrackMuted, SlotsChanged, RosterChanged,
// SpeakersChanged, LayersWanted, CodecWanted, LayersChanged, ProfileWanted, Gone.
type Event interface{ event() }

// PeerJoined: somebody is in the room; in a large one it tells of those alone whom this peer wishes for.
type PeerJoined struct{ Peer PeerInfo }

// PeerLeft: somebody is no longer in the room or, in a large one, no longer among those whom this peer hears of.
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

// SlotsChanged: the whole slot map of this peer from now on. Peers are those in it whom this peer has not been told of.
type SlotsChanged struct {
	Slots []SlotInfo
	Peers []PeerInfo
}

// RosterChanged: so many are in the room now, this peer counted. In large rooms only, at most once a second.
type RosterChanged struct{ Size int }

// Speaker is somebody who speaks.
type Speaker struct {
	PeerID string
	Level  uint8 // 0 silent to 127 loudest: 127 less RFC 6464's level
}

// SpeakersChanged: these speak now, loudest first, at most five; none when nobody does.
type SpeakersChanged struct{ Speakers []Speaker }

// EncodingWanted says whether anybody watches an encoding, and up to which layer.
type EncodingWanted struct {
	RID    string // empty for a track with one encoding
	Wanted bool
	Layer  codec.Layer // the highest that anybody watches
}

// LayersWanted tells the publisher of a track which of its encodings are watched.
type LayersWanted struct {
	TrackID   string
	Encodings []EncodingWanted
}

// CodecWanted asks the publisher of a track to publish it in another codec too (Track.BackupOf), or says that it is no longer
// needed.
type CodecWanted struct {
	TrackID string
	Codec   codec.Codec
	Wanted  bool
}

// Limit says what keeps a video from being larger.
type Limit uint8

// The limits.
const (
	NoLimit        Limit = iota + 1
	WishLimit            // the client asked for no more
	PublisherLimit       // the publisher sends no more
	BandwidthLimit       // the client's link carries no more
	DeviceLimit          // the client's device takes no more
	CodecLimit           // the client cannot decode what is published, and there is no other yet
	PausedLimit          // video is paused
)

// SlotLayer says what a video slot receives.
type SlotLayer struct {
	MID           string
	Width, Height int // pixels; 0 when nothing flows or the size is unknown
	Encoding      int // counted from 0, in the publisher's order
	Layer         codec.Layer
	Bitrate       int // bits a second, as measured
	Limit         Limit
}

// LayersChanged: what some of this peer's video slots receive changed. Slots that did not are left out.
type LayersChanged struct{ Slots []SlotLayer }

// ProfileWanted: the way to this peer does not carry the sound of the profile it has; it should offer anew with this one.
type ProfileWanted struct{ Profile Profile }

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
func (RosterChanged) event()    {}
func (SpeakersChanged) event()  {}
func (LayersWanted) event()     {}
func (CodecWanted) event()      {}
func (LayersChanged) event()    {}
func (ProfileWanted) event()    {}
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
