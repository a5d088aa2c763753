package light

import (
	"encoding/binary"
	"time"

	"github.com/tolkyn/tolkyn/bench/measure"
	"github.com/tolkyn/tolkyn/bench/source"
	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/rtcp"
	"github.com/tolkyn/tolkyn/internal/srtp"
	"github.com/tolkyn/tolkyn/internal/udp"
)

const (
	// glance is how much of a datagram is taken that is not opened: headers, and all of what is neither RTP nor feedback on many
	// packets, reports and checks above all.
	glance = 256
	// hunger is for how long after a wish everything is taken whole: a retransmission says inside what it repeats.
	hunger = 500 * time.Millisecond
)

// stream is what comes in one slot.
type stream struct {
	slot   slot
	gaps   gaps
	jitter jitter
	opened bool // one packet was: the opener knows where the numbers are
	from   flow
	since  time.Duration // of the server's word that it is
	stamp  uint32        // its sender's; 0: unknown
	odd    time.Duration // since when what comes is of somebody else; 0: it is not
	meter  meter         // nil while nobody's media is due here

	lastSR   uint32        // middle of the last sender report's NTP time,
	lastSRAt time.Duration // and when it came
	asked    time.Duration // when a keyframe was last asked for; 0: never
}

// meter is measure.AudioMeter or measure.VideoMeter.
type meter interface {
	Packet(now time.Duration, sequence uint16, size int, rtpTimestamp uint32, repaired bool)
	Stamped(now, sent time.Duration, sender uint32)
	Dropped(packets int64)
	NewSequence()
	Pause(now time.Duration)
	Resume(now time.Duration)
	Latest(now time.Duration) (measure.Slice, measure.Loss)
	Stream(end time.Duration) measure.Stream
	Histograms() measure.Histograms
}

// read takes everything that has arrived at the device's own socket.
func (d *device) read(l *loop, now time.Duration) {
	for {
		whole := ^uint64(0)
		if now >= d.hungry {
			whole = d.sampler.next()
		}
		l.batch.Glance(glance, whole)
		n, err := d.path.socket.Read(l.batch)
		if err != nil {
			return
		}
		for i := range n {
			d.take(l, now, i, whole&(1<<i) != 0)
		}
		d.sampler.passed(n)
		if n < udp.MaxMessages {
			return // the kernel had no more
		}
	}
}

// take handles the i-th datagram of the loop's batch.
func (d *device) take(l *loop, now time.Duration, i int, picked bool) {
	data, from := l.batch.Datagram(i)
	if from != d.path.server {
		d.strange++
		return
	}
	// The kernel's time cannot be later than now, nor earlier than what came before; clocks that are set can.
	at := min(max(l.batch.Arrived(i).Sub(l.epoch), d.heard), now)
	d.heard = at
	size := l.batch.Size(i)
	switch packet.Classify(data) {
	case packet.RTP:
		d.takeRTP(now, at, data, size, picked)
	case packet.RTCP:
		if size == len(data) {
			d.takeRTCP(l, now, at, data, picked)
		}
	case packet.STUN:
		// An answer that came before the newest check went out is to one before it.
		if d.path.handle(data, from) && d.checked > 0 && at > d.checked {
			d.rtt = at - d.checked
			d.checked = 0
		}
	case packet.DTLS:
		if size == len(data) {
			d.tunnel.put(data)
		}
	}
}

// takeRTP reads one packet's header in clear, and opens one in N. size is the whole packet's.
func (d *device) takeRTP(now, at time.Duration, data []byte, size int, picked bool) {
	h, ok := packet.ParseHeader(data)
	if !ok {
		d.strange++
		return
	}
	s, repair := d.find(h.SSRC)
	if s == nil {
		d.strange++
		return
	}
	if !s.opened || repair {
		picked = true
		d.hungry = max(d.hungry, now+hunger)
	}
	switch {
	case picked && size == len(data):
		if !d.open(at, s, repair, data, &h) {
			return
		}
	case !repair:
		d.count(at, s, h.Sequence, size-d.overhead, &h, false)
	}
	if x, ok := h.Extension(data, extTransport); ok && len(x) == 2 {
		d.recorder.Handle(at, binary.BigEndian.Uint16(x))
	}
}

// find returns the slot's stream of an SSRC, and whether the SSRC is that of its retransmissions.
func (d *device) find(ssrc uint32) (s *stream, repair bool) {
	if d.last != nil && d.last.slot.ssrc == ssrc {
		return d.last, false
	}
	for _, s := range d.streams {
		switch ssrc {
		case s.slot.ssrc:
			d.last = s
			return s, false
		case s.slot.rtx:
			return s, true
		}
	}
	return nil, false
}

