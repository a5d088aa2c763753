package measure

import "time"

const (
	// A freeze, after freezeCount of the W3C's webrtc-stats: a gap between two pictures of at least three times the average
	// gap, and at least 150 ms longer than it. The average is over the last 30.
	freezeGaps  = 3
	freezeExtra = 150 * time.Millisecond
	freezeOver  = 30
)

// VideoConfig says what a VideoMeter measures.
type VideoConfig struct {
	Of
	// Rate of the RTP clock in Hz; 0: 90,000.
	Rate int
	// FPS, Width and Height are what the sender's best layer has: the score compares with them. 0: unknown, not compared.
	FPS           float64
	Width, Height int
	// Headers: only RTP headers are looked at; there is no Picture in the result.
	Headers bool
	// LipSync gets the times at which pictures were shown; shared with the audio meter of the same sender. nil: not measured.
	LipSync *LipSync
}

// VideoMeter measures one received picture. Fed by one goroutine, with times that do not go back; after the stream has
// settled no call but Stream allocates, but for one entry a second.
type VideoMeter struct {
	config VideoConfig
	meter  meter

	frames, undecodable, switches int64
	bits, pixels                  float64 // of decodable frames
	width, height, layer          int

	shown bool                      // a picture has been shown
	last  time.Duration             // when it was
	gaps  [freezeOver]time.Duration // ring
	count int                       // of gaps ever
	sum   time.Duration             // of those in the ring
	cadence
	moving  time.Duration // of the gaps that were no freezes
	moved   int64         // how many they are
	freezes int64
	frozen  time.Duration

	needs        bool // a keyframe
	needed       time.Duration
	keyframeWait Histogram
}

// cadence is what the harmonic frame rate is made of: time shown, and the sum of its gaps' squares in s².
type cadence struct {
	total   time.Duration
	squares float64
}

func (c *cadence) add(gap time.Duration) {
	c.total += gap
	c.squares += gap.Seconds() * gap.Seconds()
}

func (c cadence) rate() float64 {
	if c.squares == 0 {
		return 0
	}
	return c.total.Seconds() / c.squares
}

// Frame is one picture as it was put together from packets.
type Frame struct {
	Stamped bool          // Sent, ID and Sender hold: the frame carried them
	Sent    time.Duration // when the sender sent it, on the run's clock
	ID      uint32        // the sender's count of frames
	Sender  uint32        // as in Of.Stamp

	Keyframe      bool
	Width, Height int // pixels; 0: as the frame before
	Bytes         int // of the payload
	Layer         int // spatial, or of simulcast, from 0
	// Decodable: whole, and so is all that it refers to.
	Decodable bool
	// Arrived is when its last packet came, where it then waited for earlier frames; 0: now.
	Arrived time.Duration
	// Shown is when it appeared; 0: as soon as it could be decoded, now.
	Shown time.Duration
}

// NewVideo returns a meter for one stream.
func NewVideo(c VideoConfig) *VideoMeter {
	if c.Rate <= 0 {
		c.Rate = 90_000
	}
	m := &VideoMeter{config: c, meter: meter{of: c.Of}, layer: -1}
	m.meter.arrivals.rate = float64(c.Rate)
	m.meter.arrivals.slices = &m.meter.slices
	return m
}

// Packet takes one RTP packet in order of arrival: size is header and payload in bytes, repaired says that it came by
// retransmission or FEC.
func (m *VideoMeter) Packet(now time.Duration, sequence uint16, size int, rtpTimestamp uint32, repaired bool) {
	m.meter.packet(now, sequence, size, rtpTimestamp, repaired)
}

// Stamped tells the send time and the sender that a packet carried, where frames are not put together: whoever opens only
// one packet in N tells of those. Frame does it by itself.
func (m *VideoMeter) Stamped(now, sent time.Duration, sender uint32) {
	m.meter.stamped(now, sent, sender)
}

// Layer tells which layer came now, spatial or of simulcast, from 0, where frames are not put together. Frame does it by itself.
func (m *VideoMeter) Layer(layer int) {
	if m.layer >= 0 && layer != m.layer {
		m.switches++
	}
	m.layer = layer
}

// Dropped counts packets that the receiver itself was too slow to take.
func (m *VideoMeter) Dropped(packets int64) { m.meter.dropped += packets }

// NewSequence: the packets that follow have numbers of their own: another slot, another SSRC.
func (m *VideoMeter) NewSequence() { m.meter.arrivals.newSequence() }

// Frame takes one picture at the moment it could be decoded, or at which it was given up.
func (m *VideoMeter) Frame(now time.Duration, f Frame) {
	if f.Stamped && m.config.Stamp != 0 && f.Sender != m.config.Stamp {
		m.meter.wrong++
		return // somebody else's picture shows nothing of this one
	}
	if !f.Decodable {
		m.undecodable++
		return
	}
	shown := f.Shown
	if shown == 0 {
		shown = now
	}
	m.frames++
	m.meter.slices.at(now).frames++
	if f.Stamped {
		arrived := now
		if f.Arrived > 0 {
			arrived = f.Arrived
		}
		m.meter.stamped(arrived, f.Sent, f.Sender)
		m.meter.played.Add(shown - f.Sent)
		m.meter.buffered.Add(shown - arrived)
		m.config.LipSync.picture(f.Sent, shown)
	}
	if f.Width > 0 && f.Height > 0 {
		m.width, m.height = f.Width, f.Height
	}
	m.bits += float64(f.Bytes) * 8
	m.pixels += float64(m.width) * float64(m.height)
	m.Layer(f.Layer)
	if f.Keyframe && m.needs {
		m.needs = false
		m.keyframeWait.Add(now - m.needed)
	}
	m.show(shown)
}

