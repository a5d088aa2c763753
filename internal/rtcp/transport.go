package rtcp

import (
	"encoding/binary"
	"time"

	"github.com/tolkyn/tolkyn/internal/seq"
)

// transportWindow is how many transport-wide numbers back arrivals are remembered: a second of 20 Mbit/s.
const transportWindow = 2048

// maxTransportFeedback bounds one feedback packet in bytes, so that it fits a datagram beside reports, tag and index.
const maxTransportFeedback = 1100

// Time in feedback: deltas count 250 µs, the reference time counts 256 of those (draft-holmer §3.1 and §3.1.5).
const (
	transportTick      = 250 * time.Microsecond
	ticksPerReference  = 256
	maxSmallDelta      = 255
	transportFixedSize = headerSize + feedbackHeader + 8 // base, count, reference time, feedback count
)

// The status of one number, §3.1.1, also the symbol of two-bit vectors and runs.
const (
	statusLost = iota
	statusSmall
	statusLarge
)

// Packet status chunks, §3.1.3 and §3.1.4.
const (
	chunkSize     = 2
	maxRun        = 1<<13 - 1
	vectorBit     = 1 << 15
	twoBitVector  = 1 << 14
	oneBitSymbols = 14
	twoBitSymbols = 7
)

// TransportRecorder remembers when transport-wide numbered packets came and tells their sender
// (draft-holmer-rmcat-transport-wide-cc-extensions-01). The zero value is ready; it is 8.5 kB. One goroutine.
type TransportRecorder struct {
	numbers  seq.Unwrapper
	arrivals [transportWindow]uint32 // in ticks, modulo 2^32 (298 hours), as the reference time wraps too
	received [transportWindow / 64]uint64

	next    seq.Extended // first number that the next feedback speaks of
	waiting bool         // something came that no feedback has told yet
	count   uint8        // feedback packets made
}

// Handle notes that number s came at now. Duplicates keep their first arrival. A number behind the last feedback, which
// called it lost, is told in the next one; one older than 2048 numbers is ignored.
func (t *TransportRecorder) Handle(now time.Duration, s uint16) {
	e := t.numbers.Unwrap(s)
	highest, started := t.numbers.Highest()
	switch {
	case !started:
		t.next = e
	case e > highest:
		t.forget(highest+1, e)
	case highest-e >= transportWindow || t.has(e):
		return
	}
	t.numbers.Accept(e)
	t.arrivals[e%transportWindow] = uint32(now / transportTick)
	t.received[e/64%(transportWindow/64)] |= 1 << (e % 64)
	t.next = min(t.next, e)
	t.waiting = true
}

// forget makes room for the numbers from..to: what stood in their places is gone, and feedback cannot reach behind it.
func (t *TransportRecorder) forget(from, to seq.Extended) {
	if to-from >= transportWindow {
		t.received = [transportWindow / 64]uint64{}
	} else {
		for e := from; e <= to; e++ {
			t.received[e/64%(transportWindow/64)] &^= 1 << (e % 64)
		}
	}
	t.next = max(t.next, to-transportWindow+1)
}

func (t *TransportRecorder) has(e seq.Extended) bool {
	return t.received[e/64%(transportWindow/64)]&(1<<(e%64)) != 0
}

// Append appends one feedback packet of at most 1100 bytes about what came since the last one, or nothing when nothing
// came. After a long gap there may be more to tell: call it until it appends nothing. sender is who gives the feedback,
// media one of the streams it is about.
func (t *TransportRecorder) Append(dst []byte, sender, media uint32) []byte {
	if !t.waiting {
		return dst
	}
	var r transportReport
	end := t.fill(&r)
	if r.count == 0 {
		t.waiting = false
		return dst
	}
	base := t.next
	t.next = end
	highest, _ := t.numbers.Highest()
	t.waiting = end <= highest

	start := len(dst)
	dst = appendFeedback(dst, TypeRTPFB, FmtTWCC, sender, media, 0)
	dst = binary.BigEndian.AppendUint16(dst, base.Uint16())
	dst = binary.BigEndian.AppendUint16(dst, uint16(r.count))
	dst = binary.BigEndian.AppendUint32(dst, r.reference<<8|uint32(t.count))
	dst = appendChunks(dst, r.status[:r.count])
	dst = r.appendDeltas(dst)
	t.count++
	if padding := -(len(dst) - start) & 3; padding > 0 {
		dst[start] |= paddingBit
		dst = appendZeros(dst, padding-1)
		dst = append(dst, uint8(padding))
	}
	setLength(dst[start:])
	return dst
}

