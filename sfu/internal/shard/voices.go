package shard

import (
	"slices"
	"time"

	"github.com/tolkyn/tolkyn/sfu/internal/speaker"
)

// pollVoices is how often who speaks is looked at while anybody does.
const pollVoices = 100 * time.Millisecond

// voices are the microphones of a room's peers on this shard.
type voices struct {
	id       RoomID
	peers    int
	speakers *speaker.Room
	pollAt   time.Duration // not before
	due      time.Duration // when it must be looked at without a packet; 0: no need
	keeper   *peer         // whose timer looks then
	told     bool          // that somebody speaks
}

// enterRoom counts a peer into its room.
func (s *Shard) enterRoom(p *peer, id RoomID) {
	if id == 0 {
		return
	}
	v := s.rooms[id]
	if v == nil {
		v = &voices{id: id, speakers: speaker.New()}
		s.rooms[id] = v
	}
	v.peers++
	p.voices = v
}

func (s *Shard) leaveRoom(now time.Duration, p *peer) {
	v := p.voices
	if v == nil {
		return
	}
	p.voices = nil
	if v.keeper == p {
		v.keeper = nil
	}
	if v.peers--; v.peers == 0 {
		delete(s.rooms, v.id)
		if v.told && s.cfg.Speakers != nil {
			s.cfg.Speakers(v.id, nil)
		}
		return
	}
	v.speakers.Leave(uint64(p.id))
	v.due = now
}

// hear takes the audio level of a packet (RFC 6464 §3).
func (s *Shard) hear(now time.Duration, t *track, level uint8) {
	p := t.owner
	v := p.voices
	if v == nil || !t.voice || t.muted {
		return
	}
	v.speakers.Handle(now, uint64(p.id), level&0x7f, level&0x80 != 0)
	if now >= v.pollAt {
		s.listen(now, p)
	}
}

// mute makes a track count among the speakers, or no longer.
func (s *Shard) mute(now time.Duration, t *track, muted bool) {
	if v := t.owner.voices; v != nil && t.voice && muted && !t.muted {
		v.speakers.Leave(uint64(t.owner.id))
		v.due = now
		s.wheel.arm(&t.owner.timer, now)
	}
	t.muted = muted
}

// tendVoices looks at who speaks in the peer's room when that is due.
func (s *Shard) tendVoices(now time.Duration, p *peer) {
	v := p.voices
	switch {
	case v == nil || v.due == 0:
	case now >= v.due:
		s.listen(now, p)
	case v.keeper == p: // one timer a room is enough
		s.wheel.arm(&p.timer, v.due)
	}
}

// listen looks at who speaks in a peer's room, and tells when that has changed.
func (s *Shard) listen(now time.Duration, p *peer) {
	v := p.voices
	list, changed, next := v.speakers.Poll(now)
	v.pollAt, v.due = now+pollVoices, next
	if next != 0 {
		v.due = max(next, now+tick)
		v.keeper = p
		s.wheel.arm(&p.timer, v.due)
	}
	if changed && s.cfg.Speakers != nil {
		v.told = len(list) > 0
		s.cfg.Speakers(v.id, slices.Clone(list))
	}
}
