package light

import (
	"encoding/binary"
	"sync/atomic"
	"time"

	"github.com/tolkyn/tolkyn/bench/measure"
	"github.com/tolkyn/tolkyn/bench/scenario"
	"github.com/tolkyn/tolkyn/internal/clip"
	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/rtcp"
	"github.com/tolkyn/tolkyn/internal/seq"
	"github.com/tolkyn/tolkyn/internal/udp"
	"github.com/tolkyn/tolkyn/signaling/wire"
)

const (
	// history is how many video packets can be sent again: 2 s of 1.2 Mbit/s.
	history = 256
	// descriptor is RFC 7741's, with a picture id of 15 bits.
	descriptor = 4
	// named is how many packets of a simulcast's stream, and of its repairs, say whose they are. Browsers do until a report names
	// the SSRC; one comes each second.
	named = 200
)

// published is an encoding of a track that a device sends; most tracks have one.
type published struct {
	// Fixed after enter.
	id        string
	mid       string
	kind      measure.Kind
	origin    wire.Track_Source
	ssrc, rtx uint32
	rid       string // empty where the track has no other encoding
	layer     int    // its place among the track's, from 0

	// Atomic.
	unwanted atomic.Bool // the server says that nobody watches it

	// Owned by the loop.
	media   Media
	timer   timer
	began   time.Duration // of media's time 0
	muted   bool
	rests   bool   // it was unwanted when its last frame was due
	frame   []byte // kept and used again
	number  seq.Extended
	repair  seq.Extended // number of the next retransmission
	picture uint16

	packets, octets uint32        // for sender reports
	stamp           uint32        // timestamp of the last frame,
	stamped         time.Duration // and when it was sent

	past []sent // ring by number; video only
}

// sent is a packet that may be asked for again.
type sent struct {
	number    seq.Extended
	timestamp uint32
	marker    bool
	payload   []byte // kept and used again
}

// sourceOf translates a scenario's media.
func sourceOf(m scenario.Media) (measure.Kind, wire.Track_Source) {
	switch m {
	case scenario.Microphone:
		return measure.Audio, wire.Track_MICROPHONE
	case scenario.Screen:
		return measure.Video, wire.Track_SCREEN
	default:
		return measure.Video, wire.Track_CAMERA
	}
}

// describe is what Join says of the track.
func (t *published) describe() *wire.Track {
	kind := wire.Track_AUDIO
	if t.kind == measure.Video {
		kind = wire.Track_VIDEO
	}
	return &wire.Track{TrackId: t.id, Kind: kind, Source: t.origin, Mid: t.mid}
}

// sendFrame sends the frame that is due and says when the next one is.
func (d *device) sendFrame(l *loop, now time.Duration, t *published) (next time.Duration) {
	if t.muted {
		return now + 20*time.Millisecond // looks again after the length of a packet
	}
	if t.rests && !t.unwanted.Load() {
		t.media.Request(now - t.began) // as an encoder begins
	}
	f, err := t.media.Take(t.frame[:0], now-t.began, time.Now().UnixMicro())
	if err != nil { // a clip that cannot be read: the track falls silent, and its receivers show it
		d.failed = err
		return now + time.Second
	}
	t.frame = f.Data
	if t.rests = t.unwanted.Load(); t.rests {
		return max(t.began+t.media.Due(), now+tick)
	}
	t.stamp, t.stamped = f.Timestamp, now
	if t.kind == measure.Audio {
		d.sendPacket(l, t, f.Timestamp, t.packets == 0, nil, f.Data)
	} else {
		head := [descriptor]byte{0x90, 0x80}
		binary.BigEndian.PutUint16(head[2:], t.picture|0x8000)
		for rest := f.Data; len(rest) > 0; {
			n := min(len(rest), clip.VP8Piece)
			d.sendPacket(l, t, f.Timestamp, n == len(rest), head[:], rest[:n])
			rest, head[0] = rest[n:], 0x80
		}
		t.picture++
	}
	d.flush(l)
	return max(t.began+t.media.Due(), now+tick)
}

