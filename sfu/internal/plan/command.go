package plan

// PeerID names a peer within its room. 0 names nobody.
type PeerID uint64

// Kind says whether a track is heard or seen. The values are those of sfu.TrackKind.
type Kind uint8

// The kinds of track.
const (
	Audio Kind = iota + 1
	Video
)

// Source says what a track shows. The values are those of sfu.TrackSource.
type Source uint8

// The sources of tracks.
const (
	Microphone Source = iota + 1
	Camera
	Screen
	ScreenAudio
)

// Track is one published track.
type Track struct {
	ID     string // unique within its peer
	Kind   Kind
	Source Source
	Muted  bool
}

// TrackRef names a track within the room. The zero value names none.
type TrackRef struct {
	Peer PeerID
	ID   string
}

// PeerInfo is what others see of a peer. Tracks is shared and must not be changed.
type PeerInfo struct {
	Peer     PeerID
	Identity string
	Name     string
	Tracks   []Track
}

// SlotMap says what each receive slot of one peer shows, by slot index; the zero TrackRef is an empty slot.
type SlotMap struct {
	Audio []TrackRef
	Video []TrackRef
}

// Wish is one line of what a receiver wants. An empty Track means every track of Peer.
type Wish struct {
	Peer     PeerID
	Track    string
	Hidden   bool
	Priority uint32 // higher first
	Width    uint32 // pixels on screen; 0 when unknown
	Height   uint32
}

// Command is one of Join, Leave, Publish, Unpublish, Mute, Subscribe, Resize, Speak, Page, Tick.
type Command interface{ command() }

// Join lets a peer in. A peer of the same, not empty Identity is evicted first. The joiner is told nothing: the answer
// to its join carries Room.Peers and Room.Slots as they are after this Step.
type Join struct {
	Peer                   PeerID
	Identity, Name         string
	CanPublish             bool
	CanSubscribe           bool
	Tracks                 []Track
	AudioSlots, VideoSlots int
	// MaxVideos is how many videos the device takes at once; 0: as many as there are slots.
	MaxVideos int
	// MaxHeight is how many lines of a camera the device takes; 0: any.
	MaxHeight uint32
}

// Leave takes a peer out, whatever the reason. Its own slots die with it: no Assign speaks of them.
type Leave struct{ Peer PeerID }

// Publish adds tracks to those of a peer. One whose ID is already published stays as it is.
type Publish struct {
	Peer   PeerID
	Tracks []Track
}

// Unpublish ends tracks by id.
type Unpublish struct {
	Peer PeerID
	IDs  []string
}

// Mute says that a track is silent or dark, or no longer. It keeps its slots.
type Mute struct {
	Peer  PeerID
	ID    string
	Muted bool
}

// Subscribe replaces the wishes of a peer. A wish may name a peer or a track that comes only later.
type Subscribe struct {
	Peer        PeerID
	Wishes      []Wish
	VideoPaused bool // no video in any slot
	LastN       int  // at most so many videos; 0: no bound
}

// Resize says which receive slots there are after a later offer, by index: true for those that are open, false for those
// whose m-line is stopped. Slots it does not name stay as they are. What a closed slot showed may go to another.
type Resize struct {
	Peer         PeerID
	Audio, Video []bool
}

// Speak says who speaks now, loudest first, as internal/speaker ranks them.
type Speak struct{ Speakers []Speaker }

// Speaker is a microphone that is heard.
type Speaker struct {
	Peer  PeerID
	Level uint8 // 0 silent to 127 loudest
}

// Page notes which page of the roster a peer looks at: events tell of those on it from now on. Room.Page returns it.
type Page struct {
	Peer  PeerID
	After PeerID // 0: the beginning
	Limit int
}

// Tick says that the time has come that Room.Next named.
type Tick struct{}

