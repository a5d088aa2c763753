package rival

import (
	"time"

	"github.com/tolkyn/tolkyn/bench/cc"
	"github.com/tolkyn/tolkyn/sfu/bwe"
)

// SCReAM models SCReAM v2 (draft-johansson-ccwg-rfc8298bis-screamv2) as libwebrtc has it: a reference window that grows by a
// segment a round trip and a little more with its size, backs off by queueing delay, ECN marks and loss, and moves slowly
// near where it last had to. Its sender queue is the case's.
var SCReAM = cc.Maker{
	Name: "scream-model",
	New: func(_ time.Duration, cfg bwe.Config) cc.Controller {
		cfg = withDefaults(cfg)
		return &scream{cfg: cfg, target: float64(cfg.Start), window: screamLeast, inflection: 1, mayMark: true, reacted: -time.Hour, lostAt: -time.Hour}
	},
}

// The parameters, as the draft and libwebrtc name them.
const (
	screamLeast     = 1000.0 // bytes, min_ref_window
	screamSegment   = 1280.0 // max_segment_size
	screamHeadRoom  = 1.1    // bytes_in_flight_head_room
	screamBetaLoss  = 0.7
	screamMultiply  = 0.02 // multiplicative_increase_factor
	screamPost      = 100  // post_congestion_delay_rtts
	screamReset     = 100  // round trips without congestion after which the window is far above what is sent
	screamScale     = 8.0  // backoff_scale_factor_close_to_ref_window_i, the draft's; libwebrtc has 2
	screamLeastOver = 1.5  // ref_window_overhead_min
	screamMostOver  = 3.0
	screamPacing    = 1.1

	screamVirtual   = 25 * time.Millisecond // virtual_rtt
	screamTarget    = 60 * time.Millisecond // queue_delay_target
	screamThreshold = 10 * time.Millisecond // queue_delay_min_threshold, latency_diff_threshold
	screamDrain     = 5 * time.Millisecond  // queue_delay_drain_threshold
	screamDrained   = 20 * time.Second      // queue_delay_drain_period
	screamDrainFor  = 5                     // round trips

	screamMinute = time.Minute // base_delay_history_update_interval
	screamHours  = 10          // base_delay_window_length
)

type scream struct {
	cfg     bwe.Config
	history history
	target  float64
	begun   bool

	window     float64 // ref_window, bytes
	inflection float64 // ref_window_i
	mayMark    bool
	marked     float64 // l4s_alpha
	reacted    time.Duration
	lostAt     time.Duration // when the window last went back for a loss: once a round trip

	mostInFlight, mostBefore int
	inFlightAt               time.Duration

	roundTrip, heldBack time.Duration
	delay               screamDelay
	draining            time.Duration // since when; 0: not
}

func (s *scream) Sent(now time.Duration, p bwe.Packet) {
	s.history.add(now, p)
	s.mostInFlight = max(s.mostInFlight, s.history.inFlight)
}

func (s *scream) Wants(time.Duration, bwe.Bitrate) {}

func (s *scream) Feedback(now time.Duration, results []bwe.Result) {
	told := s.history.take(results)
	sent, ok := newestSent(told)
	if !ok {
		return
	}
	f := readFeedback(told)
	sample := now - sent
	if s.roundTrip == 0 {
		s.roundTrip, s.heldBack = sample, f.last-f.first
	}
	s.roundTrip += (sample - s.roundTrip) / 8
	s.heldBack += (f.last - f.first - s.heldBack) / 8
	s.delay.feedback(now, f)
	if !s.begun {
		s.begun = true
		s.window = max(screamLeast, s.target/8*seconds(s.roundTrip))
	}
	s.countMarks(f)
	before := s.window
	congested := s.backOff(now, f)
	if !congested || s.reacted == now {
		s.grow(now, f)
	}
	switch {
	case s.window > before:
		s.mayMark = true
	case s.window < before && s.mayMark:
		s.inflection, s.mayMark = before, false
	}
	s.retarget(now)
	if now-s.inFlightAt >= max(screamVirtual, s.roundTrip) {
		s.inFlightAt, s.mostBefore, s.mostInFlight = now, s.mostInFlight, 0
	}
}

// screamFeedback is what one message says in all.
type screamFeedback struct {
	first, last     time.Duration // arrivals
	least, most     time.Duration // one-way delays
	packets, marked int           // received
	unmarked        int           // bytes, lost ones among them
	lost            bool
}

func readFeedback(told []outcome) screamFeedback {
	f := screamFeedback{}
	for _, o := range told {
		if !o.marked {
			f.unmarked += o.size
		}
		if !o.received {
			f.lost = true
			continue
		}
		delay := o.arrival - o.sent
		if f.packets == 0 {
			f.first, f.last, f.least, f.most = o.arrival, o.arrival, delay, delay
		}
		f.first, f.last = min(f.first, o.arrival), max(f.last, o.arrival)
		f.least, f.most = min(f.least, delay), max(f.most, delay)
		f.packets++
		if o.marked {
			f.marked++
		}
	}
	return f
}

func (s *scream) countMarks(f screamFeedback) {
	share := float64(f.marked) / float64(f.packets)
	if share > s.marked {
		s.marked += (share - s.marked) / 8
	} else {
		s.marked -= s.marked / 128
	}
}

