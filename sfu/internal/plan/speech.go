package plan

import (
	"slices"
	"time"
)

const (
	maxSpeakers = 5 // as internal/speaker names at most

	// A change of stage costs two keyframes in every receiver; who says "yes" in between need not be seen at once.
	stageHold = 2 * time.Second

	// Between two SpeakersChanged: the outline of a tile need not blink faster; in a large room a thousand hear of it.
	speakersGap      = 300 * time.Millisecond
	speakersGapLarge = time.Second
)

// speech is who speaks in a room.
type speech struct {
	sounds   int // audio tracks published
	speaking []*peer
	levels   []uint8
	named    uint64 // speakers named so far

	// The stage is whose pair slot 0 is, where there are more microphones than slots. It has who spoke last too: for the
	// one on stage himself.
	stage, before *peer
	since         time.Duration // of stage
	stageDue      time.Duration // when another may take the stage; 0: nobody waits to

	told    time.Duration // when SpeakersChanged was told last
	news    bool          // since then
	late    []*peer       // who joined since then, while somebody spoke
	lateAt  time.Duration // when the first of them did
	tellDue time.Duration // 0: nobody has to be told
}

// speak takes in who speaks now. Their tracks go before all others: who spoke last has a slot before who spoke earlier.
func (r *Room) speak(list []Speaker) {
	s := &r.speech
	for _, p := range s.speaking {
		p.speaks = false
	}
	s.speaking, s.levels = s.speaking[:0], s.levels[:0]
	for _, named := range list {
		p := r.peers[named.Peer]
		if p == nil || p.speaks || p.source(Microphone) == nil || len(s.speaking) == maxSpeakers {
			continue
		}
		p.speaks = true
		s.speaking, s.levels = append(s.speaking, p), append(s.levels, named.Level)
	}
	for _, p := range slices.Backward(s.speaking) {
		s.named++
		p.spoke = s.named
		r.raise(p)
	}
	s.news = true
	for _, p := range r.order {
		if p.receive.waits(r) {
			r.touch(p)
		}
	}
}

// raise puts the microphones and cameras of a peer before all others.
func (r *Room) raise(p *peer) {
	for _, t := range slices.Backward(p.published) {
		if t.Source == Screen || t.Source == ScreenAudio {
			continue
		}
		list := r.tracks[t.Source-1]
		i := slices.Index(list, t)
		copy(list[1:], list[:i])
		list[0] = t
	}
}

// waits says whether there may be a track that the receiver has no slot for.
func (v *receiver) waits(r *Room) bool {
	own := len(v.self.published) - v.self.sounds
	videos := len(r.tracks[Camera-1]) + len(r.tracks[Screen-1]) - own
	return v.audio.most > 0 && r.speech.sounds-v.self.sounds > v.audio.used || v.video.most > 0 && videos > v.video.used
}

// restage gives the stage to the loudest speaker, once the one on it has had his time.
func (r *Room) restage() {
	s := &r.speech
	s.stageDue = 0
	if len(s.speaking) == 0 || s.speaking[0] == s.stage {
		return
	}
	if s.stage != nil && r.now < s.since+stageHold {
		s.stageDue = s.since + stageHold
		return
	}
	was := [...]*peer{s.stage, s.before, s.speaking[0]}
	s.stage, s.before, s.since = s.speaking[0], s.stage, r.now
	r.touchStaged(was[:]...)
}

// touchStaged touches the receivers that have a stage, or had one, and those that see one of these peers.
func (r *Room) touchStaged(seen ...*peer) {
	for _, p := range r.order {
		if p.receive.staged || r.crowded(p) || slices.ContainsFunc(seen, p.receive.sees) {
			r.touch(p)
		}
	}
}

// seen is whose picture a receiver wants sharp before all others': of who speaks or spoke last, himself apart.
func (s *speech) seen(by *peer) *peer {
	if s.stage == by {
		return s.before
	}
	return s.stage
}

