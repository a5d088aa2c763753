package client

import "github.com/tolkyn/tolkyn/signaling/wire"

// maxEvents wait for the reader of Room.Events.
const maxEvents = 1024

// Event is something that happened in a Room: one of the types below. Each happens once, in order, across reconnects.
type Event interface{ event() }

// StateChanged tells how the Room is.
type StateChanged struct{ State State }

// ParticipantJoined: somebody came.
type ParticipantJoined struct{ Participant Participant }

// ParticipantLeft: somebody went.
type ParticipantLeft struct{ Participant Participant }

// TrackPublished: a participant has a new track.
type TrackPublished struct {
	ParticipantID string
	Track         Track
}

// TrackUnpublished: a participant's track ended.
type TrackUnpublished struct {
	ParticipantID string
	Track         Track
}

// TrackMuted: a participant's track was muted or, when Track.Muted is false, unmuted.
type TrackMuted struct {
	ParticipantID string
	Track         Track
}

// SlotsChanged: something else flows in the slots; ask Slot.Shows.
type SlotsChanged struct{}

// SpeakersChanged names who speaks, loudest first; nobody when Speakers is empty.
type SpeakersChanged struct{ Speakers []*wire.Speaker }

// RosterChanged: the number of those in the room changed, or Participants names somebody who has been there all along.
type RosterChanged struct{ Size int }

// LayersChanged tells of the video slots that receive something else now, or are held back by something else.
type LayersChanged struct{ Slots []SlotLayer }

// CodecWanted: somebody cannot decode a track that we publish. Publish the same picture in this codec as well, with
// LocalTrack.BackupOf, or, when Wanted is false, end that again.
type CodecWanted struct {
	TrackID string
	Codec   string // MIME type: "video/VP8"
	Wanted  bool
}

// SaverWanted: our path does not carry the sound of others as they send it to who does not save; see Room.Save.
type SaverWanted struct{}

// Rebuilt: the media connection was replaced by a new one. Slots and published tracks go on as before; the Room has a
// new ID.
type Rebuilt struct{}

// Failed: something went wrong that does not end the Room.
type Failed struct{ Err error }

// Missed stands for this many events that found no place because nobody read them. What the Room says of itself is right
// all the same.
type Missed struct{ Count int }

// Ended is the last event; the channel is closed after it.
type Ended struct{ Err *EndError }

func (StateChanged) event()      {}
func (ParticipantJoined) event() {}
func (ParticipantLeft) event()   {}
func (TrackPublished) event()    {}
func (TrackUnpublished) event()  {}
func (TrackMuted) event()        {}
func (SlotsChanged) event()      {}
func (SpeakersChanged) event()   {}
func (RosterChanged) event()     {}
func (LayersChanged) event()     {}
func (CodecWanted) event()       {}
func (SaverWanted) event()       {}
func (Rebuilt) event()           {}
func (Failed) event()            {}
func (Missed) event()            {}
func (Ended) event()             {}

// mailbox holds events for a reader who may be slow or absent. Two places are kept free for Missed and Ended. The Room's
// mutex guards it.
type mailbox struct {
	events chan Event
	missed int
}

func newMailbox() mailbox { return mailbox{events: make(chan Event, maxEvents)} }

func (b *mailbox) put(e Event) {
	if len(b.events) >= maxEvents-3 {
		b.missed++
		return
	}
	b.confess()
	b.events <- e
}

// end puts the last event in.
func (b *mailbox) end(e Event) {
	b.confess()
	b.events <- e
	close(b.events)
}

func (b *mailbox) confess() {
	if b.missed > 0 {
		b.events <- Missed{b.missed}
		b.missed = 0
	}
}
