package light

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tolkyn/tolkyn/bench/measure"
	"github.com/tolkyn/tolkyn/internal/rtcp"
)

const (
	// reportEvery is RFC 3550's interval as browsers keep it for video.
	reportEvery = time.Second
	// Transport-wide feedback takes a twentieth of what comes in, counted as 68 bytes each, and comes every 50 to 250 ms, as
	// libwebrtc's receivers have it (RemoteEstimatorProxy): the server's estimate of a caller's path lives on it.
	feedbackFastest = 50 * time.Millisecond
	feedbackSlowest = 250 * time.Millisecond
	feedbackBytes   = 20 * 68
	// checkEvery is RFC 7675's for consent.
	checkEvery = 5 * time.Second
	// keyframeEvery bounds requests: libwebrtc waits 300 ms and more between two.
	keyframeEvery = time.Second
	// assumedRTT stands until the first check is answered.
	assumedRTT = 50 * time.Millisecond
)

// answerDue sends what is due of what a browser sends: feedback, wishes, reports, checks.
func (d *device) answerDue(l *loop, now time.Duration) {
	if now >= d.feedbackAt {
		d.feedbackAt = after(d.feedbackAt, d.feedbackEvery(), now)
		// Reduced-size (RFC 5506), as negotiated: nothing before it.
		for {
			b := d.recorder.Append(l.scratch[:0], d.ssrc, d.lastSSRC())
			if len(b) == 0 {
				break
			}
			d.sendRTCP(l, b)
		}
		d.attribute(now)
	}
	if d.gaps {
		d.wish(l, now)
	}
	if now >= d.reportAt {
		d.reportAt = after(d.reportAt, reportEvery, now)
		d.sendReports(l, now)
	}
	if now >= d.checkAt {
		d.checkAt = after(d.checkAt, checkEvery, now)
		d.checked = l.now()
		d.path.check()
	}
}

// feedbackEvery is how long the next feedback is off, by what came since the last one. Called once for each.
func (d *device) feedbackEvery() time.Duration {
	came := d.receivedBytes - d.feedbackFrom
	d.feedbackFrom = d.receivedBytes
	every := feedbackSlowest
	if took := d.feedbackTook; came > 0 {
		every = min(max(took*feedbackBytes/time.Duration(came), feedbackFastest), feedbackSlowest)
	}
	d.feedbackTook = every
	return every
}

// after is the next time after now of what is due each time every from at on: who was held up keeps the place between the
// others, so that not all answer in one moment from then on.
func after(at, every, now time.Duration) time.Duration { return at + ((now-at)/every+1)*every }

func (d *device) lastSSRC() uint32 {
	if d.last == nil {
		return 0
	}
	return d.last.slot.ssrc
}

// wish asks for missing packets of pictures, and for a keyframe when they do not come. Browsers ask for no sound again.
func (d *device) wish(l *loop, now time.Duration) {
	d.gaps = false
	for _, s := range d.streams {
		if len(s.gaps.missing) == 0 {
			continue
		}
		d.gaps = true
		if s.slot.rtx == 0 {
			s.gaps.missing = s.gaps.missing[:0]
			continue
		}
		given := s.gaps.givenUp
		l.numbers = s.gaps.wishes(now, d.rtt, l.numbers[:0])
		if len(l.numbers) > 0 {
			d.nacks += int64(len(l.numbers))
			d.hungry = max(d.hungry, now+hunger)
			d.sendRTCP(l, rtcp.AppendNACK(l.scratch[:0], d.ssrc, s.slot.ssrc, l.numbers))
		}
		if s.gaps.givenUp > given && (s.asked == 0 || now-s.asked >= keyframeEvery) {
			s.asked = now
			d.sendRTCP(l, rtcp.AppendPLI(l.scratch[:0], d.ssrc, s.slot.ssrc))
		}
	}
}

// sendReports sends a sender report for each track and reception reports of what came.
func (d *device) sendReports(l *loop, now time.Duration) {
	l.blocks = l.blocks[:0]
	for _, s := range d.streams {
		if s.gaps.received > 0 {
			l.blocks = append(l.blocks, s.block(now))
		}
	}
	wall := time.Now()
	for _, t := range d.published {
		if t.packets == 0 {
			continue
		}
		b := rtcp.AppendSenderReport(l.scratch[:0], t.report(now, wall), l.blocks)
		d.sendRTCP(l, rtcp.AppendSDES(b, t.ssrc, cname))
		l.blocks = l.blocks[:0] // told once
	}
	if len(l.blocks) > 0 {
		d.sendRTCP(l, rtcp.AppendReceiverReport(l.scratch[:0], d.ssrc, l.blocks))
	}
}

