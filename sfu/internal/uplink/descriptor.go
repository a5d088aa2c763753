package uplink

import (
	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/internal/seq"
)

// structures are the dependency structure in force and the one before, by which stragglers are read. A stream without
// descriptors has none, and pays nothing for them.
type structures struct {
	current, previous codec.Structure
	number, before    uint8        // of each, from 1; 0: there is none
	given             uint8        // the number given last
	since, until      seq.Extended // the packets that brought current, and previous
	spare             codec.Structure
}

// tellsStructure looks for template_dependency_structure_present_flag (AV1's RTP specification, §A.8.2).
func tellsStructure(b []byte) bool { return len(b) > 3 && b[3]&0x80 != 0 }

// describe reads the descriptor of the packet that we number e: what it says and by which structure, 0 when it cannot be
// read. Packets that were read by an older structure than they should, because the one that brings theirs came late, are
// read again.
func (u *Uplink) describe(e seq.Extended, newest bool, b []byte) (d codec.Descriptor, by uint8) {
	brings := tellsStructure(b)
	s := u.structures
	if s == nil {
		if !brings {
			return d, 0
		}
		s = new(structures)
		u.structures = s
	}
	ok := false
	switch {
	case brings:
		s.spare = codec.Structure{}
		if d, ok = s.spare.ReadDescriptor(b); !ok {
			return codec.Descriptor{}, 0
		}
		by = u.structureOf(e, newest)
	case s.number == 0:
	case newest:
		d, ok = s.current.ReadDescriptor(b)
		by = s.number
	case e >= s.since:
		s.spare = s.current
		d, ok = s.spare.ReadDescriptor(b)
		by = s.number
	case s.before != 0 && e >= s.until:
		s.spare = s.previous
		d, ok = s.spare.ReadDescriptor(b)
		by = s.before
	}
	if !ok || by == 0 {
		return codec.Descriptor{}, 0
	}
	return d, by
}

// forget ends all structures: the stream has restarted. Their numbers are not given again for long.
func (s *structures) forget() {
	if s != nil {
		s.number, s.before = 0, 0
	}
}

// structureOf finds the number of the structure in spare, which the packet that we number e has brought, and makes it the
// one in force when it is newer than that.
func (u *Uplink) structureOf(e seq.Extended, newest bool) uint8 {
	s := u.structures
	switch {
	case s.number != 0 && s.spare == s.current:
		if e < s.since {
			s.since = e
			u.describeAgain(e)
		}
		return s.number
	case s.before != 0 && e < s.since && s.spare == s.previous:
		return s.before
	case s.number != 0 && e < s.since:
		return 0
	}
	s.previous, s.before, s.until = s.current, s.number, s.since
	s.current, s.since = s.spare, e
	if s.given++; s.given == 0 {
		s.given = 1
	}
	s.number = s.given
	if !newest {
		u.describeAgain(e)
	}
	return s.number
}

// describeAgain reads the descriptors of what came before the structure that it is by: all that is numbered above e and has
// not been read by it.
func (u *Uplink) describeAgain(e seq.Extended) {
	s := u.structures
	s.spare = s.current
	for n := e + 1; n <= u.highest; n++ {
		p := u.Find(n)
		if p == nil || p.descriptor == 0 || p.Epoch != u.epoch || p.Structure == s.number {
			continue
		}
		if d, ok := s.spare.ReadDescriptor(u.Descriptor(p)); ok {
			p.Frame, p.Structure = d, s.number
			u.described(p)
		}
	}
}

// described puts what p's descriptor says in the place of what its payload does: it knows better, and the payload may be
// encrypted. Where spatial layers are independent, each brings the structure with its keyframe, but only the lowest one is
// where a picture can be entered.
func (u *Uplink) described(p *Packet) {
	m, d := &p.Meta, &p.Frame
	m.Start, m.End, m.Last = d.Start, d.End, p.Marker
	m.HasLayer, m.Layer = true, d.Layer
	m.Keyframe = d.Start && d.Structure && (d.Layer.Spatial == 0 || u.beginsPicture(p))
	m.Entry, m.SwitchUp = m.Keyframe, false
}

// own says whether p's descriptor tells that no higher spatial layer needs it, though there are some.
func (u *Uplink) own(p *Packet) bool {
	if p.Structure == 0 {
		return false
	}
	above := u.Structure(p.Structure).Above(p.Frame.Layer.Spatial)
	return above != 0 && p.Frame.Needed&above == 0
}

// Structure returns the dependency structure with the number that a packet's Structure names; nil when it has been
// replaced twice, or the stream has restarted. It is valid until the next Handle or HandleRTX.
func (u *Uplink) Structure(number uint8) *codec.Structure {
	s := u.structures
	switch {
	case s == nil || number == 0:
		return nil
	case number == s.number:
		return &s.current
	case number == s.before:
		return &s.previous
	}
	return nil
}