// backOff answers congestion, at most once a virtual round trip, and says whether there is any.
func (s *scream) backOff(now time.Duration, f screamFeedback) bool {
	byDelay := s.delay.share() > 0
	if !byDelay && f.marked == 0 && !f.lost {
		return false
	}
	since := now - s.reacted
	if since < min(s.roundTrip, screamVirtual) {
		return true
	}
	s.reacted = now
	perRoundTrip := max(1, seconds(s.roundTrip)/seconds(screamVirtual)) // as there are several back-offs in one
	if f.lost && now-s.lostAt >= s.roundTrip {
		s.lostAt = now
		s.window *= screamBetaLoss
	}
	switch {
	case f.marked > 0:
		backOff := s.marked / 2 / perRoundTrip
		if !byDelay {
			backOff *= max(0.25, s.nearInflection()) * max(0.1, s.delay.calm(s.delay.leastAverage, 0.1))
		}
		if since > screamReset*max(screamVirtual, s.roundTrip) {
			s.window = clamp(float64(s.mostBefore), screamLeast, max(s.window, screamLeast))
			s.marked = 0.25
		}
		s.window *= 1 - backOff
	case byDelay:
		s.window *= 1 - s.delay.share()/2/perRoundTrip
	}
	s.window = max(s.window, screamLeast)
	return true
}

// nearInflection is small where the window last had to go back.
func (s *scream) nearInflection() float64 {
	off := screamScale * (s.window - s.inflection) / s.inflection
	return clamp(off*off, 0.1, 1)
}

func (s *scream) grow(now time.Duration, f screamFeedback) {
	scale := min(1, screamSegment/s.window)
	if short := seconds(s.roundTrip+s.heldBack) / seconds(screamVirtual); short < 1 {
		scale *= short * short
	}
	scale *= max(0.25, s.nearInflection())
	scale *= s.delay.calm(s.delay.leastAverage, 0.1)
	post := clamp(seconds(now-s.reacted)/(screamPost*seconds(max(screamVirtual, s.roundTrip))), 0, 1)
	scale *= 1 + screamMultiply*s.window/screamSegment*post*s.nearInflection()
	limit := max(screamSegment+float64(max(s.mostInFlight, s.mostBefore))*screamHeadRoom, screamLeast)
	if s.window < limit {
		s.window = clamp(s.window+float64(f.unmarked)*scale, screamLeast, limit)
	}
}

func (s *scream) retarget(now time.Duration) {
	scale := 1 - clamp(screamSegment/s.window-0.1, 0, 0.2) // windows of a few segments
	roundTrip := max(s.roundTrip, time.Millisecond)
	rate := scale * s.window * 8 / seconds(roundTrip+s.heldBack)
	switch {
	case s.delay.drained(now):
		s.draining = 0
	case s.draining == 0:
		s.draining = now
		rate /= 2
	case now-s.draining < max(100*time.Millisecond, screamDrainFor*roundTrip):
		rate /= 2
	default:
		s.delay, s.draining = screamDelay{}, 0 // the delay is not of our making
	}
	s.target = clamp(rate, float64(s.cfg.Min), float64(s.cfg.Max))
}

func (s *scream) Poll(time.Duration) bwe.Estimate {
	over := screamLeastOver + (screamMostOver-screamLeastOver)*s.delay.calm(s.delay.leastAverage, 0)
	return bwe.Estimate{
		Target: bwe.Bitrate(s.target), Pacing: bwe.Bitrate(screamPacing * s.target), Window: int(s.window * over),
		InFlight: s.history.inFlight, RTT: s.roundTrip,
	}
}

// screamDelay is what one-way delays say of the queue.
type screamDelay struct {
	bases   []time.Duration // least delay of each of the last minutes
	minute  time.Duration
	next    time.Duration // least delay of the present one
	current bool

	sample       time.Duration
	known        bool
	average      time.Duration // queue_delay_avg: rises slowly, falls at once
	leastAverage time.Duration // queue_delay_min_avg
	spread       time.Duration // latency_difference_avg
	above        time.Duration // since when the queue has not been empty; 0: it was
}

func (d *screamDelay) feedback(now time.Duration, f screamFeedback) {
	if !d.current || f.least < d.next {
		d.next, d.current = f.least, true
	}
	base := d.next
	for _, b := range d.bases {
		base = min(base, b)
	}
	queue := f.least - base
	switch {
	case queue <= screamDrain:
		d.above = 0
	case d.above == 0:
		d.above = now
	}
	sample := queue
	if d.known {
		sample = min(sample, d.sample)
	}
	if !d.known || sample < d.average {
		d.average = sample
	} else {
		d.average += (sample - d.average) / 4
	}
	d.sample, d.known = queue, true
	d.leastAverage += (min(queue, 2*screamThreshold) - d.leastAverage) / 32
	d.spread += (min(f.most-f.least, 2*screamThreshold) - d.spread) / 32
	if now-d.minute >= screamMinute {
		d.minute = now
		d.bases = append(d.bases, d.next)
		d.bases = d.bases[max(len(d.bases)-screamHours, 0):]
		d.current = false
	}
}

// share is how far the queue is from half of its target to the whole: a virtual share of ECN marks.
func (d *screamDelay) share() float64 {
	half := seconds(screamTarget) / 2
	return clamp((seconds(d.average)-half)/half, 0, 1)
}

// calm is 1 where a delay is small, falling to least at the threshold.
func (d *screamDelay) calm(delay time.Duration, least float64) float64 {
	return clamp(0.1+1.2*seconds(screamThreshold-delay)/seconds(screamThreshold), least, 1)
}

func (d *screamDelay) drained(now time.Duration) bool {
	return d.above == 0 || now-d.above < screamDrained
}