// transportReport is one feedback packet in the making.
type transportReport struct {
	status    [transportWindow]uint8
	count     int // of status; the last one is never statusLost
	deltas    [maxTransportFeedback]int16
	arrived   int    // of deltas
	reference uint32 // 24 bits
}

// fill takes statuses from t.next on until what a packet can hold or the highest number, and returns where the next
// packet begins.
func (t *TransportRecorder) fill(r *transportReport) (end seq.Extended) {
	highest, _ := t.numbers.Highest()
	var last uint32 // ticks
	size := transportFixedSize
	end = t.next
	for e := t.next; e <= highest && e-t.next < transportWindow; e++ {
		if !t.has(e) {
			continue
		}
		at := t.arrivals[e%transportWindow]
		if r.arrived == 0 {
			r.reference = at / ticksPerReference
			last = r.reference * ticksPerReference
		}
		delta := int32(at - last)
		status, cost := uint8(statusSmall), 1
		if delta < 0 || delta > maxSmallDelta {
			status, cost = statusLarge, 2
		}
		chunks := chunkSize * (int(e-t.next)/twoBitSymbols + 1)
		if delta != int32(int16(delta)) || size+cost+chunks > maxTransportFeedback {
			return end
		}
		size += cost
		last = at
		r.status[e-t.next] = status
		r.deltas[r.arrived] = int16(delta)
		r.arrived++
		r.count = int(e-t.next) + 1
		end = e + 1
	}
	return end
}

// appendDeltas writes the arrivals' distances in the widths that their statuses told (§3.1.5).
func (r *transportReport) appendDeltas(dst []byte) []byte {
	for _, d := range r.deltas[:r.arrived] {
		if d < 0 || d > maxSmallDelta {
			dst = binary.BigEndian.AppendUint16(dst, uint16(d))
		} else {
			dst = append(dst, uint8(d))
		}
	}
	return dst
}

// appendChunks packs statuses: a run where it says more than a vector, else 14 one-bit symbols, else 7 two-bit ones.
func appendChunks(dst []byte, status []uint8) []byte {
	for len(status) > 0 {
		var chunk uint16
		var taken int
		run := runLength(status)
		switch {
		case run >= oneBitSymbols || run == len(status):
			chunk, taken = uint16(status[0])<<13|uint16(run), run
		case !hasLarge(status[:min(len(status), oneBitSymbols)]):
			chunk, taken = vector(status, oneBitSymbols, 1), oneBitSymbols
		case run >= twoBitSymbols:
			chunk, taken = uint16(status[0])<<13|uint16(run), run
		default:
			chunk, taken = twoBitVector|vector(status, twoBitSymbols, 2), twoBitSymbols
		}
		dst = binary.BigEndian.AppendUint16(dst, chunk)
		status = status[min(taken, len(status)):]
	}
	return dst
}

// runLength counts how many statuses from the first on are alike.
func runLength(status []uint8) int {
	n := 1
	for n < len(status) && n < maxRun && status[n] == status[0] {
		n++
	}
	return n
}

func hasLarge(status []uint8) bool {
	for _, s := range status {
		if s == statusLarge {
			return true
		}
	}
	return false
}

// vector packs up to n symbols of the given bits, the first one highest; those beyond the last status stay 0.
func vector(status []uint8, n, bits int) uint16 {
	chunk := uint16(vectorBit)
	for i, s := range status[:min(len(status), n)] {
		chunk |= uint16(s) << (bits * (n - 1 - i))
	}
	return chunk
}
