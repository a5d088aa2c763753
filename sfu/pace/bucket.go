package pace

import (
	"time"

	"github.com/tolkyn/tolkyn/sfu/bwe"
)

const (
	// 20 ms: what one turn may send at most at the estimate's rate. Where the path carries more than is sent, a whole picture
	// leaves in it and nobody wakes up again for the rest; and it is a queue that nobody hears.
	burst = 20 * time.Millisecond

	// 5 ms: the same where the estimate is the bound. A picture that left at once would stand in the bottleneck's queue instead
	// of ours, and drown the estimator's reading of it: bursts of 20 ms made the queue of RFC 8867's steady megabit a third
	// longer. As long as a tick of the shard's wheel: shorter would not be kept.
	tightBurst = 5 * time.Millisecond

	// 1 ms: the same where the bottleneck marks what has waited a few: at 1 Mbit/s a packet is 10 ms there, and two of them 5 ms apart
	// are marked. Where ticks are longer, each makes up for what was late.
	evenBurst = time.Millisecond

	// 25 ms: what bursts may let stand in a bottleneck that is known; what is longer leaves as it passes. Two pictures' worth of it at
	// 1.45 times the target do not reach that. A keyframe of 18 kB stood 110 ms in 600 kbit/s, in front of the voice, and was taken for
	// a path that had become thinner.
	standing = 25 * time.Millisecond

	// 15 ms: a timer's delay that is made up for, so that three late ticks lose no rate and no turn exceeds a burst.
	lateness = burst - tightBurst

	// 60 ms, two pictures: what audio may pile up against the rest. Longer, and a path that audio alone had filled stayed black
	// behind it, or one publisher's flood of sound stopped everybody's picture.
	audioDebt = 60 * time.Millisecond

	// 100 ms: when to look again if only the estimator can say.
	unknown = 100 * time.Millisecond

	// 1 µs: what floats may be wrong by, so that Next is not asked twice.
	roundUp = time.Microsecond

	// 1,500 bytes: no packet is larger.
	packet = 1500

	// 16 kB of repair beside its share: the tail of the first keyframe, before the loss is known.
	repairFloor = 16 << 10

	// 5 points: repair beyond what the loss calls for, for losses that come in bursts.
	repairSpare = 0.05

	// 90 %: of what is lost beyond that nothing can be repaired.
	mostLoss = 0.9

	// 50 ms: what waits longer than that leaves faster, by half at most: the sender's queue is delay like the bottleneck's, and
	// an encoder needs 100 ms to follow a fall. Not on a congested path: there it doubled the time until the bottleneck's queue
	// had gone after a fall from 2.5 to 0.6 Mbit/s.
	drainWithin = 50 * time.Millisecond
	drainFaster = 1.5

	// 150 ms: the same where bursts are marked. A keyframe of four frames waits less; with 50 ms it left at once and was 30 ms of queue.
	evenWithin = 150 * time.Millisecond

	// 3: a probe that takes so many times its time has failed, for want of bytes to send; so has one of a second, which is no
	// burst any more.
	probePatience = 3
	longestProbe  = time.Second
)

// Class orders what wants to leave: a lower one goes first.
type Class uint8

// The classes.
const (
	Audio   Class = iota // never waits, but what it takes is missing to the others
	Repair               // within the budget for repair
	Video                // within it by priority
	Padding              // of probes, when nothing else is there
	Classes = iota
)

// Bucket says when bytes of one path may leave. It holds no packets. One goroutine; the zero value lets everything pass at
// once until SetEstimate.
//
// What has left is a debt that the pacing rate pays off. A packet leaves while the debt is below a burst, and may put it above
// by its own size: so one packet always may, on the thinnest path too, and what it owes is not forgotten.
//
//	debt  burst ┤- - - -█- - - - - - - - - - - -  held above: Next is when it is below again
//	            │      █│▚     █▚
//	          0 ┼─────█─┴──▚──█──▚─────────────► idle time is no credit, but for a timer that came late
type Bucket struct {
	at   time.Duration // when debt was counted
	debt float64       // bytes
	pace float64       // of now, bytes a nanosecond; 0: no estimate

	most     float32 // the debt below which packets leave, bytes
	rate     float32 // of pacing as the estimate says, bytes a second
	burst    float32 // bytes that may leave at once by it
	late     float32 // bytes of a late timer that are made up for
	queued   float32 // bytes a second that it takes to send in time what waits
	share    float32 // of repair: bytes for a byte of media
	repair   float32 // bytes of repair that may leave
	window   int32   // bytes; 0: no bound
	inFlight int32   // bytes
	passes   float32 // what the bottleneck passes, bytes a second; 0: not known
	stands   float32 // bytes that should stand in front of it

	held    bool // something waits for the debt
	yields  bool // the path is congested
	even    bool // the path marks bursts
	probing bool // the first packet of probe has left

	wished uint32 // the probe begun last
	probe  probe
	until  time.Duration // probe has failed
}