// sendPacket queues one packet: its payload is head and body.
func (d *device) sendPacket(l *loop, t *published, timestamp uint32, marker bool, head, body []byte) {
	q, b := d.next(l)
	n := packet.PutHeader(b, packet.Header{
		Sequence: t.number.Uint16(), Timestamp: timestamp, SSRC: t.ssrc, PayloadType: payloadOf(t.kind), Marker: marker,
	})
	n = d.putExtensions(b, n, t, extRID, t.packets)
	size := n + copy(b[n:], head)
	size += copy(b[size:], body)
	if t.kind == measure.Video {
		t.remember(timestamp, marker, b[n:size])
	}
	q.Commit(d.sealer.SealRTP(b, n, size, t.number))
	t.number++
	t.packets++
	t.octets += uint32(size - n)
	d.sentPackets++
	d.sentBytes += int64(size)
}

// putExtensions numbers the packet for the whole transport, and says of sound how loud it is. The first of a simulcast's stream,
// so many of which went before, say by a RID of the kind ext what they are of.
func (d *device) putExtensions(b []byte, n int, t *published, ext uint8, before uint32) int {
	number := [2]byte{byte(d.transport >> 8), byte(d.transport)}
	d.transport++
	if t.rid != "" && before < named {
		return packet.PutExtensions(b, n, []packet.Extension{
			{ID: extTransport, Data: number[:]}, {ID: extMID, Data: []byte(t.mid)}, {ID: ext, Data: []byte(t.rid)},
		})
	}
	if t.kind == measure.Audio {
		level := [1]byte{0x80 | 30} // speech, 30 dB below the loudest (RFC 6464)
		return packet.PutExtensions(b, n, []packet.Extension{{ID: extLevel, Data: level[:]}, {ID: extTransport, Data: number[:]}})
	}
	return packet.PutExtensions(b, n, []packet.Extension{{ID: extTransport, Data: number[:]}})
}

func payloadOf(kind measure.Kind) uint8 {
	if kind == measure.Audio {
		return payloadOpus
	}
	return payloadVP8
}

func (t *published) remember(timestamp uint32, marker bool, payload []byte) {
	if t.past == nil {
		t.past = make([]sent, history)
	}
	p := &t.past[t.number%history]
	*p = sent{number: t.number, timestamp: timestamp, marker: marker, payload: append(p.payload[:0], payload...)}
}

// find returns a packet that was sent, nil when it is forgotten.
func (t *published) find(s uint16) *sent {
	if t.past == nil {
		return nil
	}
	e := t.number - 1 - seq.Extended(t.number.Uint16()-1-s) // the newest is the one before t.number
	if p := &t.past[e%history]; p.number == e {
		return p
	}
	return nil
}

// resend answers a NACK: what is still remembered goes again on the RTX stream (RFC 4588).
func (d *device) resend(l *loop, t *published, s uint16) {
	p := t.find(s)
	if p == nil {
		return
	}
	q, b := d.next(l)
	n := packet.PutHeader(b, packet.Header{
		Sequence: t.repair.Uint16(), Timestamp: p.timestamp, SSRC: t.rtx, PayloadType: payloadRTX, Marker: p.marker,
	})
	n = d.putExtensions(b, n, t, extRepaired, uint32(t.repair-firstNumber))
	binary.BigEndian.PutUint16(b[n:], s)
	size := n + 2
	size += copy(b[size:], p.payload)
	q.Commit(d.sealer.SealRTP(b, n, size, t.repair))
	t.repair++
	d.sentPackets++
	d.sentBytes += int64(size)
}

// next returns the queue that the device's datagrams leave by, and space in it.
func (d *device) next(l *loop) (*udp.Queue, []byte) {
	if d.path.shared != nil {
		if l.outbox.Full() {
			l.flush()
		}
		return l.outbox, l.outbox.NextFrom(d.path.local, d.path.server)
	}
	if l.queue.Full() {
		d.flush(l)
	}
	return l.queue, l.queue.Next(d.path.server)
}

// flush sends what the device queued at its own socket. What leaves by the shared one waits for the others' of this turn.
func (d *device) flush(l *loop) {
	if d.path.shared == nil {
		_ = d.path.socket.Flush(l.queue) // ErrClosed: it is leaving
	}
}

// report is the sender report of a track that has sent (RFC 3550 §6.4.1).
func (t *published) report(now time.Duration, wall time.Time) rtcp.SenderReport {
	elapsed := int64(now-t.stamped) * clockOf(t.kind) / int64(time.Second)
	return rtcp.SenderReport{
		SSRC: t.ssrc, NTP: rtcp.NTP(wall), RTP: t.stamp + uint32(elapsed), Packets: t.packets, Octets: t.octets,
	}
}
