package measure

import "time"

// Of says which stream a meter measures.
type Of struct {
	Room, Receiver, Sender, Track string
	Codec                         string // "opus", "VP8"
	// Stamp is what the sender's frames carry as their sender: any other is counted as wrong. 0: not compared.
	Stamp uint32
	// Due is when the first packet could have come, on the run's clock: a stream of which nothing came is measured from here.
	Due time.Duration
}

// meter is what sound and picture have in common.
type meter struct {
	of       Of
	arrivals arrivals
	slices   slicer
	first    time.Duration // of its packets
	some     bool          // at least one came
	wrong    int64
	dropped  int64
	paused   bool
	since    time.Duration // of that pause
	rested   time.Duration // in those that are over

	delay, buffered, played Histogram
}

func (m *meter) packet(now time.Duration, sequence uint16, size int, stamp uint32, repaired bool) {
	if !m.some {
		m.first, m.some = now, true
	}
	m.arrivals.packet(now, sequence, size, stamp, repaired)
}

func (m *meter) stamped(now, sent time.Duration, sender uint32) {
	if m.of.Stamp != 0 && sender != m.of.Stamp {
		// Its delay is somebody else's.
		m.wrong++
		return
	}
	m.delay.Add(now - sent)
	m.slices.delay(now, now-sent)
}

// pause and resume leave out of the stream's length what was not due. Idempotent.
func (m *meter) pause(now time.Duration) {
	if !m.paused {
		m.paused, m.since = true, now
	}
}

func (m *meter) resume(now time.Duration) {
	if m.paused && m.some {
		m.rested += max(0, now-max(m.since, m.first))
	}
	m.paused = false
}

func (m *meter) latest(now time.Duration) (Slice, Loss) {
	return m.slices.latest(now), m.arrivals.loss(m.dropped)
}

// stream fills what both kinds have.
func (m *meter) stream(end time.Duration, kind Kind) Stream {
	s := Stream{
		Room: m.of.Room, Receiver: m.of.Receiver, Sender: m.of.Sender, Track: m.of.Track, Kind: kind, Codec: m.of.Codec,
		Packets: m.arrivals.packets, Bytes: m.arrivals.bytes, Loss: m.arrivals.loss(m.dropped),
		Delay: m.delay.Distribution(), Buffered: m.buffered.Distribution(), Played: m.played.Distribution(),
		Jitter: m.arrivals.jitter / float64(time.Millisecond), Wrong: m.wrong, Slices: m.slices.slices(end),
	}
	from := m.of.Due
	if m.some {
		from = m.first
	}
	if m.paused && m.some {
		end = min(end, m.since)
	}
	s.Seconds = max(0, end-from-m.rested).Seconds()
	if s.Seconds > 0 {
		s.Bitrate = float64(s.Bytes) * 8 / s.Seconds
	}
	return s
}

// Histograms are the distributions of a stream in the form that adds up. They belong to the meter: copy (by Merge into a
// zero value) what must outlive its next call.
type Histograms struct {
	Delay    *Histogram
	Buffered *Histogram
	Played   *Histogram
	LipSync  *Skew      // of audio; nil without a picture to compare with
	Keyframe *Histogram // of video: keyframe waits
}