// probe is one that is wished for or runs.
type probe struct {
	id   uint32 // 0: none
	left int32  // bytes
	rate float32
}

// RepairShare is how many bytes of repair a byte of media may cost at a share of loss, 0 to 1: what it takes to repair it,
// repairs that are lost themselves included, and 5 points.
func RepairShare(loss float64) float64 {
	loss = min(max(loss, 0), mostLoss)
	return loss/(1-loss) + repairSpare
}

// SetEstimate takes what the estimator says now, a probe to be made included. A target of 0 is no estimate.
func (b *Bucket) SetEstimate(now time.Duration, e bwe.Estimate) {
	if e.Target <= 0 {
		*b = Bucket{wished: b.wished}
		return
	}
	if b.pace == 0 {
		b.at, b.repair = now, repairFloor
	}
	b.settle(now)
	atOnce := tightBurst
	switch {
	case e.Even:
		atOnce = evenBurst
	case e.AppLimited:
		atOnce = burst
	}
	b.rate = float32(max(e.Target, e.Pacing)) / 8
	b.passes = float32(e.Passes) / 8
	b.burst = float32(e.Target.Bytes(atOnce))
	b.late = float32(e.Target.Bytes(burst - atOnce))
	b.share = float32(RepairShare(e.Loss))
	b.yields, b.even = e.Congested, e.Even
	b.window, b.inFlight = clamp(e.Window), clamp(e.InFlight)
	if !b.probing {
		b.wish(e.Probe)
	}
	b.adjust()
}

func clamp(bytes int) int32 { return int32(min(max(bytes, 0), 1<<30)) }

// wish takes or withdraws the wish for a probe. One that runs is not asked about: the estimator withdraws its wish with the
// first packet of it.
func (b *Bucket) wish(p bwe.Probe) {
	b.probe = probe{}
	if p.ID != 0 && p.ID != b.wished && p.Bytes > 0 && p.Rate > 0 {
		b.probe = probe{id: p.ID, left: clamp(p.Bytes), rate: float32(p.Rate) / 8}
	}
}

// Queued says how many bytes of repair and video wait. When they would take longer than 50 ms (150 where bursts are marked), and the
// path is not congested, they leave faster, by half at most.
func (b *Bucket) Queued(bytes int) {
	before := b.queued
	b.queued = float32(bytes) * float32(time.Second/drainWithin)
	if b.pace > 0 && max(before, b.queued) > b.rate {
		b.adjust()
	}
}

// Take asks to send size bytes (on the wire) of a class: true charges them, and probe is the one that they belong to. After
// false ask again at Next. ok depends on what has left before and not on size.
func (b *Bucket) Take(now time.Duration, c Class, size int) (probe uint32, ok bool) {
	if b.pace == 0 {
		return 0, c != Padding
	}
	b.settle(now)
	if c != Audio {
		if b.debt >= float64(b.most) || b.wait() > 0 {
			b.held = true
			return 0, false
		}
		if !b.allows(c) {
			return 0, false
		}
		b.held = false
	}
	return b.charge(now, c, size), true
}

// Charge counts size bytes (on the wire) of a class that leave now, and returns the probe that they belong to. It does not
// refuse: it is for who must build packets to know their sizes, and has asked Next or Room before.
func (b *Bucket) Charge(now time.Duration, c Class, size int) (probe uint32) {
	if b.pace == 0 {
		return 0
	}
	b.settle(now)
	b.held = b.held && c == Audio
	return b.charge(now, c, size)
}

// Next is when bytes of a class may leave; now or earlier when they may at once. Where only the next estimate can say, it is
// 100 ms away: ask again after SetEstimate.
func (b *Bucket) Next(now time.Duration, c Class) time.Duration {
	switch {
	case b.pace == 0 && c == Padding:
		return now + unknown
	case b.pace == 0 || c == Audio:
		return now
	}
	b.settle(now)
	at := now
	if b.debt >= float64(b.most) {
		b.held = b.held || c != Padding || b.probe.id != 0 // who asks for padding without a probe has nothing that waits
		at += time.Duration((b.debt-float64(b.most))/b.pace) + roundUp
	}
	if wait := b.wait(); wait > 0 {
		b.held = b.held || c != Padding
		at = max(at, now+wait+roundUp)
	}
	if !b.allows(c) {
		at = max(at, now+unknown)
	}
	return at
}

