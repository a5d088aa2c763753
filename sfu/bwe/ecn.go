package bwe

import "time"

const (
	markGain = 1.0 / 8          // of the mean marked share, a round trip at a time (RFC 8257 has 1/16, for ten times shorter trips)
	markSpan = 10 * time.Second // after the last mark the bottleneck is one that marks

	// One packet makes a queue of its own time in the bottleneck, and what comes right behind it is marked: at 1 Mbit/s 10 ms,
	// all of what L4S allows. Marks weigh as the rate, or thin links would starve (SCReAMv2 at 1 Mbit/s: 52 % of the link).
	markWhole              = 20e6
	markLeast, markMost    = 0.15, 0.5
	markedMuch             = 0.02 // of packets: bursts make that many, so that they must go
	leastRound             = 50 * time.Millisecond
	markedGrow, unmarkedGo = 0.05, 0.3 // a second: growth while marks come, and a round trip without one: marks come early

	// L4S marks from 1 or 2 ms of queue on (RFC 9332), an AQM of RFC 3168 from 5 to 20 ms and few even then. Jitter only makes the first
	// look like the second. Believed for a minute without a mark: where nothing is marked nothing says that it is over.
	earlyWait  = 0.012 // s, besides a packet's own time in the bottleneck
	earlyFade  = 1.0 / 8
	earlyAt    = 0.5
	earlyHolds = time.Minute

	// On such a path marks tell where the capacity is, and tell it before there is a queue. So pictures leave evenly: 0.92 paced at 1.05
	// is 97 % of it. 0.96, as elsewhere, stood for seconds where an encoder was 5 % above its target.
	earlyFill  = 0.92
	earlyQueue = 0.005 // s: a standing queue that is too much
	earlyDrain = 0.1   // s: in which it is to go
	earlyBurst = 0.25  // of a report's packets: at once no faster than the rate

	// Growth is 2 % a second where marks were, and faster by 30 % each second without one where they were not. Where they may be, from a
	// tenth below the last ones or where bursts say so, two seconds without come first: 30 % at once there were 12 ms of queue each time.
	earlyGrow             = 0.02
	earlyFaster           = 0.3
	earlyNear, nearFaster = 0.9, 0.15
	nearHolds             = 2 * time.Second
	earlyMost             = 1.0

	// Even pictures make bursts of a packet or two. Beyond 6 Mbit/s a packet takes less than twice the tick of RFC 8888's arrival
	// times, and what is measured of them is too much by a third and more: it bounds, and nothing else. Unless there are marks: those
	// are of longer bursts, as ticks of 5 ms make them.
	burstsExact  = 6e6
	burstsMarked = 100 * time.Millisecond
)

// ecn answers congestion marks in proportion to their share, once a round trip (RFC 9331 section 4.3, RFC 8257).
type ecn struct {
	marked, packets int32 // of this round trip
	share           float64
	round           time.Duration // when it began
	last            time.Duration // when the newest mark came; 0: never

	soon   float32       // 0 to 1: packets are marked that have waited a few ms, and none passes unmarked that has waited longer
	newest float32       // share of the newest report that was marked
	clean  bool          // the last round trip had no mark
	top    float32       // bits a second: where marks or a queue came last
	bound  time.Duration // when something else than marks last held the rate
}

// note takes a report.
func (k *ecn) note(now time.Duration, marked, packets int) {
	k.marked += int32(marked)
	k.packets += int32(packets)
	k.newest = float32(marked) / float32(max(packets, 1))
	if marked > 0 {
		k.last = now
	}
}

// waited notes how long a packet has waited, in seconds, besides its own time.
func (k *ecn) waited(wait float64, marked bool) {
	switch {
	case marked && wait < earlyWait:
		k.soon += float32((1 - k.soon) * earlyFade)
	case !marked && wait > earlyWait:
		k.soon -= float32(k.soon * earlyFade)
	}
}

// active reports whether the bottleneck marks.
func (k *ecn) active(now time.Duration) bool { return k.last != 0 && now-k.last < markSpan }

// early reports whether the bottleneck marks what has waited a few milliseconds, as L4S has it.
func (k *ecn) early(now time.Duration) bool { return k.soon > earlyAt && now-k.last < earlyHolds }

// exact reports whether what bursts pass is measured exactly: packets are long, or some waited so long that they were marked.
func (k *ecn) exact(now time.Duration, bursts float64) bool {
	return bursts < burstsExact || now-k.last < burstsMarked
}

// speed is by what share the rate grows on a path that marks early, a second: slowly near what bursts pass and where marks came
// last, 0 unknown, and faster and faster as long as no mark comes.
//
//	speed │ away from them    ╱
//	      │       ╱         ╱
//	      │     ╱    near ╱
//	 2 %  │───╱─────────╱
//	      └──────────────────► time without a mark
//	         rtt      2 s
func (k *ecn) speed(now, rtt time.Duration, rate, bursts float64) float64 {
	exact := bursts > 0 && k.exact(now, bursts)
	near := bursts > 0 && rate > float64(earlyFill*bursts) || !exact && rate > earlyNear*float64(k.top)
	calm, faster := now-max(k.last, k.bound)-rtt, earlyFaster
	if near {
		calm, faster = calm-nearHolds, nearFaster
	}
	speed := earlyGrow + float64(faster*max(0, calm).Seconds())
	if exact {
		speed = max(speed, float64(aloneSlope*(earlyFill*bursts/rate-1)))
	}
	return min(speed, earlyMost)
}

// cut is by what share the rate falls now.
func (k *ecn) cut(now, rtt time.Duration, rate float64) float64 {
	if k.last == 0 || k.packets == 0 || now-k.round < max(rtt, leastRound) {
		return 0
	}
	marked := float64(k.marked) / float64(k.packets)
	k.share += float64((marked - k.share) * markGain)
	k.round, k.marked, k.packets = now, 0, 0
	if marked == 0 {
		k.clean = true
		return 0
	}
	if k.clean {
		k.clean, k.top = false, float32(rate)
	}
	return k.share / 2 * min(max(rate/markWhole, markLeast), markMost)
}
