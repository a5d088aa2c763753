package downlink

import (
	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/internal/seq"
	"github.com/tolkyn/tolkyn/sfu/internal/uplink"
	"github.com/tolkyn/tolkyn/sfu/internal/voice"
)

const (
	// 1,000 bytes: with all headers on every path in one piece.
	mostRED = 1000
	// Of what came late to us, be it because it was asked for again, the next two packets bring copies: it has no time for those that
	// are farther away.
	lateCopies = 2
)

// SetRedundancy says how packets of a voice are protected from now on; without RED negotiated they leave plain whatever it is.
// Built for each packet out of its source's history, copies are there of whatever has come by then, late or not.
//
//	mode Full, in-band FEC      ─5─6─7─8─9──►   9 = RED( 5, 7, 9 ), each with the one before it inside: 4 to 9 in one packet
func (d *Downlink) SetRedundancy(m voice.Mode) {
	if d.cfg.RED == 0 || d.cfg.Video || m == d.red.mode {
		return
	}
	if d.red.mode == voice.Plain {
		d.red.since = d.sequence.highest + 1
	}
	d.red.mode = m
}

// Redundancy is the mode in which the slot's voices leave; Plain without RED.
func (d *Downlink) Redundancy() voice.Mode { return d.red.mode }

// redundancy is how a voice is protected.
type redundancy struct {
	mode  voice.Mode
	since seq.Extended // number of the first packet with copies
}

// protect writes the payload of p, behind copies of earlier packets, to dst, and returns how many bytes that are and how many
// copies; 0 when it is to go out plain. p is the packet that the cursor has just passed. Distances are counted in the order of
// arrival, so that each packet is copied as often as any other, whatever the publisher's path has lost or delayed.
func (d *Downlink) protect(s *segment, p *uplink.Packet, dst []byte) (size, copies int) {
	var all [voice.MostCopies + 1]codec.REDBlock
	blocks := all[:0]
	fec := s.source.FEC(p.Arrival)
	distances := d.red.mode.Distances(fec)
	for back := max(distances.Farthest(), lateCopies); back > 0 && len(blocks) < voice.MostCopies; back-- {
		q := s.source.At(d.cursor - 1 - uint64(back))
		if q == nil || !q.Speech || q.Size() > codec.MaxREDCopy || q.Epoch != s.epoch || q.Seq < s.first {
			continue
		}
		if !distances.Has(back) && (q.Newest || back > lateCopies) && (back > 1 || !fec || p.FEC) {
			continue
		}
		if offset := p.Timestamp - q.Timestamp; offset > 0 && offset <= codec.MaxREDOffset {
			blocks = append(blocks, codec.REDBlock{
				PayloadType: s.payload.PayloadType, Offset: uint16(offset), Data: s.source.Payload(q),
			})
		}
	}
	oldestFirst(blocks)
	blocks = append(blocks, codec.REDBlock{PayloadType: s.payload.PayloadType, Data: s.source.Payload(p)})
	for len(blocks) > 1 && codec.REDSize(blocks) > min(mostRED, len(dst)) {
		blocks = blocks[1:] // what is oldest is the least likely to be in time
	}
	if len(blocks) == 1 {
		return 0, 0
	}
	b, ok := codec.AppendRED(dst[:0], blocks)
	if !ok {
		return 0, 0
	}
	return len(b), len(blocks) - 1
}

// oldestFirst puts copies into the order in which they were sent.
func oldestFirst(copies []codec.REDBlock) {
	for i := 1; i < len(copies); i++ {
		for k := i; k > 0 && copies[k].Offset > copies[k-1].Offset; k-- {
			copies[k], copies[k-1] = copies[k-1], copies[k]
		}
	}
}

// covered reports whether copies have gone out of the packet with the number, or will with those that follow: it need not be sent
// again.
func (d *Downlink) covered(number seq.Extended) bool {
	if d.red.mode == voice.Plain {
		return false
	}
	s := d.segment(number)
	if s == nil || s.source == nil {
		return false
	}
	far := seq.Extended(d.red.mode.Distances(s.source.FEC(d.lastNow)).Farthest())
	p := s.source.Find(number - s.offset)
	return p != nil && p.Speech && number+far >= d.red.since
}
