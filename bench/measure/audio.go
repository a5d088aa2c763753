package measure

import "time"

// AudioConfig says what an AudioMeter measures.
type AudioConfig struct {
	Of
	// Rate of the RTP clock in Hz; 0: 48,000, Opus's (RFC 7587 §4.1).
	Rate int
	// Packet is the length of the sound in one packet; 0: 20 ms.
	Packet time.Duration
	// CodecRate is the rate of the sound alone in bit/s, without headers; 0: what the packets hold beside 12 bytes of RTP.
	CodecRate float64
	// LipSync gets the times at which sound was played. The video meter of the same sender shares it. nil: not measured.
	LipSync *LipSync
}

// AudioMeter measures one received sound. Fed by one goroutine, with times that do not go back; after the stream has
// settled no call but Stream allocates, but for one entry a second.
type AudioMeter struct {
	config AudioConfig
	meter  meter

	samples, concealed, accelerated, expanded, late int64
	restored                                        [repairs]int64
	events                                          int64
	concealing                                      bool
	hole, longest                                   hole // the newest stretch of concealment, and the longest one
}

// Played is a piece of sound that left the playout buffer. Counts are samples.
type Played struct {
	Samples     int    // that came out, whatever they were
	Concealed   int    // of them: made up because the packet was missing
	Expanded    int    // of them: added by stretching, to wait
	Silent      int    // of them: silence the sender meant (DTX, mute); never concealment
	Accelerated int    // left out by shortening, to catch up
	Came        Repair // how the packet came that they are of
	Stamped     bool   // Sent holds
	// Sent is when the first of these samples was sent: the packet's send time and the place within the packet.
	Sent time.Duration
	// Waited is how long the packet had waited in the buffer for its moment.
	Waited time.Duration
}

// NewAudio returns a meter for one stream.
func NewAudio(c AudioConfig) *AudioMeter {
	if c.Rate <= 0 {
		c.Rate = 48_000
	}
	if c.Packet <= 0 {
		c.Packet = 20 * time.Millisecond
	}
	m := &AudioMeter{config: c, meter: meter{of: c.Of}}
	m.meter.arrivals.rate = float64(c.Rate)
	m.meter.arrivals.slices = &m.meter.slices
	return m
}

// Packet takes one RTP packet in order of arrival: size is header and payload in bytes, repaired says that it came by
// retransmission or redundancy. A sound that is sent again under its own number cannot be told from a late one.
func (m *AudioMeter) Packet(now time.Duration, sequence uint16, size int, rtpTimestamp uint32, repaired bool) {
	m.meter.packet(now, sequence, size, rtpTimestamp, repaired)
}

// Stamped tells the send time and the sender that a packet carried. Whoever opens only one in N tells of those.
func (m *AudioMeter) Stamped(now, sent time.Duration, sender uint32) {
	m.meter.stamped(now, sent, sender)
}

// Late counts a packet that came after its moment, and that Packet has taken.
func (m *AudioMeter) Late() { m.late++ }

// Dropped counts packets that the receiver itself was too slow to take.
func (m *AudioMeter) Dropped(packets int64) { m.meter.dropped += packets }

// NewSequence: the packets that follow have numbers of their own: another slot, another SSRC.
func (m *AudioMeter) NewSequence() { m.meter.arrivals.newSequence() }

// Pause: from now on no sound is due (muted, stopped by the server, its slot given to another): what is played does not
// count.
func (m *AudioMeter) Pause(now time.Duration) {
	m.meter.pause(now)
	m.concealing = false
}

// Resume ends a Pause.
func (m *AudioMeter) Resume(now time.Duration) { m.meter.resume(now) }

