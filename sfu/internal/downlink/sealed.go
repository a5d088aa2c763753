package downlink

import (
	"time"

	"github.com/tolkyn/tolkyn/internal/seq"
	"github.com/tolkyn/tolkyn/sfu/internal/voice"
)

const (
	// 1 s: voice older than that is never played. Where a third is lost on a round trip of 250 ms, half of what is asked for again is
	// older than 500.
	sealedKeep = time.Second

	// 64 packets cover a second down to 16-ms packets.
	sealedPackets = 64

	// 4 kB is half a second of voice at 32 kbit/s with its headers; it doubles up to 64 kB for music.
	sealedFirst, sealedMost = 4 << 10, 64 << 10
)

// sealedRing keeps sealed packets as they went to the socket. Browsers have no RTX for audio, and sealing a packet again
// under the same number would break the cipher: the same bytes are sent again.
type sealedRing struct {
	entries []sealedEntry // by number
	slab    []byte
	written uint64
	oldest  seq.Extended // no lower number is kept
}

type sealedEntry struct {
	number seq.Extended // 0: free
	stored time.Duration
	at     uint64 // position in the endless stream of bytes
	size   uint32
}

// SetLossless says whether packets may be taken to arrive: then none are kept to be sent again, which saves a third of what a
// voice costs. A slot begins without.
func (d *Downlink) SetLossless(lossless bool) { d.lossless = lossless }

// StoreSealed keeps a copy of the sealed media packet with the given number, when the slot is one whose packets are
// answered for that way (audio that negotiated NACK and has no RTX) and they may be asked for; otherwise it does nothing.
func (d *Downlink) StoreSealed(number seq.Extended, sealed []byte) {
	if d.sealed != nil && !d.lossless && d.red.mode == voice.Plain {
		d.sealed.push(d.lastNow, number, sealed)
	}
}

// Sealed answers a NACK for the slot's sequence number with the bytes sent before; nil when they are gone, older than
// 1 s, were sent again less than a round trip ago, later packets bring a copy, or the budget of Resend is spent. They are valid
// until the next StoreSealed.
func (d *Downlink) Sealed(now time.Duration, sequence uint16) []byte {
	if d.sealed == nil {
		return nil
	}
	number := d.extend(sequence)
	if d.covered(number) {
		d.stats.ResendCovered++
		return nil
	}
	b := d.sealed.find(now, number)
	if b == nil {
		d.stats.ResendGone++
		return nil
	}
	if !d.admit(now, number, len(b), true) {
		return nil
	}
	return b
}

func (r *sealedRing) push(now time.Duration, number seq.Extended, b []byte) {
	if r.slab == nil {
		r.entries, r.slab = make([]sealedEntry, sealedPackets), make([]byte, sealedFirst)
	}
	if len(b) > len(r.slab) {
		return
	}
	at := r.place(len(b))
	if len(r.slab) < sealedMost && r.overwrites(now, at+uint64(len(b)), number) {
		r.grow()
		at = r.place(len(b))
	}
	copy(r.slab[at&uint64(len(r.slab)-1):], b)
	r.written = at + uint64(len(b))
	r.entries[number%sealedPackets] = sealedEntry{number: number, stored: now, at: at, size: uint32(len(b))}
}

func (r *sealedRing) place(size int) uint64 {
	offset := int(r.written & uint64(len(r.slab)-1))
	if offset+size > len(r.slab) {
		return r.written + uint64(len(r.slab)-offset)
	}
	return r.written
}

// overwrites reports whether writing up to end destroys a packet that is still worth keeping. Packets lie in the order of their
// numbers, but for the few that came late: the oldest goes first.
func (r *sealedRing) overwrites(now time.Duration, end uint64, newest seq.Extended) bool {
	if newest-r.oldest >= sealedPackets {
		r.oldest = newest - sealedPackets + 1
	}
	for ; r.oldest < newest; r.oldest++ {
		e := &r.entries[r.oldest%sealedPackets]
		if e.number != r.oldest || now-e.stored >= sealedKeep || !r.alive(e, r.written) {
			continue
		}
		return !r.alive(e, end)
	}
	return false
}

// alive reports whether e's bytes are untouched once all up to end are written.
func (r *sealedRing) alive(e *sealedEntry, end uint64) bool { return end-e.at <= uint64(len(r.slab)) }

// grow doubles the slab and moves what is alive to its beginning.
func (r *sealedRing) grow() {
	old := *r
	r.slab, r.written = make([]byte, 2*len(old.slab)), 0
	for i := range r.entries {
		e := &r.entries[i]
		if e.number == 0 || !old.alive(e, old.written) {
			*e = sealedEntry{}
			continue
		}
		offset := e.at & uint64(len(old.slab)-1)
		e.at = r.written
		r.written += uint64(copy(r.slab[e.at:], old.slab[offset:offset+uint64(e.size)]))
	}
}

func (r *sealedRing) find(now time.Duration, number seq.Extended) []byte {
	if r.slab == nil {
		return nil
	}
	e := &r.entries[number%sealedPackets]
	if e.number != number || now-e.stored > sealedKeep || !r.alive(e, r.written) {
		return nil
	}
	offset := e.at & uint64(len(r.slab)-1)
	return r.slab[offset : offset+uint64(e.size)]
}
