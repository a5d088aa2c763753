package downlink

import (
	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/internal/seq"
	"github.com/tolkyn/tolkyn/sfu/internal/uplink"
)

// place is where a packet stands in the slot's stream, and how it goes out there: all that rewriting needs beside segment and
// packet, so that a packet goes out the same each time.
type place struct {
	number   seq.Extended
	active   uint32 // decode targets to tell as those that are sent; 0: as the packet does
	pictures uint16 // VP8: left out in the segment before it
	how      fate   // blank, marked
}

// plain is the place of a packet in a segment, or a part of one, from which nothing is left out.
func (s *segment) plain(p *uplink.Packet) place {
	at := place{number: p.Seq + s.offset}
	if p.Marker {
		at.how = marked
	}
	if p.Size() == 0 {
		at.how = blank
	}
	return at
}

// place is where p stands by its entry in the table.
func (s *segment) place(number seq.Extended, e *entry, p *uplink.Packet) place {
	at := s.plain(p)
	at.number, at.pictures = number, e.pictures
	if e.how&blank != 0 {
		at.how = blank
	}
	at.how |= e.how & marked
	if e.how&telling != 0 {
		if t := s.source.Structure(p.Structure); t != nil {
			at.active = t.Along(e.target(t)) & p.Frame.Active
		}
	}
	return at
}

// sift decides on a packet of a segment from which something is left out: where it stands, and whether it goes out at all.
func (d *Downlink) sift(s *segment, p *uplink.Packet) (at place, ok bool) {
	n, l := &d.numbers, &d.layers
	if !n.on && !d.beginTable(s, p) || p.Seq < s.tableFirst {
		return s.plain(p), true
	}
	if p.Seq <= n.highest {
		return d.fillIn(s, p)
	}
	missing := int(p.Seq - n.highest - 1)
	before := d.entry()
	media, hidden := p.Size() > 0, false
	if missing > 0 {
		l.broken |= ^l.within // what has not come may be a frame that those others need
	}
	if media {
		inside := l.hidden && l.timestamp == p.Timestamp && l.layer == p.Meta.Layer
		d.follow(p, missing == 0)
		hidden = d.hides(p)
		if inside && hidden {
			missing = 0 // the frame is left out, and they are of it
		}
		d.remember(p, hidden)
	}
	l.count(hidden)
	if missing > 0 && d.entry().reach != before.reach {
		l.turn(p.Timestamp)
	}
	n.reserve(p.Seq-seq.Extended(missing), missing, before)
	n.highest = p.Seq
	if hidden {
		d.stats.Thinned++
		return place{}, false
	}
	e := d.entry()
	if media {
		d.finish(&e, p)
		l.ended = l.ended || p.Marker || e.how&marked != 0
	}
	return s.place(n.put(p.Seq, e), &e, p), true
}

// beginTable starts the table at p when p is the newest packet and of a stream with layers.
func (d *Downlink) beginTable(s *segment, p *uplink.Packet) bool {
	q, l := &d.sequence, &d.layers
	highest := s.first - 1
	if p.Seq != s.first {
		highest = q.highest - s.offset
		if p.Seq <= highest {
			return false
		}
		l.started, l.timestamp = true, q.source
	}
	if !p.Meta.HasLayer {
		return false
	}
	d.numbers.begin(highest, q.highest+1)
	s.table, s.tableFirst = q.highest+1, highest+1
	return true
}

// entry says what the slot shows now.
func (d *Downlink) entry() entry {
	return entry{pictures: d.layers.pictures, reach: reachOf(d.layers.shown)}
}

// finish notes what p must say beside what its publisher wrote: the picture's end, where the rest of it is left out, and
// the decode targets, where they have changed or come with a structure.
func (d *Downlink) finish(e *entry, p *uplink.Packet) {
	l := &d.layers
	if d.endsPicture(e, p) {
		e.how |= marked
	}
	if p.Structure == 0 || p.Structure != l.structure {
		return
	}
	if l.untold {
		l.untold, l.telling, l.told = false, true, p.Frame.Number
	}
	if p.Frame.Structure || l.telling && p.Frame.Number == l.told {
		e.how |= telling
	}
}

// endsPicture reports whether p is the last packet of the highest spatial layer shown.
func (d *Downlink) endsPicture(e *entry, p *uplink.Packet) bool {
	return p.Meta.End && (p.Structure != 0 || d.current.Codec() == codec.VP9) && p.Meta.Layer.Spatial == e.reach.layer().Spatial
}

// fillIn finds the number that was reserved for a packet which comes late. When it is of a layer that was not shown then,
// padding takes its place: receivers would ask for it for ever.
func (d *Downlink) fillIn(s *segment, p *uplink.Packet) (at place, ok bool) {
	number, e := d.numbers.find(s.table, p.Seq)
	if e == nil || e.how&reserved == 0 {
		d.stats.Thinned++
		return place{}, false
	}
	e.how &^= reserved
	if p.Size() > 0 {
		if d.hid(e, p) {
			e.how |= blank
			d.stats.Blanked++
		} else if d.endsPicture(e, p) {
			e.how |= marked
		}
	}
	return s.place(number, e, p), true
}

// hid reports whether a packet that comes late is of a frame that was left out or, when nothing of it had come, would have
// been.
func (d *Downlink) hid(e *entry, p *uplink.Packet) bool {
	t := d.current.Structure(p.Structure)
	if t == nil && p.Structure != 0 {
		return e.reach != reachOf(codec.Everything) // its structure went when the stream restarted: nobody can tell
	}
	if t == nil {
		return !holds(e.reach.layer(), d.current.Codec(), p)
	}
	if reach, ok := d.layers.turnedTo(p.Timestamp); ok {
		e.reach = reach // of the picture that was begun by a packet behind it
	}
	hidden := e.reach != reachOf(codec.Everything) && p.Frame.Needed&t.Along(e.target(t)) == 0
	if p.Structure != d.layers.structure || !d.layers.limited {
		return hidden
	}
	if came, left := d.layers.frames.find(p.Frame.Number); came {
		return left
	}
	hidden = hidden || d.orphaned(p)
	d.noteFrame(p, hidden)
	return hidden
}
