package jitter

import "time"

const (
	// stretch: an eighth of playout at most is added or removed, which speech bears; a quarter when the delay is twice
	// what it should be, which is heard and still better than the delay.
	stretch     = 8
	stretchFast = 4
	// fastBeyond: below that much too much, there is no hurry.
	fastBeyond = 40 * time.Millisecond
	// shortBy is how much too short a delay may be before it is stretched: the fastest packets wander that much.
	shortBy = time.Millisecond
	// worthwhile is the least that is accelerated away.
	worthwhile = 5 * time.Millisecond
	// patience: a target near Config.Max is not skipped for a little more than it.
	patience = 100 * time.Millisecond
	// pause: a shorter gap in the timestamps alone is a sender's clock set right, not silence.
	pause = 10 * time.Millisecond
)

// standstill is what was put out since position stands still, in samples of playout.
type standstill struct {
	silent, concealed int
	dry               bool // nothing was in the queue at some moment of it: it is no mere reordering
}

// Pull is the next Period of playout, at now: call it once per Period. A call that comes late costs no more than its
// lateness; calls left out make the delay grow, which is then accelerated away.
func (b *Buffer) Pull(now time.Duration) Output {
	b.now = max(b.now, now)
	b.pulled = b.now
	clear(b.parts) // no reference outlives its pull
	b.parts = b.parts[:0]
	b.stats.Pulled += uint64(b.period)
	if !b.playing && !b.start() {
		b.silence(b.period)
		return Output{b.parts}
	}
	b.skip()
	left, media := b.period, b.period
	for judged := false; left > 0; judged = true {
		here := b.now + b.duration(int64(b.period-left))
		e := b.due(here)
		if e == nil {
			left -= b.bridge(here, left)
			media = left
			continue
		}
		if !judged {
			media += b.judge(e)
		}
		n, m := share(int(e.end()-b.position), left, media)
		b.play(e, n, m)
		left, media = left-n, media-m
	}
	return Output{b.parts}
}

// start begins playout once the first packet has waited as long as is aimed at.
func (b *Buffer) start() bool {
	if b.queue.held == 0 || !b.delays.opened {
		return false
	}
	first := b.queue.at(0)
	if b.delay(b.now, first.begin) < b.needed(first) {
		return false
	}
	b.playing, b.position = true, first.begin
	return true
}

// grid is the step in which packets begin within pulls.
func (b *Buffer) grid(e *entry) int { return min(e.packet.Samples, b.period) }

// needed is the delay to aim at for packets like e. All that begins within a pull is needed when the pull begins, so that
// packets shorter than a pull need what it is longer.
func (b *Buffer) needed(e *entry) time.Duration {
	return b.target() + b.duration(int64(b.period-b.grid(e)))
}

// skip leaves media out when more waits than is of any use in a call: it jumps to the packet that keeps the target.
func (b *Buffer) skip() {
	if b.queue.held < 2 {
		return
	}
	target := b.target()
	// What a hole lasts is no delay of what follows it.
	if b.delay(b.now, max(b.position, b.queue.at(0).begin)) <= max(b.config.Max, target+patience) {
		return
	}
	for b.queue.held > 1 && b.delay(b.now, b.queue.at(1).begin) >= target {
		b.leave(b.queue.at(0))
		b.queue.drop()
		b.stats.Flushed++
	}
	if begin := b.queue.at(0).begin; begin > b.position {
		b.stats.Skipped += uint64(begin - b.position)
		b.position, b.still = begin, standstill{}
	}
}

// due returns the packet that has the sample at position; nil if it is not there. If playout stood still for it, due
// decides how much of it is still wanted.
func (b *Buffer) due(here time.Duration) *entry {
	for b.queue.held > 0 {
		e := b.queue.at(0)
		switch {
		case e.begin > b.position:
			return nil
		case e.end() <= b.position:
			b.leave(e)
			b.queue.drop()
		case b.still.concealed > 0 && !b.still.dry && b.delay(here, b.position) > b.needed(e):
			// Later ones were there in time, it alone was not: what was concealed of it stays so, and the delay as it is.
			n := min(b.still.concealed, int(e.end()-b.position))
			b.stats.ConcealedLate += uint64(n)
			b.still.concealed -= n
			b.position += int64(n)
		default:
			// Whatever was concealed, it is played whole: they are all late, or the delay is too short anyway.
			b.stats.ConcealedLate += uint64(b.still.concealed)
			b.still = standstill{}
			return e
		}
	}
	return nil
}

// leave notes that playout is done with e.
func (b *Buffer) leave(e *entry) {
	b.quiet, b.frame = e.packet.Quiet, e.packet.Samples
	if !e.packet.Copy {
		b.last, b.lastKnown, b.since = e.number, true, 0
		return
	}
	b.since++
	b.copies[b.copiesNext] = e.begin
	b.copiesNext = (b.copiesNext + 1) % copiesKept
}