// wait is until what should stand in front of the bottleneck is short again. Probes do not wait: they are to find out.
func (b *Bucket) wait() time.Duration {
	if b.passes == 0 || b.probe.id != 0 {
		return 0
	}
	return time.Duration(float64(b.stands)/float64(b.passes)*float64(time.Second)) - standing
}

// room is how many bytes may leave now, as far as debt and the bottleneck say.
func (b *Bucket) room() int {
	room := float64(b.most) - b.debt
	if b.passes > 0 && b.probe.id == 0 {
		room = min(room, float64(b.passes)*standing.Seconds()-float64(b.stands))
	}
	return max(int(room), 1)
}

// Room is how many bytes of video may leave now in one burst: at most 20 ms of the estimate. Packets leave as long as some is
// left, the last of them larger than that or not; 0: none may.
func (b *Bucket) Room(now time.Duration) int {
	if b.pace == 0 {
		return 1 << 30
	}
	if b.Next(now, Video) > now {
		return 0
	}
	return b.room()
}

// Padding is how many bytes the running probe still lacks now, when nothing else waits; 0: none, or not before
// Next(Padding).
func (b *Bucket) Padding(now time.Duration) int {
	if b.rate == 0 || b.Next(now, Padding) > now {
		return 0
	}
	return min(int(b.probe.left), b.room())
}

// Probing reports whether a probe runs or is to begin: who has nothing else to send asks Padding at Next(Padding).
func (b *Bucket) Probing() bool { return b.probe.id != 0 }

// adjust sets pace and burst by estimate, probe, and what waits.
func (b *Bucket) adjust() {
	rate := float64(b.rate)
	q := float64(b.queued)
	if b.even {
		q *= drainWithin.Seconds() / evenWithin.Seconds()
	}
	if q > rate && !b.yields {
		rate = min(q, rate*drainFaster)
	}
	probe := float64(b.probe.rate)
	b.pace = max(rate, probe) / float64(time.Second)
	b.most = max(b.burst, float32(probe*tightBurst.Seconds()), 1)
}

// settle pays off debt.
func (b *Bucket) settle(now time.Duration) {
	if now <= b.at {
		return
	}
	b.debt -= float64(float64(now-b.at) * b.pace)
	b.stands = max(b.stands-float32(float32((now-b.at).Seconds())*b.passes), 0)
	b.at = now
	if b.debt < 0 {
		b.debt = b.credit()
	}
	if b.probing && now > b.until {
		b.endProbe()
	}
}

// credit is the debt when it has been paid off: less than none when something waited for that and the timer was late.
func (b *Bucket) credit() float64 {
	if !b.held {
		return 0
	}
	return max(b.debt, -max(float64(b.late), float64(b.probe.rate)*lateness.Seconds()))
}

// allows reports whether a class may leave as far as debt is not in the way. A probe is bounded itself: neither the window nor
// the budget hold against it.
func (b *Bucket) allows(c Class) bool {
	if b.probe.id != 0 {
		return true
	}
	return (b.window == 0 || b.inFlight < b.window) && (c == Video || c == Repair && b.repair > 0)
}

// charge counts size bytes that leave, and returns the probe that they belong to.
func (b *Bucket) charge(now time.Duration, c Class, size int) (probe uint32) {
	b.inFlight = clamp(int(b.inFlight) + size)
	debt := b.debt + float64(size)
	if b.passes > 0 {
		b.stands = min(b.stands+float32(size), max(b.passes*float32(2*standing.Seconds()), 2*packet)) // after a probe too
	}
	switch c {
	case Audio:
		debt = min(debt, max(b.debt, packet, float64(b.rate)*audioDebt.Seconds()))
		b.earn(size)
	case Video:
		b.earn(size)
	case Repair:
		if b.probe.id == 0 {
			b.repair -= float32(size)
		}
	}
	b.debt = debt
	if b.probe.id == 0 {
		return 0
	}
	return b.prove(now, size)
}

// earn adds to the budget for repair what size bytes of media allow: at most what a second of the path does.
func (b *Bucket) earn(size int) {
	b.repair += float32(float32(size) * b.share)
	if most := repairFloor + float32(b.share*b.rate); b.repair > most {
		b.repair = most
	}
}

// prove counts size bytes for the probe; the packet with its last byte ends it.
func (b *Bucket) prove(now time.Duration, size int) (id uint32) {
	p := &b.probe
	id = p.id
	if !b.probing {
		b.probing, b.wished = true, id
		takes := time.Duration(float64(p.left) / float64(p.rate) * float64(time.Second))
		b.until = now + min(burst+probePatience*min(takes, longestProbe), longestProbe)
	}
	if p.left -= int32(size); p.left <= 0 {
		b.endProbe()
	}
	return id
}

func (b *Bucket) endProbe() {
	b.probing, b.probe = false, probe{}
	b.adjust()
}
