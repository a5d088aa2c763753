package shard

import (
	"cmp"
	"encoding/binary"
	"slices"
	"time"

	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/rtcp"
	"github.com/tolkyn/tolkyn/sfu/bwe"
)

// Publishers that know neither transport-wide feedback nor RFC 8888 are told what their path carries by REMB
// (draft-alvestrand-rmcat-remb-03). The estimate is that of bwe, which is made for senders: it is fed the times at which the
// packets say they left, as if we had sent them, and their arrivals as if those had been reported to us.

const (
	// rembInterval is how often arrivals are handed to the estimator, as often as feedback comes from a browser.
	rembInterval = 50 * time.Millisecond
	// A fall is told at once, a rise at most every 200 ms, as libwebrtc does, and all else once a second: messages get lost.
	rembRise  = 200 * time.Millisecond
	rembStill = time.Second
	// What the estimate must change by to have fallen or risen: it wavers by less all the time.
	rembNoticeable = 0.03
	// maxREMBWaiting bounds the packets between two looks at them: 50 ms of 40 Mbit/s.
	maxREMBWaiting = 256
	// maxREMBLost bounds the packets that one interval can have lost of a stream; a larger gap is a stream that begins anew.
	maxREMBLost = 500
	// maxREMBStreams is all encodings and repairs of five cameras.
	maxREMBStreams = 32
	// sealed is what SRTP and its header extension add to a packet.
	sealed = 16

	absSendWrap  = 64 * time.Second // 24 bits: 6 of seconds, 18 below
	absSendUnits = 1 << 18          // a second
	rtpWrap      = 1 << 32          // in ticks of the codec's clock
)

// rembConfig begins high: the estimate only bounds what the publisher sends by its own, and nothing is lost where that is less.
func rembConfig() bwe.Config {
	return bwe.Config{Start: 1 * bwe.Mbps, Min: 50 * bwe.Kbps}
}

// remb is the estimate for one publisher.
type remb struct {
	estimator *bwe.Estimator
	number    uint64    // of the next packet
	clock     sendClock // of packets with abs-send-time, which all streams share
	streams   []rembStream
	waiting   []rembPacket
	results   []bwe.Result
	newest    rembPacket    // of media
	left      time.Duration // of the newest packet: they are handed over in order
	due       time.Duration // when the waiting ones are

	told   bwe.Bitrate // 0: nothing yet
	toldAt time.Duration
}

// rembPacket is one that arrived.
type rembPacket struct {
	sent, arrived time.Duration
	size          int
}

// rembStream counts what one SSRC has lost, and knows the clock of its RTP timestamps.
type rembStream struct {
	ssrc     uint32
	clock    sendClock
	frame    uint32        // timestamp of the newest packet
	began    time.Duration // arrival of the first one with it,
	sent     time.Duration // and when that was sent
	highest  uint16
	expected int // since the last look
	received int
}

// sendClock turns the times at which packets say they left into times of ours: the fastest seem to take about as long as the
// anchor, so that what the estimator takes for the round trip is one, and the rest take longer by what they waited.
type sendClock struct {
	count  rtcp.Clock
	offset time.Duration // ours less theirs
	known  bool
	slewed time.Duration // when offset was last let grow
}

const (
	// sendAnchor is how long the fastest packets seem to take while the round trip is not known.
	sendAnchor = 50 * time.Millisecond
	// sendLeast is the shortest way: a packet that seems faster shows that theirs is the faster clock.
	sendLeast = 5 * time.Millisecond
	// sendLongest is the longest: beyond it their clock was set.
	sendLongest = 5 * time.Second
	// sendSlew is how much slower theirs may be: the offset grows by it, and shrinks by what too fast a packet shows.
	sendSlew = 150e-6
)

// at returns when a packet that arrives now was sent. t is what it says, modulo wrap.
func (c *sendClock) at(now, t, wrap, rtt time.Duration) time.Duration {
	theirs := c.count.Unwrap(now, t, wrap)
	way := now - (theirs + c.offset)
	if !c.known || way > sendLongest || way < sendLeast-sendLongest {
		anchor := sendAnchor
		if rtt > 0 {
			anchor = min(max(rtt, sendLeast), time.Second)
		}
		c.known, c.offset, c.slewed = true, now-theirs-anchor, now
		return now - anchor
	}
	if way < sendLeast {
		c.offset -= sendLeast - way
	} else {
		c.offset += min(time.Duration(float64(now-c.slewed)*sendSlew), way-sendLeast)
	}
	c.slewed = now
	return theirs + c.offset
}

func newREMB(now time.Duration) *remb {
	return &remb{estimator: bwe.New(now, rembConfig())}
}

// handle notes a packet of so many bytes on the wire. sent is its abs-send-time, nil without; hz is the clock of its timestamp, 0
// for a repair, whose timestamp is that of what it repairs.
func (r *remb) handle(now time.Duration, h *packet.Header, sent []byte, hz uint32, size int, rtt time.Duration) {
	st := r.stream(h.SSRC, h.Sequence)
	st.count(h.Sequence)
	p := rembPacket{arrived: now, size: size}
	switch {
	case len(sent) == 3:
		units := time.Duration(sent[0])<<16 | time.Duration(binary.BigEndian.Uint16(sent[1:]))
		p.sent = r.clock.at(now, units*time.Second/absSendUnits, absSendWrap, rtt)
		r.newest = p
	case hz > 0:
		p.sent = st.at(now, h.Timestamp, int64(hz), rtt)
		r.newest = p
	default: // as the last packet of media
		p.sent = r.newest.sent + (now - r.newest.arrived)
	}
	r.waiting = append(r.waiting, p)
}