// bridge makes up some of at most left samples of playout while position has no media, or jumps to the next that there
// is and returns 0.
func (b *Buffer) bridge(here time.Duration, left int) int {
	if b.queue.held == 0 {
		b.still.dry = true
		if b.quiet {
			return b.silence(left)
		}
		return b.conceal(left)
	}
	next := b.queue.at(0)
	gap := next.begin - b.position
	lost, packets := b.lost(next, gap)
	paused := b.duration(gap-lost) >= pause
	if paused {
		b.hush(lost)
	}
	wait := lost - int64(b.still.concealed)
	if b.late.on && b.delay(here, b.position) < b.target() {
		wait = max(wait, 1) // it will come yet, and so will others as late
	}
	if paused {
		wait -= int64(b.still.silent) // nobody knows where in the silence it was
	}
	if wait > 0 {
		return b.conceal(int(min(wait, int64(left))))
	}
	if paused && b.delay(here, next.begin) < b.needed(next) {
		return b.silence(left) // the beginning of talk is when the delay can be chosen for nothing; it begins with a pull
	}
	if over := int64(b.still.concealed) - gap; over > 0 { // for longer than what is missing lasts: next is late as well
		b.stats.ConcealedLate += uint64(over)
		b.stats.Waited++
	}
	b.since += packets
	if packets > 0 {
		b.giveUp(next.begin)
	}
	b.position, b.still = next.begin, standstill{}
	return 0
}

// lost is how much of a gap before next was lost, in samples and packets: as much as sequence numbers are missing. The
// rest of it is silence.
func (b *Buffer) lost(next *entry, gap int64) (samples int64, packets int) {
	frame := int64(max(next.packet.Samples, b.frame))
	all := int((gap + frame - 1) / frame)
	if !b.lastKnown {
		return gap, all
	}
	for i := range b.queue.held {
		if e := b.queue.at(i); !e.packet.Copy {
			missing := int64(e.number) - int64(b.last) - 1 - int64(b.since) - int64(i)
			packets = int(min(max(missing, 0), int64(all)))
			return min(int64(packets)*frame, gap), packets
		}
	}
	return gap, all // copies alone: what they were copied from is missing
}

// hush takes for silence what was concealed beyond lost, as long as nobody knew that nothing was said.
func (b *Buffer) hush(lost int64) {
	n := int64(b.still.concealed) - lost
	if n <= 0 {
		return
	}
	b.stats.Concealed -= uint64(n)
	b.stats.Silent += uint64(n)
	if lost == 0 && b.run == int(n) && b.running == Conceal {
		b.stats.ConcealmentEvents--
	}
	b.still.concealed -= int(n)
	b.still.silent += int(n)
}

// judge returns by how many samples more than a pull's length the pull that begins with e should use up; negative: fewer.
//
// Once the delay is right it stays so that packets begin where pulls do: a packet that begins within a pull is needed at
// the pull's beginning, hence that much more delay for nothing. Playout moves from one such place to another.
func (b *Buffer) judge(e *entry) int {
	grid := b.grid(e)
	edge := int((e.end() - b.position) % int64(grid)) // how far into a pull packets begin
	needed := b.needed(e)
	delay := b.delay(b.now, b.position)
	spare := delay - needed - b.duration(int64(edge))
	if spare < -shortBy || b.tempo == Expand && spare < 0 {
		b.tempo = Expand
		if b.late.on && spare < -fastBeyond {
			return -min(b.period/stretchFast, grid-edge) // until the delay is there, each hole stays one
		}
		return -min(b.period/stretch, grid-edge)
	}
	if spare < 0 {
		b.tempo = Play
		return 0
	}
	most := b.period / stretch
	if delay > 2*needed && delay > needed+fastBeyond {
		most = b.period / stretchFast
	}
	excess := edge + b.samples(min(spare, time.Second))/grid*grid
	more := min(excess, most)
	if more == 0 || b.tempo != Accelerate && b.duration(int64(excess)) < worthwhile || !b.has(int64(b.period+more)) {
		b.tempo = Play
		return 0
	}
	b.tempo = Accelerate
	return more
}

// has tells whether all of the next samples of media are there.
func (b *Buffer) has(samples int64) bool {
	end := b.position
	for i := 0; i < b.queue.held && end < b.position+samples; i++ {
		e := b.queue.at(i)
		if e.begin > end {
			return false
		}
		end = max(end, e.end())
	}
	return end >= b.position+samples
}

// share gives a packet that has there samples its share of left samples of playout that use up media.
func share(there, left, media int) (samples, used int) {
	if there >= media {
		return left, media
	}
	return min(max((there*left+media/2)/media, 1), left), there
}

func (b *Buffer) play(e *entry, samples, media int) {
	action := Play
	switch {
	case media > samples:
		action = Accelerate
		b.stats.Accelerated += uint64(media - samples)
	case media < samples:
		action = Expand
		b.stats.Expanded += uint64(samples - media)
	}
	b.stats.Played += uint64(samples)
	b.running, b.run = Play, 0
	b.parts = append(b.parts, Part{
		Action: action, Samples: samples, Media: media, Offset: int(b.position - e.begin), Position: b.position,
		Packet: e.packet, Arrived: e.arrived,
	})
	b.position += int64(media)
}

func (b *Buffer) conceal(samples int) int {
	if b.running != Conceal {
		b.stats.ConcealmentEvents++
	}
	b.stats.Concealed += uint64(samples)
	b.still.concealed += samples
	return b.fill(Conceal, samples)
}

func (b *Buffer) silence(samples int) int {
	b.stats.Silent += uint64(samples)
	b.still.silent += samples
	return b.fill(Silence, samples)
}

func (b *Buffer) fill(action Action, samples int) int {
	if b.running != action {
		b.running, b.run = action, 0
	}
	b.parts = append(b.parts, Part{Action: action, Samples: samples, Position: b.position, Since: b.run})
	b.run += samples
	return samples
}
