package uplink

import (
	"time"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/seq"
)

const (
	// 64 packets back: a copy is at most 341 ms old (RFC 2198 §3, 14 bits of 48 kHz), 34 packets of 10 ms.
	copiesReach = 64

	// 3 s: encoders leave the in-band FEC out of pauses, which do not last longer while somebody speaks.
	fecLasts = 3 * time.Second

	// 5 s: who hears of loss tells of it again within one.
	fecAsked = 5 * time.Second

	// 6/256, 2.3 %: Chromium begins with in-band FEC at 3/256. 24/256, 9.4 %: at 10 % senders without transport-wide feedback
	// slow down, which would help nobody.
	fecLeast, fecMost = 6, 24
)

// A voice is forwarded as it comes, and never held back for what is missing: what is restored goes out late under its own
// number, and whoever plays it has a buffer for that anyway.
//
//	published   5   6   7   8          RED 8 brings copies of 6 and 7
//	arrives     5           8(6 7)
//	stored      5   6   7   8          by timestamp, in their places, as if they had come

// unpack takes a RED packet apart (RFC 2198): copies of packets that have not come are stored in their places, then its own
// payload in its. RED goes no further than here: each subscriber is protected for himself.
func (u *Uplink) unpack(now time.Duration, h *packet.Header, e seq.Extended, payload []byte, x Extensions) Verdict {
	blocks, n, ok := codec.ReadRED(payload)
	if !ok || blocks[n-1].PayloadType != u.cfg.PayloadType {
		u.stats.Malformed++
		return Malformed
	}
	u.copies = reach(blocks[:n])
	u.missing.tries = [...]uint8{maxTries, copyTries, copiesTries}[min(n-1, 2)]
	for i := range blocks[:n-1] {
		if b := &blocks[i]; b.PayloadType == u.cfg.PayloadType && b.Offset > 0 && len(b.Data) > 0 {
			u.restore(now, h, e, h.Timestamp-uint32(b.Offset), b.Data)
		}
	}
	return u.store(now, h, e, blocks[n-1].Data, x, nil, original)
}

// reach is how far the copies of a RED packet go back.
func reach(blocks []codec.REDBlock) copies {
	lasts := duration(blocks[len(blocks)-1].Data)
	if lasts == 0 {
		return copies{}
	}
	far := uint32(0)
	for i := range blocks {
		far = max(far, uint32(blocks[i].Offset))
	}
	return copies{reach: int(far / lasts), lasts: time.Duration(lasts) * time.Second / 48000}
}

// restore stores what a RED packet that we number e brings of an earlier one, unless that has come.
func (u *Uplink) restore(now time.Duration, h *packet.Header, e seq.Extended, timestamp uint32, payload []byte) {
	number, ok := u.hole(e, h.Timestamp, timestamp, payload)
	if !ok {
		return
	}
	missed := packet.Header{SSRC: h.SSRC, Sequence: (number - u.shift).Uint16(), Timestamp: timestamp, PayloadType: u.cfg.PayloadType}
	if u.store(now, &missed, number, payload, Extensions{}, nil, copied) == Stored {
		u.stats.Restored++
	}
}

// hole finds the number of the packet that payload is a copy of: RED tells its timestamp alone. False: it has come, or
// nothing tells for sure, as where several packets are missing and the sender paused among them.
func (u *Uplink) hole(e seq.Extended, stamp, timestamp uint32, payload []byte) (number seq.Extended, ok bool) {
	above, aboveStamp := e, stamp
	for s := e - 1; e-s <= copiesReach; s-- {
		p := u.Find(s)
		switch {
		case p == nil:
		case p.Epoch != u.epoch || p.Timestamp == timestamp:
			return 0, false
		case int32(p.Timestamp-timestamp) > 0:
			above, aboveStamp = s, p.Timestamp
		default:
			return u.between(p, above, aboveStamp, timestamp, payload)
		}
	}
	return 0, false
}

// between finds the number of a packet with the timestamp, of which payload is a copy, behind p and before the one numbered
// above, both of which have come and none between.
func (u *Uplink) between(p *Packet, above seq.Extended, aboveStamp, timestamp uint32, payload []byte) (number seq.Extended, ok bool) {
	missing := uint32(above - p.Seq - 1)
	if missing <= 1 {
		return p.Seq + 1, missing == 1
	}
	lasts := duration(payload)
	switch {
	case lasts == 0:
		return 0, false
	case aboveStamp-timestamp == lasts:
		return above - 1, true
	case timestamp-p.Timestamp == duration(u.Payload(p)):
		return p.Seq + 1, true
	case aboveStamp-p.Timestamp == (missing+1)*lasts && (timestamp-p.Timestamp)%lasts == 0: // no pause among them
		return p.Seq + seq.Extended((timestamp-p.Timestamp)/lasts), true
	}
	return 0, false
}

// duration of an Opus packet in ticks; 0 when it cannot be read.
func duration(payload []byte) uint32 {
	p, _ := codec.ReadOpus(payload)
	return uint32(p.Samples)
}

// readVoice notes what an Opus packet says of itself. One that is encrypted end to end says nothing that could be relied on:
// where that may be, RED must not be negotiated.
func (u *Uplink) readVoice(p *Packet, payload []byte) {
	v, ok := codec.ReadOpus(payload)
	p.Speech, p.FEC = ok && !v.DTX, ok && v.FEC
	if p.FEC {
		u.fec.came, u.fec.comes = p.Arrival, true
	}
}

// TakeRestored returns how many missing packets have come since the last call: within later ones, and by themselves, late.
func (u *Uplink) TakeRestored() (copied, repaired uint64) {
	c, r := u.stats.Restored, u.stats.Repaired
	copied, repaired = c-u.taken.restored, r-u.taken.repaired
	u.taken.restored, u.taken.repaired = c, r
	return copied, repaired
}

// fec is what is known of the in-band FEC of a voice.
type fec struct {
	comes bool // it came once,
	came  time.Duration
	asked time.Duration // until when it is asked for,
	share uint8         // by this loss in 1/256
}

// FEC reports whether the voice's packets carry the ones before them once more, coarser (Opus' in-band FEC): it is left out
// of some, and of pauses.
func (u *Uplink) FEC(now time.Duration) bool { return u.fec.comes && now-u.fec.came < fecLasts }

// AskFEC asks the publisher of a voice for in-band FEC, because of a loss, 0 to 1, that his packets meet behind this server. It is
// asked for by the loss in our reports, the only language encoders understand, for 5 s. True: he is to be told soon, for he was
// not asked until now.
func (u *Uplink) AskFEC(now time.Duration, loss float64) (soon bool) {
	soon = now >= u.fec.asked
	u.fec.share = max(u.fec.share, uint8(min(max(int(loss*256), fecLeast), fecMost)))
	u.fec.asked = now + fecAsked
	return soon
}

// toldLoss is the least loss, in 1/256, that a report tells of so that in-band FEC comes. It nears the least with each report
// unless it is asked for by more.
func (u *Uplink) toldLoss(now time.Duration) uint8 {
	if now >= u.fec.asked {
		u.fec.share = 0
		return 0
	}
	share := u.fec.share
	u.fec.share = max(share-1, fecLeast)
	return share
}