// open authenticates a packet and reads its stamp; false when it is not genuine.
func (d *device) open(at time.Duration, s *stream, repair bool, data []byte, h *packet.Header) bool {
	size, _, verdict := d.opener.OpenRTP(data, h)
	switch verdict {
	case srtp.OK:
	case srtp.Replayed:
		d.count(at, s, h.Sequence, len(data)-d.overhead, h, false) // a duplicate, and counted as one
		return false
	default:
		d.forged++
		return false
	}
	d.opened++
	s.opened = s.opened || !repair
	number, payload, ok := h.Sequence, []byte(nil), false
	if payload, ok = h.Payload(data[:size]); !ok || repair && len(payload) < 2 {
		return true // padding that lies, or a probe: nothing to measure
	}
	if repair {
		number, payload = binary.BigEndian.Uint16(payload), payload[2:]
	}
	d.count(at, s, number, size, h, repair)
	if s.meter == nil {
		return true
	}
	var stamp source.Stamp
	if s.slot.kind == measure.Audio {
		stamp, ok = source.ReadOpus(payload)
	} else {
		stamp, ok = source.ReadTail(payload)
	}
	if ok {
		d.stamped++
		s.attest(d.env, at, stamp)
	}
	return true
}

// settled: for 2 s after a slot changes its sender packets of the one before may be under way (docs/protocol.md, SlotMap), and the
// server's word of a change may come as much later than its first packets.
const settled = 2 * time.Second

// attest takes a stamp of what came in a slot. One of somebody else is a mistake of the server's only when that goes on for long.
func (s *stream) attest(env *environment, at time.Duration, stamp source.Stamp) {
	sender := source.Sender(stamp.Caller(), stamp.Track(), 0)
	if s.stamp != 0 && s.stamp != sender {
		if s.odd == 0 {
			s.odd = at
		}
		if at-max(s.odd, s.since) < settled {
			return
		}
	} else {
		s.odd = 0
	}
	s.meter.Stamped(at, time.Duration(stamp.Sent)*time.Microsecond-env.epoch, sender)
	if sight, ok := s.meter.(*measure.VideoMeter); ok {
		sight.Layer(stamp.Layer())
	}
}

// count takes a packet of which the number is known. size is header and payload.
func (d *device) count(at time.Duration, s *stream, number uint16, size int, h *packet.Header, repair bool) {
	if repair {
		if s.gaps.repair(number) {
			d.receivedPackets++
			d.receivedBytes += int64(size)
		}
	} else if s.gaps.arrive(at, number) {
		d.receivedPackets++
		d.receivedBytes += int64(size)
		s.jitter.handle(at, h.Timestamp, clockOf(s.slot.kind))
		d.gaps = d.gaps || len(s.gaps.missing) > 0
	}
	if !d.flows {
		d.flows = true
		d.firstPacket = at
	}
	d.lastPacket = at
	if s.meter != nil {
		s.meter.Packet(at, number, size, h.Timestamp, repair)
	}
}

// takeRTCP reads a compound: reports of the server, and what it wants from what we send.
func (d *device) takeRTCP(l *loop, now, at time.Duration, data []byte, picked bool) {
	if !picked && feedbackAlone(data) {
		return // nothing here goes by it, and it is two datagrams of seven in a room of two
	}
	size, verdict := d.opener.OpenRTCP(data)
	if verdict != srtp.OK {
		d.forged++
		return
	}
	d.opened++
	for r := rtcp.Read(data[:size]); ; {
		p, ok := r.Next()
		if !ok {
			break
		}
		if report, ok := p.SenderReport(); ok {
			if s, _ := d.find(report.SSRC); s != nil {
				s.lastSR, s.lastSRAt = uint32(report.NTP>>16), at
			}
			continue
		}
		d.heed(l, now, p)
	}
	d.flush(l)
}

// srtcpOverhead is what AES-GCM adds to a compound: tag and index (RFC 7714 §9).
const srtcpOverhead = 16 + 4

// feedbackAlone reports whether an SRTCP packet is one of transport-wide feedback and nothing else. Type and length of the first
// packet of a compound are in clear (RFC 3711 §3.4); the length counts padding too.
func feedbackAlone(data []byte) bool {
	return len(data) >= 8 && data[0]&^(1<<5) == 2<<6|rtcp.FmtTWCC && data[1] == rtcp.TypeRTPFB &&
		4*(int(binary.BigEndian.Uint16(data[2:]))+1)+srtcpOverhead == len(data)
}

// heed does what feedback asks for.
func (d *device) heed(l *loop, now time.Duration, p rtcp.Packet) {
	media, _ := p.MediaSSRC()
	switch {
	case p.Type == rtcp.TypeRTPFB && p.Count == rtcp.FmtNACK:
		for _, t := range d.published {
			if t.ssrc == media {
				for s := range p.NACKs() {
					d.resend(l, t, s)
				}
			}
		}
	case p.Type == rtcp.TypePSFB && p.Count == rtcp.FmtPLI:
		d.wantKeyframe(l, now, media)
	case p.Type == rtcp.TypePSFB && p.Count == rtcp.FmtFIR:
		for ssrc := range p.FIRs() {
			d.wantKeyframe(l, now, ssrc)
		}
	}
}

func (d *device) wantKeyframe(l *loop, now time.Duration, ssrc uint32) {
	for _, t := range d.published {
		if t.ssrc == ssrc && t.media != nil {
			t.media.Request(now - t.began)
			l.wheel.arm(&t.timer, max(t.began+t.media.Due(), now))
		}
	}
}