func (Join) command()      {}
func (Speak) command()     {}
func (Page) command()      {}
func (Tick) command()      {}
func (Leave) command()     {}
func (Publish) command()   {}
func (Unpublish) command() {}
func (Mute) command()      {}
func (Subscribe) command() {}
func (Resize) command()    {}

// Effect is one of Evict, Reject, Assign, Tell.
type Effect interface{ effect() }

// Evict says that a second join with the same identity took over from Peer, which is out of the room already.
type Evict struct{ Peer PeerID }

// Reject refuses a command of Peer, or the part of it that names track ID.
type Reject struct {
	Peer   PeerID
	ID     string // empty: the whole command
	Reason Reason
}

// Assign says what a receive slot shows from now on. It comes at most once a slot and Step, and only for a change, be it of
// the track or of the view.
type Assign struct {
	Peer  PeerID
	Video bool
	Slot  int
	Track *TrackRef // nil: nothing
	View  View      // of a video slot
}

// View says how large a slot's video should be.
type View struct {
	Width, Height uint32 // pixels on screen; 0 when unknown: as large as there is
	Detail        bool   // a screen: sharpness before motion
	Limited       bool   // the device (Join.MaxHeight) and not the client's wish keeps it so small
	// Where bits are short:
	Priority uint32 // of the client's wish for it
	Speaks   bool   // it shows who speaks, or spoke last
}

// Tell hands an event to a peer.
type Tell struct {
	Peer  PeerID
	Event Event
}

func (Evict) effect()  {}
func (Reject) effect() {}
func (Assign) effect() {}
func (Tell) effect()   {}

// Reason says why a command was refused.
type Reason uint8

// The reasons of Reject.
const (
	RoomFull    Reason = iota + 1 // Join: Config.MaxPeers are in
	UnknownPeer                   // the peer is not in the room
	KnownPeer                     // Join: the peer is in the room already
	Forbidden                     // Publish: the peer may not
	NotFound                      // Unpublish, Mute: it has no such track
)

func (r Reason) String() string {
	switch r {
	case RoomFull:
		return "room full"
	case UnknownPeer:
		return "unknown peer"
	case KnownPeer:
		return "known peer"
	case Forbidden:
		return "forbidden"
	case NotFound:
		return "not found"
	default:
		return "no reason"
	}
}

// Event is one of PeerJoined, PeerLeft, TrackPublished, TrackUnpublished, TrackMuted, SlotsChanged, RosterChanged,
// SpeakersChanged.
type Event interface{ event() }

// PeerJoined: somebody is in the room; in a large one it tells of those alone whom the peer wishes for.
type PeerJoined struct{ Peer PeerInfo }

// PeerLeft: somebody is no longer in the room or, in a large one, no longer among those whom this peer hears of.
type PeerLeft struct{ Peer PeerID }

// TrackPublished: a peer sends one more track.
type TrackPublished struct {
	Peer  PeerID
	Track Track
}

// TrackUnpublished: a peer ended a track.
type TrackUnpublished struct {
	Peer  PeerID
	Track Track
}

// TrackMuted: a peer muted or unmuted a track, as Track.Muted says.
type TrackMuted struct {
	Peer  PeerID
	Track Track
}

// SlotsChanged is the whole slot map of the peer from now on. It comes at most once a Step, after its Assigns.
// Peers are those in it whom the peer has not been told of.
type SlotsChanged struct {
	Slots SlotMap
	Peers []PeerInfo
}

// RosterChanged: so many are in the room now. In large rooms only, at most once a second.
type RosterChanged struct{ Size int }

// SpeakersChanged: these speak now, loudest first, at most five.
type SpeakersChanged struct{ Speakers []Speaker }

func (PeerJoined) event()       {}
func (PeerLeft) event()         {}
func (TrackPublished) event()   {}
func (TrackUnpublished) event() {}
func (TrackMuted) event()       {}
func (SlotsChanged) event()     {}
func (RosterChanged) event()    {}
func (SpeakersChanged) event()  {}