// Played takes what the playout buffer gave at now. Concealment in calls that follow each other is one event.
func (m *AudioMeter) Played(now time.Duration, p Played) {
	if m.meter.paused || p.Samples <= 0 {
		return
	}
	concealed := min(max(p.Concealed, 0), p.Samples)
	m.samples += int64(p.Samples)
	m.concealed += int64(concealed)
	m.expanded += int64(p.Expanded)
	m.accelerated += int64(p.Accelerated)
	m.restored[p.Came] += int64(p.Samples - concealed)
	if concealed > 0 {
		if !m.concealing {
			m.events++
			m.hole = hole{now, now}
		}
		m.hole.to = now + time.Duration(concealed)*time.Second/time.Duration(m.config.Rate)
		if m.hole.long() > m.longest.long() {
			m.longest = m.hole
		}
	}
	m.concealing = concealed > 0
	slice := m.meter.slices.at(now)
	slice.played += int64(p.Samples)
	slice.concealed += int64(concealed)
	if p.Stamped {
		m.meter.played.Add(now - p.Sent)
		m.meter.buffered.Add(p.Waited)
		m.config.LipSync.sound(p.Sent, now)
	}
}

// Latest returns the last second that is over, and the losses so far, for whoever watches. Cheap, unlike Stream.
func (m *AudioMeter) Latest(now time.Duration) (Slice, Loss) { return m.meter.latest(now) }

// Stream returns the result as if the stream ended at end. The meter goes on.
func (m *AudioMeter) Stream(end time.Duration) Stream {
	s := m.meter.stream(end, Audio)
	sound := &Sound{
		Concealed: share(m.concealed, m.samples), Events: m.events, Late: share(min(m.late, s.Packets), s.Packets),
		Accelerated: share(m.accelerated, m.samples), Expanded: share(m.expanded, m.samples),
		Resent: share(m.restored[Resent], m.samples), Copied: share(m.restored[Copied], m.samples), FEC: share(m.restored[Coarse], m.samples),
		Window: m.meter.slices.worstWindow(m.longest, float64(m.config.Rate)), Hole: ms(m.longest.long()),
	}
	if m.config.LipSync != nil {
		sound.LipSync = m.config.LipSync.Distribution()
	}
	voice := m.voice(s, sound)
	sound.R = voice.R()
	sound.MOS = voice.MOS()
	if s.Packets == 0 {
		// Nobody rates silence where a voice was due above bad.
		sound.R, sound.MOS = 0, 1
	}
	s.Sound = sound
	return s
}

// voice is the E-model's view of the stream. Without a playout buffer, what was lost is taken as concealed, and the buffer
// as one that holds 95 of 100 packets.
func (m *AudioMeter) voice(s Stream, sound *Sound) Voice {
	v := Voice{Band: Fullband, Bpl: OpusBpl, Delay: OpusLookahead + m.config.Packet}
	rate := m.config.CodecRate
	if rate <= 0 && s.Seconds > 0 {
		rate = float64(s.Bytes-rtpHeader*s.Packets) * 8 / s.Seconds
	}
	v.Ie = OpusIe(rate)
	if m.samples == 0 {
		v.Loss = s.Loss.After
		v.Delay += time.Duration(s.Delay.P95 * float64(time.Millisecond))
		return v
	}
	v.Loss = sound.Concealed
	// A sample was spoken one packet's length before what counts as its sending: the packet had to be full first.
	v.Delay += time.Duration(s.Played.Mean * float64(time.Millisecond))
	if m.events > 0 {
		packet := m.config.Packet.Seconds() * float64(m.config.Rate)
		v.Burst = BurstRatio(float64(m.concealed)/float64(m.events)/packet, sound.Concealed)
	}
	return v
}

// Histograms returns the distributions that add up.
func (m *AudioMeter) Histograms() Histograms {
	h := Histograms{Delay: &m.meter.delay, Buffered: &m.meter.buffered, Played: &m.meter.played}
	if m.config.LipSync != nil {
		h.LipSync = &m.config.LipSync.skew
	}
	return h
}

// rtpHeader is a header's size without extensions.
const rtpHeader = 12
