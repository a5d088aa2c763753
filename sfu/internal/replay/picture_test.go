package replay

import (
	"fmt"

	"github.com/pion/rtp"

	"github.com/tolkyn/tolkyn/internal/capture"
	"github.com/tolkyn/tolkyn/internal/seq"
)

// traced is a packet that the watcher received, and whose it is.
type traced struct {
	*rtp.Packet
	number  seq.Extended
	segment int
	source  *feed
	origin  int // place in source.packets; -1: padding only
}

// trace finds out where every received packet comes from, by its content alone. Within a segment order and distances of
// timestamps must be as they were published.
func (w *world) trace() ([]traced, error) {
	var all []traced
	var places [][]int // of the packets in all: where such a content was published
	current := -1
	for _, n := range w.received() {
		for current+1 < len(w.segments) && w.segments[current+1].from <= n {
			current++
		}
		t := traced{Packet: w.came[n], number: n, segment: current, source: w.segments[current].source, origin: -1}
		var at []int
		if len(t.Payload) > 0 {
			b, err := content(t.source.capture.Codec, t.Payload)
			if err != nil {
				return nil, fmt.Errorf("packet %d of %s: %w", n, t.source.name, err)
			}
			if at = t.source.at[string(b)]; len(at) == 0 {
				return nil, fmt.Errorf("packet %d of %s is not one that was published", n, t.source.name)
			}
		}
		all, places = append(all, t), append(places, at)
	}
	// Parameter sets and silence are published many times: whose they are tells the distance of timestamps that most of a
	// segment's packets have in common.
	votes := make([]map[uint32]int, len(w.segments))
	moved := make([]uint32, len(w.segments))
	for i, t := range all {
		for _, at := range places[i] {
			by := t.Timestamp - t.source.packets[at].Timestamp
			if votes[t.segment] == nil {
				votes[t.segment] = map[uint32]int{}
			}
			votes[t.segment][by]++
			if votes[t.segment][by] > votes[t.segment][moved[t.segment]] {
				moved[t.segment] = by
			}
		}
	}
	last := -1
	for i := range all {
		t := &all[i]
		if i > 0 && all[i-1].segment != t.segment {
			last = -1
		}
		for _, at := range places[i] {
			if at > last && t.Timestamp-t.source.packets[at].Timestamp == moved[t.segment] {
				t.origin, last = at, at
				break
			}
		}
		if t.origin < 0 && len(places[i]) > 0 {
			return nil, fmt.Errorf("packet %d of %s is out of order, or has a strange timestamp", t.number, t.source.name)
		}
	}
	return all, nil
}

// picture is what a receiver would decode at once.
type picture struct {
	packets []traced
	whole   bool // begins where the one before ended, and ends in a marker
	key     bool // a decoder can begin with it
}

// pictures puts received packets together as a receiver does: by timestamp, marker and number.
func pictures(all []traced) []picture {
	var out []picture
	open, gap := false, true // in a picture; something is missing before this packet
	var expected seq.Extended
	for i, t := range all {
		if i > 0 && t.number != expected {
			gap = true
		}
		expected = t.number + 1
		if t.origin < 0 {
			continue
		}
		if open && (gap || out[len(out)-1].packets[0].Timestamp != t.Timestamp) {
			open = false // never got its marker
		}
		if !open {
			key := capture.Keyframe(t.source.capture.Codec, t.Payload)
			out, open = append(out, picture{whole: false, key: key}), true
			if gap && !key {
				open = false // its beginning may be missing
				out[len(out)-1].packets = append(out[len(out)-1].packets, t)
				continue
			}
		}
		gap = false
		p := &out[len(out)-1]
		p.packets = append(p.packets, t)
		if t.Marker {
			p.whole, open = true, false
		}
	}
	return out
}

// decodable are the pictures that a receiver gives to its decoder: whole ones, and after one that is not, or a hole, none
// before the next keyframe.
func decodable(all []picture) []picture {
	var out []picture
	broken := true
	for _, p := range all {
		if !p.whole {
			broken = true
			continue
		}
		broken = broken && !p.key
		if !broken {
			out = append(out, p)
		}
	}
	return out
}

// look is how a picture must look when it is decoded.
func (p *picture) look() (string, error) {
	top, number := 0, -1
	source := p.packets[0].source
	for _, t := range p.packets {
		o := source.packets[t.origin]
		if number >= 0 && o.picture != number || t.source != source {
			return "", fmt.Errorf("%s: one picture is made of two", source.name)
		}
		number = o.picture
		top = max(top, source.frames[o.frame].Spatial)
	}
	sum, ok := source.looks[top][number]
	if !ok {
		return "", fmt.Errorf("%s: picture %d has no spatial layer %d", source.name, number, top)
	}
	return sum, nil
}
