package caller

import (
	"slices"
	"time"

	"github.com/tolkyn/tolkyn/bench/scenario"
	"github.com/tolkyn/tolkyn/bench/source"
)

// cast is everybody of a run, by the names and numbers that media carry. Fixed after newCast.
type cast struct {
	byNumber map[int]*role
	byRoom   map[string][]*role
}

// role is what one caller does in the run, as the schedule has it.
type role struct {
	scenario.Caller
	there []span // in the call
	talks []span // with an open microphone
}

// span is from its beginning on, up to its end.
type span struct{ from, to time.Duration }

const forever = time.Duration(1<<63 - 1)

func newCast(callers, others []scenario.Caller) *cast {
	c := &cast{byNumber: map[int]*role{}, byRoom: map[string][]*role{}}
	for _, list := range [][]scenario.Caller{callers, others} {
		for _, caller := range list {
			r := newRole(caller)
			c.byNumber[caller.Number] = r
			c.byRoom[caller.Room] = append(c.byRoom[caller.Room], r)
		}
	}
	return c
}

func newRole(c scenario.Caller) *role {
	r := &role{Caller: c}
	for _, e := range c.Events {
		switch e.Do {
		case scenario.Join, scenario.Rejoin:
			r.there = append(r.there, span{e.At, forever})
			r.talks = append(r.talks, span{e.At, forever})
		case scenario.Leave:
			end(r.there, e.At)
			end(r.talks, e.At)
		case scenario.Mute:
			end(r.talks, e.At)
		case scenario.Unmute:
			r.talks = append(r.talks, span{e.At, forever})
		}
	}
	return r
}

func end(spans []span, at time.Duration) {
	if n := len(spans); n > 0 && spans[n-1].to == forever {
		spans[n-1].to = at
	}
}

func during(spans []span, at time.Duration) bool {
	for _, s := range spans {
		if at >= s.from && at < s.to {
			return true
		}
	}
	return false
}

// named is the one with this identity in a room; nil: nobody.
func (c *cast) named(room, identity string) *role {
	for _, r := range c.byRoom[room] {
		if r.Identity == identity {
			return r
		}
	}
	return nil
}

// track finds one of a role's tracks by its place.
func (r *role) track(i int) (scenario.Track, bool) {
	if i < 0 || i >= len(r.Publish) {
		return scenario.Track{}, false
	}
	return r.Publish[i], true
}

// sends says whether a track is due at a moment.
func (r *role) sends(t scenario.Track, at time.Duration) bool {
	if t.Media == scenario.Microphone {
		return during(r.talks, at)
	}
	return during(r.there, at)
}

// tracksOf counts what the others of a role's room publish, were all of them there.
func (c *cast) tracksOf(r *role) (audio, video int) {
	for _, other := range c.byRoom[r.Room] {
		if other == r {
			continue
		}
		for _, t := range other.Publish {
			if t.Media == scenario.Microphone {
				audio++
			} else {
				video++
			}
		}
	}
	return audio, video
}

// layerOf is which clip plays a picture.
func layerOf(p scenario.Profile) source.Layer {
	switch p {
	case scenario.P180:
		return source.Low
	case scenario.P360:
		return source.Mid
	}
	return source.High
}

// profileOf is the same of a voice.
func profileOf(p scenario.Profile) source.Profile {
	switch p {
	case scenario.Robust:
		return source.Robust
	case scenario.Saver:
		return source.Thin
	case scenario.Lean:
		return source.Lean
	}
	return source.Voice
}

// saves says whether somebody who publishes this counts bytes.
func saves(tracks []scenario.Track) bool {
	return slices.ContainsFunc(tracks, func(t scenario.Track) bool { return t.Profile == scenario.Saver || t.Profile == scenario.Lean })
}
