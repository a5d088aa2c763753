package uplink

import "time"

const (
	// 15 s: three sender reports of an audio stream. The lowest offset of the current and the last such span counts, so
	// that a report delayed on the way does not, and a publisher's clock that runs slow is still followed.
	offsetSpan = 15 * time.Second

	// 5 ms a second: faster than any crystal drifts, slow enough that a mapped time never runs backwards.
	slewDivisor = 200

	// 5 s: beyond that the publisher has set its clock; no report that is still of use travels that long.
	offsetStep = 5 * time.Second
)

// Clock relates one publisher's NTP clock to ours. All uplinks of a publisher share one, for what matters to lip sync is
// that sound and picture are moved by the same amount. The zero value is ready; one goroutine.
//
//	offset = min over reports of (arrival − NTP): the report that travelled fastest
type Clock struct {
	known     bool
	low, last time.Duration // lowest offset of this span and of the one before
	spanStart time.Duration
	applied   time.Duration // what Offset last returned, slewed towards the lower of both
	appliedAt time.Duration
}

// handle takes the offset that a report arriving now shows.
func (c *Clock) handle(now, offset time.Duration) {
	if !c.known || offset-c.target() > offsetStep || c.target()-offset > offsetStep {
		*c = Clock{known: true, low: offset, last: offset, spanStart: now, applied: offset, appliedAt: now}
		return
	}
	if now-c.spanStart >= offsetSpan {
		c.last, c.low, c.spanStart = c.low, offset, now
	}
	c.low = min(c.low, offset)
}

func (c *Clock) target() time.Duration { return min(c.low, c.last) }

// offset returns what to add to the publisher's NTP time to get ours.
func (c *Clock) offset(now time.Duration) time.Duration {
	if limit := (now - c.appliedAt) / slewDivisor; limit > 0 {
		c.applied += min(max(c.target()-c.applied, -limit), limit)
		c.appliedAt = now
	}
	return c.applied
}

// senderMapping is the last sender report: which NTP time which timestamp was captured at.
type senderMapping struct {
	reported bool
	ntp      uint64        // as it stood in the report: 32.32 seconds since 1900
	at       time.Duration // the same since 1900 (or 2036)
	rtp      uint32
	arrival  time.Duration
}

func (m *senderMapping) forget() { *m = senderMapping{} }

// HandleSenderReport takes the NTP and RTP timestamps of a sender report (RFC 3550 §6.4.1) that arrived now.
func (u *Uplink) HandleSenderReport(now time.Duration, ntp uint64, rtp uint32) {
	at := time.Duration(ntp>>32)*time.Second + time.Duration((ntp&0xffffffff)*uint64(time.Second)>>32)
	u.sender = senderMapping{reported: true, ntp: ntp, at: at, rtp: rtp, arrival: now}
	u.cfg.Clock.handle(now, now-at)
}

// SenderReported returns the last sender report: NTP as it stood there, the RTP timestamp and when it arrived; ok is false
// before the first one of the stream.
func (u *Uplink) SenderReported() (ntp uint64, rtp uint32, arrival time.Duration, ok bool) {
	return u.sender.ntp, u.sender.rtp, u.sender.arrival, u.sender.reported
}

// Together reports whether both uplinks are of one publisher's clock: whether their capture times can be compared.
func (u *Uplink) Together(v *Uplink) bool { return u.cfg.Clock == v.cfg.Clock }

// Capture maps timestamps of one stream to the time on our clock at which their media were captured.
type Capture struct {
	rate uint32
	rtp  uint32
	at   time.Duration
}

// At returns when the media with the given timestamp were captured, on the clock of `now`.
func (c Capture) At(timestamp uint32) time.Duration {
	return c.at + time.Duration(int32(timestamp-c.rtp))*time.Second/time.Duration(c.rate)
}

// CaptureClock returns the mapping by the last sender report, with one offset for all of the publisher's streams; ok is
// false before the first report.
func (u *Uplink) CaptureClock(now time.Duration) (c Capture, ok bool) {
	if !u.sender.reported {
		return Capture{}, false
	}
	return Capture{
		rate: u.rate,
		rtp:  u.sender.rtp,
		at:   u.sender.at + u.cfg.Clock.offset(now),
	}, true
}