// sees says whether a camera of the peer has a slot.
func (v *receiver) sees(p *peer) bool {
	if p == nil {
		return false
	}
	return slices.ContainsFunc(p.published, func(t *track) bool {
		_, has := v.where[t]
		return has && t.Source == Camera
	})
}

// silence sees that a peer who left, or has no microphone any more, is no speaker and not on stage.
func (r *Room) silence(p *peer) {
	s := &r.speech
	if i := slices.Index(s.speaking, p); i >= 0 {
		s.speaking, s.levels = slices.Delete(s.speaking, i, i+1), slices.Delete(s.levels, i, i+1)
		p.speaks, s.news = false, true
	}
	if s.before == p {
		s.before = nil
		r.touchStaged(p, s.stage)
	}
	if s.stage == p {
		s.stage, s.before = s.before, nil
		s.since = min(s.since, r.now-stageHold) // the next need not wait
		r.touchStaged(p, s.stage)
	}
}

// crowded says whether there are more audio tracks for a receiver than it has slots: then the loudest share them. A
// receiver that wants no sound at all has nobody on stage.
func (r *Room) crowded(p *peer) bool {
	slots := p.receive.audio.most
	return slots > 0 && r.speech.sounds-p.sounds > slots
}

// stageOf is whose pair a receiver's slots 0 are: of who is on stage; of the one before for himself, and for who does not
// want to hear him; nil where everybody has a slot.
func (r *Room) stageOf(p *peer) *peer {
	if !r.crowded(p) {
		return nil
	}
	for _, s := range [...]*peer{r.speech.stage, r.speech.before} {
		if s == nil || s == p {
			continue
		}
		if mic := s.source(Microphone); mic != nil && p.receive.rank(mic) != hidden {
			return s
		}
	}
	return nil
}

// frontOf is the loudest speaker that a receiver hears.
func (r *Room) frontOf(p *peer) *peer {
	for _, s := range r.speech.speaking {
		if s != p && p.receive.rank(s.source(Microphone)) != hidden {
			return s
		}
	}
	return nil
}

// tellSpeakers tells everybody who speaks, as far as he knows them, when that has changed; those who have joined since,
// a little later.
func (r *Room) tellSpeakers() {
	s := &r.speech
	s.tellDue = 0
	if !s.news && len(s.late) == 0 {
		return
	}
	gap := speakersGap
	if r.roster.large {
		gap = speakersGapLarge
	}
	to, due := r.order, s.told+gap
	if !s.news {
		to, due = s.late, max(due, s.lateAt+gap)
	}
	if r.now < due {
		s.tellDue = due
		return
	}
	all := make([]Speaker, len(s.speaking))
	for i, p := range s.speaking {
		all[i] = Speaker{Peer: p.id, Level: s.levels[i]}
	}
	for _, p := range to {
		if r.peers[p.id] == p && p != r.roster.joiner {
			r.emit(Tell{Peer: p.id, Event: SpeakersChanged{Speakers: r.among(p, all)}})
		}
	}
	s.told, s.news, s.late = r.now, false, nil
	if r.roster.joiner != nil && len(s.speaking) > 0 {
		r.miss(r.roster.joiner)
		s.tellDue = s.lateAt + gap
	}
}

// miss notes who has joined and does not know who speaks.
func (r *Room) miss(p *peer) {
	s := &r.speech
	if len(s.speaking) == 0 {
		return
	}
	if len(s.late) == 0 {
		s.lateAt = r.now
	}
	s.late = append(s.late, p)
}

// among leaves out whom a peer does not know.
func (r *Room) among(p *peer, all []Speaker) []Speaker {
	for i, s := range r.speech.speaking {
		if s == p || r.knows(p, s) {
			continue
		}
		known := slices.Clone(all[:i])
		for j, o := range r.speech.speaking[i:] {
			if o == p || r.knows(p, o) {
				known = append(known, all[i+j])
			}
		}
		return known
	}
	return all
}
