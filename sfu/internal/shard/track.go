package shard

import (
	"time"

	"github.com/tolkyn/tolkyn/codec"
)

// track is one published track.
type track struct {
	id        TrackID
	owner     *peer
	mid       string
	codec     codec.Codec
	encodings []*published // in the publisher's order
}

// EncodingWanted says whether anybody watches an encoding, and up to which layer.
type EncodingWanted struct {
	RID    string
	Wanted bool
	Layer  codec.Layer // the highest that anybody watches; codec.Everything for no bound
}

// SlotLayer says what a video slot receives.
type SlotLayer struct {
	Slot          int
	Width, Height uint16 // pixels; 0 when nothing flows or the size is unknown
	Encoding      int    // in the publisher's order
	Layer         codec.Layer
	Bits          uint32 // a second, as measured
	Limit         Limit
}

// Limit says what keeps a video from being larger.
type Limit uint8

// The limits. The values are those of sfu.Limit.
const (
	NoLimit        Limit = iota + 1
	WishLimit            // the view is no larger
	PublisherLimit       // the publisher sends no more
	BandwidthLimit       // the subscriber's link carries no more
	DeviceLimit          // the view is no larger, because the device takes no more
	CodecLimit           // the subscriber cannot decode what is published
)

// closeTrack ends a track and empties the slots that show it.
func (s *Shard) closeTrack(now time.Duration, t *track) {
	for _, u := range t.encodings {
		s.closeUplink(now, u)
	}
	delete(s.tracks, t.id)
}