// show places a picture on the viewer's time.
func (m *VideoMeter) show(at time.Duration) {
	if m.shown && !m.meter.paused {
		gap := max(0, at-m.last)
		if m.isFreeze(gap) {
			m.freeze(m.last, at)
		} else {
			m.moving += gap
			m.moved++
		}
		m.add(gap)
		slot := m.count % freezeOver
		m.sum += gap - m.gaps[slot]
		m.gaps[slot] = gap
		m.count++
	}
	m.meter.resume(at)
	m.shown, m.last = true, at
}

// isFreeze compares a gap with those before it. Before the first gap there is nothing to compare with: the rate expected,
// or 30 a second, serves.
func (m *VideoMeter) isFreeze(gap time.Duration) bool {
	average := time.Second / 30
	switch {
	case m.count > 0:
		average = m.sum / time.Duration(min(m.count, freezeOver))
	case m.config.FPS > 0:
		average = time.Duration(float64(time.Second) / m.config.FPS)
	}
	return gap >= max(freezeGaps*average, average+freezeExtra)
}

func (m *VideoMeter) freeze(from, to time.Duration) {
	m.freezes++
	m.frozen += to - from
	m.meter.slices.freeze(from, to)
}

// NeedKeyframe: from now on nothing can be shown without one. Only the first of several counts.
func (m *VideoMeter) NeedKeyframe(now time.Duration) {
	if !m.needs {
		m.needs, m.needed = true, now
	}
}

// Pause: from now on no picture is due (camera off, stopped by the server, its slot given to another).
func (m *VideoMeter) Pause(now time.Duration) {
	if m.meter.paused {
		return
	}
	if gap := now - m.last; m.shown && m.isFreeze(gap) {
		m.freeze(m.last, now)
		m.add(gap)
	}
	m.meter.pause(now)
	m.needs = false
}

// Resume ends a Pause: a picture that then takes too long to come is a freeze again. A frame ends it as well.
func (m *VideoMeter) Resume(now time.Duration) {
	if m.meter.paused {
		m.meter.resume(now)
		m.last = now
	}
}

// Latest returns the last second that is over, and the losses so far, for whoever watches. Cheap, unlike Stream; a freeze
// that is going on is not in it.
func (m *VideoMeter) Latest(now time.Duration) (Slice, Loss) { return m.meter.latest(now) }

// Stream returns the result as if the stream ended at end. The meter goes on.
func (m *VideoMeter) Stream(end time.Duration) Stream {
	// A copy sees the freeze and the wait that are still going on.
	at := *m
	at.meter.slices = m.meter.slices.clone()
	if gap := end - at.last; at.shown && !at.meter.paused && at.isFreeze(gap) {
		at.freeze(at.last, end)
		at.add(gap)
	}
	s := at.meter.stream(end, Video)
	s.Switches = at.switches
	if m.config.Headers {
		return s
	}
	p := &Picture{
		Frames: at.frames, Undecodable: at.undecodable, FPS: at.rate(), Freezes: at.freezes,
		FrozenSeconds: at.frozen.Seconds(), Width: at.width, Height: at.height, LayerSwitches: at.switches,
	}
	waits := Histogram{}
	waits.Merge(&m.keyframeWait)
	if m.needs {
		waits.Add(end - m.needed)
	}
	p.KeyframeWait = waits.Distribution()
	p.Score = at.look(s.Seconds).Score()
	s.Picture = p
	return s
}

// look is what the score is made of.
func (m *VideoMeter) look(seconds float64) Look {
	l := Look{
		Codec: m.config.Codec, WantFPS: m.config.FPS, Undecodable: share(m.undecodable, m.frames+m.undecodable),
		WantPixels: float64(m.config.Width) * float64(m.config.Height),
	}
	if m.pixels > 0 {
		l.BitsPerPixel, l.Pixels = m.bits/m.pixels, m.pixels/float64(m.frames)
	}
	if m.moving > 0 {
		l.FPS = float64(m.moved) / m.moving.Seconds()
	}
	if seconds > 0 {
		l.Frozen, l.FreezesPerMinute = min(1, m.frozen.Seconds()/seconds), float64(m.freezes)/seconds*60
	}
	return l
}

// Histograms returns the distributions that add up.
func (m *VideoMeter) Histograms() Histograms {
	return Histograms{
		Delay: &m.meter.delay, Buffered: &m.meter.buffered, Played: &m.meter.played, Keyframe: &m.keyframeWait,
	}
}
