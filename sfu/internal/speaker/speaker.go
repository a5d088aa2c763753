package speaker

import "time"

// Speaker is somebody who speaks.
type Speaker struct {
	ID    uint64
	Level uint8 // 0 silent to 127 loudest: 127 less RFC 6464's level
}

// Room ranks the speakers of one room. One goroutine.
type Room struct{}

// New returns a room in which nobody speaks.
func New() *Room { return &Room{} }

// Handle takes the audio level of one packet as it stands on the wire (RFC 6464 §3: 0 loudest to 127 silent, in −dBov) and
// its voice activity bit. It allocates only for an id it has not met.
func (r *Room) Handle(now time.Duration, id uint64, level uint8, voice bool) {}

// Leave forgets somebody.
func (r *Room) Leave(id uint64) {}

// Poll returns who speaks, loudest first, and whether that differs from what the last Poll said; and when to poll again, 0
// for no need before the next Handle. It is cheap when nothing is due; the slice is valid until the next Poll.
func (r *Room) Poll(now time.Duration) (speakers []Speaker, changed bool, next time.Duration) {
	return nil, false, 0
}
