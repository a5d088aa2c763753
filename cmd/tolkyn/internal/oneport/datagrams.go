package oneport

import (
	"net/netip"
	"sync/atomic"

	"github.com/tolkyn/tolkyn/internal/handover"
	"github.com/tolkyn/tolkyn/internal/udp"
)

// SFU is what takes the media that comes here: *sfu.SFU, whose methods these are.
type SFU interface {
	Deliver(to netip.AddrPort, l *handover.Link, b []byte) bool
	Closed(l *handover.Link)
	Home(ufrag []byte) (shard int, ok bool)
}

// Datagrams are those of the one port that are not TURN's. All methods are safe from any goroutine.
type Datagrams struct {
	// Fixed after NewDatagrams.
	sfu   SFU
	links *links
	quic  *Packets // nil: there is no QUIC

	// Atomic.
	stray atomic.Uint64
}

// NewDatagrams returns where a TURN server takes its strangers. quic is nil where QUIC is not served.
func NewDatagrams(sfu SFU, quic *Packets) *Datagrams {
	return &Datagrams{sfu: sfu, links: newLinks(sfu), quic: quic}
}

// Take takes a datagram that is not ChannelData of an allocation; false: it is TURN's. It does not block, and keeps nothing of b.
func (d *Datagrams) Take(b []byte, from netip.AddrPort, on udp.Port) bool {
	switch Classify(b, false) {
	case Relay:
		return false
	case QUIC:
		if d.quic != nil {
			d.quic.take(b, from, on)
			return true
		}
	case Check:
		link := d.links.find(from)
		if link == nil {
			if _, ours := d.sfu.Home(Ufrag(b)); ours {
				link = d.links.add(from, on)
			}
		}
		if link != nil {
			d.sfu.Deliver(netip.AddrPort{}, link, b)
			return true
		}
	case Answer, Media:
		if link := d.links.find(from); link != nil {
			d.sfu.Deliver(netip.AddrPort{}, link, b)
			return true
		}
	}
	d.stray.Add(1)
	return true
}

// Sweep ends the links of who has not been heard of since it was called last. To be called every 15 s: consent of a path ends after
// 30 s (RFC 7675 §5.1).
func (d *Datagrams) Sweep() { d.links.sweep() }

// DatagramStats counts since the start.
type DatagramStats struct {
	Links   int    // clients whose media comes here now, and who claim to be such
	Stray   uint64 // datagrams of nobody who is known, and of nothing that is served here
	Crowded uint64 // links ended, unproved, to make room for others
	Late    uint64 // QUIC packets dropped: more came than were read
}

// Stats returns the counters.
func (d *Datagrams) Stats() DatagramStats {
	s := DatagramStats{Stray: d.stray.Load()}
	s.Links, s.Crowded = d.links.count()
	if d.quic != nil {
		s.Late = d.quic.late.Load()
	}
	return s
}

// Close ends all links.
func (d *Datagrams) Close() { d.links.close() }