// at guesses when a packet was sent by its timestamp: that tells when its picture was taken, and the first packet of a picture
// leaves at once. The others are taken to have been sent as far apart as they arrive, for a sender spreads them as it likes; so
// are late ones of the pictures before.
func (st *rembStream) at(now time.Duration, timestamp uint32, hz int64, rtt time.Duration) time.Duration {
	ahead := time.Duration(int32(timestamp-st.frame)) * time.Second / time.Duration(hz)
	if st.began == 0 || ahead > 0 || ahead < -sendLongest {
		wrap := time.Duration(rtpWrap * int64(time.Second) / hz)
		st.frame, st.began = timestamp, now
		st.sent = st.clock.at(now, time.Duration(int64(timestamp)*int64(time.Second)/hz), wrap, rtt)
	}
	return st.sent + (now - st.began)
}

func (r *remb) stream(ssrc uint32, first uint16) *rembStream {
	for i := range r.streams {
		if r.streams[i].ssrc == ssrc {
			return &r.streams[i]
		}
	}
	if len(r.streams) == maxREMBStreams {
		r.streams = slices.Delete(r.streams, 0, 1)
	}
	r.streams = append(r.streams, rembStream{ssrc: ssrc, highest: first - 1})
	return &r.streams[len(r.streams)-1]
}

// count notes a number. What comes late makes up for the loss that it was taken for.
func (st *rembStream) count(number uint16) {
	st.received++
	switch ahead := int(int16(number - st.highest)); {
	case ahead > maxREMBLost, ahead < -maxREMBLost:
		st.highest, st.expected, st.received = number, 0, 0
	case ahead > 0:
		st.highest = number
		st.expected += ahead
	}
}

// lost is how many packets of the stream are missing since the last look.
func (st *rembStream) lost() int {
	n := st.expected - st.received
	st.expected, st.received = 0, max(-n, 0) // more came than was expected: late ones, of a loss that was told
	return max(n, 0)
}

// poll hands what has come to the estimator, and returns what to tell the publisher, 0 for nothing new.
func (r *remb) poll(now, rtt time.Duration) bwe.Bitrate {
	slices.SortStableFunc(r.waiting, func(a, b rembPacket) int { return cmp.Compare(a.sent, b.sent) })
	r.results = r.results[:0]
	bytes := 0
	for i := range r.waiting {
		bytes += r.waiting[i].size
		r.hand(&r.waiting[i], true)
	}
	lost := rembPacket{sent: r.left, size: bytes / max(len(r.waiting), 1)}
	for i := range r.streams {
		for range r.streams[i].lost() {
			r.hand(&lost, false)
		}
	}
	r.waiting = r.waiting[:0]
	if rtt > 0 {
		r.estimator.RoundTrip(now, rtt)
	}
	r.estimator.Feedback(now, r.results)
	target := r.estimator.Poll(now).Target
	switch change := float64(target-r.told) / float64(max(r.told, 1)); {
	case change < -rembNoticeable, change > rembNoticeable && now-r.toldAt >= rembRise, now-r.toldAt >= rembStill:
		r.told, r.toldAt = target, now
		return target
	}
	return 0
}

// hand gives the estimator one packet as if we had sent it.
func (r *remb) hand(p *rembPacket, received bool) {
	if r.number == 0 {
		r.left = p.sent
	}
	r.left = max(r.left, p.sent)
	r.estimator.Sent(r.left, bwe.Packet{Number: r.number, Size: p.size})
	r.results = append(r.results, bwe.Result{Number: r.number, Received: received, Arrival: p.arrived})
	r.number++
}

// noteREMB notes a packet of a publisher that is told its estimate.
func (s *Shard) noteREMB(now time.Duration, p *peer, u *published, h *packet.Header, sent []byte, size int) {
	r, hz := p.inbound.remb, u.cfg.Codec.ClockRate()
	if h.SSRC == u.cfg.RTXSSRC {
		hz = 0
	}
	r.handle(now, h, sent, hz, size+sealed+p.overhead(), p.rtt)
	if len(r.waiting) == 1 {
		r.due = now + rembInterval
		s.wheel.arm(&p.timer, r.due)
	}
	if len(r.waiting) == maxREMBWaiting {
		s.tellREMB(now, p)
	}
}

// tendREMB looks at what has come when it is time to.
func (s *Shard) tendREMB(now time.Duration, p *peer) {
	r := p.inbound.remb
	switch {
	case r == nil || len(r.waiting) == 0:
	case now < r.due:
		s.wheel.arm(&p.timer, r.due)
	default:
		s.tellREMB(now, p)
	}
}

func (s *Shard) tellREMB(now time.Duration, p *peer) {
	bits := p.inbound.remb.poll(now, p.rtt)
	if bits == 0 {
		return
	}
	var all [maxREMBStreams]uint32
	ssrcs := all[:0]
	for _, u := range p.uplinks {
		if u.track.remb && u.cfg.SSRC != 0 && len(ssrcs) < len(all) {
			ssrcs = append(ssrcs, u.cfg.SSRC)
		}
	}
	s.sendRTCP(now, p, func(b []byte) []byte { return rtcp.AppendREMB(b, p.ssrc, int64(bits), ssrcs) })
}