// block is RFC 3550 §6.4.1's reception report.
func (s *stream) block(now time.Duration) rtcp.ReportBlock {
	highest, _ := s.gaps.numbers.Highest()
	b := rtcp.ReportBlock{
		SSRC: s.slot.ssrc, FractionLost: s.gaps.fraction(), TotalLost: int32(min(s.gaps.expected()-s.gaps.received, 1<<23-1)),
		HighestSeq: uint32(highest) - 1<<16, Jitter: uint32(int64(s.jitter.value) * clockOf(s.slot.kind) / int64(time.Second)),
	}
	if s.lastSR != 0 {
		b.LastSR = s.lastSR
		b.DelaySinceLastSR = uint32((now - s.lastSRAt) * 65536 / time.Second)
	}
	return b
}

func (d *device) sendRTCP(l *loop, b []byte) {
	q, space := d.next(l)
	if len(b) <= len(space) {
		q.Commit(d.sealer.SealRTCP(space, copy(space, b)))
		d.flush(l)
	}
}

// attribute follows the server's word on whose media flows in which slot.
func (d *device) attribute(now time.Duration) {
	told := d.session.sources.Load()
	if told == d.told || told == nil {
		return
	}
	d.told = told
	for _, s := range d.streams {
		if (*told)[s.slot.mid] != s.from {
			d.rest(s, now)
		}
	}
	// Only now, since what one slot loses another may have got.
	for _, s := range d.streams {
		if from := (*told)[s.slot.mid]; from != s.from {
			s.from, s.since, s.odd, s.stamp = from, now, 0, 0
			if from != (flow{}) {
				s.meter, s.stamp = d.meterOf(s, now), d.sourceOf(from).stamp
			}
		}
	}
}

// meterOf is what measures a slot's flow: the one that did when it came before, in whichever slot.
func (d *device) meterOf(s *stream, now time.Duration) meter {
	m := d.meters[s.from]
	if m == nil {
		m = d.newMeter(s, now)
		d.meters[s.from] = m
		return m
	}
	m.NewSequence() // another's packets had the numbers in between
	m.Resume(now)
	return m
}

// newMeter begins to measure what flows in a slot, due from now on.
func (d *device) newMeter(s *stream, now time.Duration) meter {
	sender := d.session.names.of(d.session.room, s.from.peer)
	of := measure.Of{
		Room: d.plan.Room, Receiver: d.plan.Identity, Sender: sender, Track: s.from.track, Stamp: d.sourceOf(s.from).stamp, Due: now,
	}
	if s.slot.kind == measure.Audio {
		of.Codec = "opus"
		return measure.NewAudio(measure.AudioConfig{Of: of})
	}
	of.Codec = "VP8"
	return measure.NewVideo(measure.VideoConfig{Of: of, Headers: true})
}

// sourceOf is what is known of a track; nothing of one that no caller of the run sends.
func (d *device) sourceOf(f flow) known {
	return d.env.tracks[trackOf{d.plan.Room, d.session.names.of(d.session.room, f.peer), f.track}]
}

// dueFor is how long a stream must have been due before its absence is one.
const dueFor = 3 * time.Second

// rest ends what is measured in a slot, until its flow comes again. What nothing came of is a stream that is missing where it was
// due for long; else it was none.
func (d *device) rest(s *stream, now time.Duration) {
	if s.meter == nil {
		return
	}
	if d.absent(s, now) {
		delete(d.meters, s.from)
	} else {
		s.meter.Pause(now)
	}
	s.meter = nil
}

// absent says of a slot's flow that nothing came of it, and that nothing had to.
func (d *device) absent(s *stream, now time.Duration) bool {
	_, loss := s.meter.Latest(now)
	return loss.Expected == 0 && (now-s.since < dueFor || d.sourceOf(s.from).silent)
}

// settle keeps the results of a stay that ends.
func (d *device) settle(now time.Duration) {
	for _, s := range d.streams {
		d.rest(s, now)
	}
	for _, f := range d.measured() {
		d.results.add(d.meters[f], now)
	}
	clear(d.meters)
}

// measured are those that were measured, in an order of their own.
func (d *device) measured() []flow {
	return slices.SortedFunc(maps.Keys(d.meters), func(a, b flow) int {
		return cmp.Or(strings.Compare(a.peer, b.peer), strings.Compare(a.track, b.track))
	})
}
