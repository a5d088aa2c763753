package uplink

import (
	"slices"
	"time"

	"github.com/tolkyn/tolkyn/internal/seq"
)

const (
	// 10 ms or 2 packets behind the one that showed the gap: Wi-Fi and multi-queue NICs swap neighbours, and a request
	// for a packet already on its way costs a full resend.
	reorderWait    = 10 * time.Millisecond
	reorderPackets = 2

	// 20 ms: below that the gate would be the jitter of the path rather than its length.
	minRTT = 20 * time.Millisecond
	// 100 ms until the first STUN check or resend has told: longer than most paths, short enough for a second try.
	defaultRTT = 100 * time.Millisecond

	// 10 tries: at 50 % loss each way the 10th still leaves 6 % unanswered, more tries only feed a dead link.
	maxTries = 10
	// 3 where each packet is in the next one as well, 1 where it is in two others: at 50 % loss as much comes through in the end, and
	// a packet that brings copies is as large as two or three.
	copyTries, copiesTries = 3, 1

	// 500 ms of frozen picture: a keyframe mends it sooner than one more try (164–200 ms seen in browsers). On longer
	// paths 2.5 round trips, so that a second try can be answered, and never beyond the history.
	videoPlayout = 500 * time.Millisecond
	// 100 ms where nobody may be asked: a packet that late is lost, and a keyframe asked for then ended the freeze after
	// 164–200 ms, against 3 s by the browsers themselves.
	unaskedPlayout = 100 * time.Millisecond
	// 400 ms: the longest browsers' jitter buffers were seen to wait for a NACKed voice packet is half of it.
	audioPlayout = 400 * time.Millisecond
	// 800 ms: jitter.Config.Patience.
	audioMost = 800 * time.Millisecond

	// 256 packets, a second of video at 2.5 Mbit/s: a keyframe costs less than resending a larger hole.
	maxMissing = 256
)

// gap is one packet being asked for.
type gap struct {
	seq      seq.Extended
	since    time.Duration // when its absence showed
	due      time.Duration // when to ask (again)
	asked    time.Duration // when it was last asked for
	interval time.Duration // to the next request
	after    uint64        // value of arrived from which it is due in any case
	tries    uint8
}

// missing lists the packets being asked for, ascending and at most maxMissing.
type missing struct {
	list    []gap
	arrived uint64 // packets that came, in any order
	tries   uint8  // for each at most; 0: maxTries
}

// copies is where a stream's packets bring copies of earlier ones: up to how many packets before, and how long a packet lasts.
type copies struct {
	reach int
	lasts time.Duration
}

// add notes the numbers from first up to but excluding end, whose packet has come, as missing since now. What copies may still
// bring is asked for later; eagerly, at once what they cannot. It returns how many had to be given up at once for want of room.
func (m *missing) add(now time.Duration, first, end seq.Extended, c copies, eagerly bool) (givenUp int) {
	n := int(end - first)
	if n > maxMissing {
		givenUp = n + len(m.list)
		m.clear()
		return givenUp
	}
	if over := len(m.list) + n - maxMissing; over > 0 {
		givenUp = over
		m.list = slices.Delete(m.list, 0, over)
	}
	for s := first; s < end; s++ {
		g := gap{seq: s, since: now, due: now + reorderWait, after: m.arrived + 1 + reorderPackets}
		if eagerly {
			g.due = now
		}
		if left := c.reach - int(end-s); left > 0 {
			g.due += time.Duration(left) * c.lasts
			g.after += uint64(left)
		}
		m.list = append(m.list, g)
	}
	return givenUp
}

// remove takes s off the list.
func (m *missing) remove(s seq.Extended) (gap, bool) {
	if len(m.list) == 0 || s > m.list[len(m.list)-1].seq {
		return gap{}, false
	}
	i, ok := slices.BinarySearchFunc(m.list, s, func(g gap, s seq.Extended) int { return int(int64(g.seq - s)) })
	if !ok {
		return gap{}, false
	}
	g := m.list[i]
	m.list = slices.Delete(m.list, i, i+1)
	return g, true
}

// removeBefore takes off the list what comes before s.
func (m *missing) removeBefore(s seq.Extended) {
	i := 0
	for i < len(m.list) && m.list[i].seq < s {
		i++
	}
	m.list = slices.Delete(m.list, 0, i)
}

func (m *missing) clear() { m.list = m.list[:0] }

// poll gives up what has been asked for too often or too long, calls ask for what is due now, and returns the time of the
// next due request or expiry (0: none). Eagerly, twice a round trip and no less often later: where requests and answers are lost as
// likely as anything else, and cost little.
func (m *missing) poll(now, rtt, playout time.Duration, eagerly bool, ask func(seq.Extended)) (next time.Duration, givenUp int) {
	tries := m.tries
	if tries == 0 {
		tries = maxTries
	}
	if eagerly {
		rtt = max(rtt/2, minRTT)
	}
	kept := m.list[:0]
	for _, g := range m.list {
		due := now >= g.due || g.tries == 0 && m.arrived >= g.after
		if now-g.since >= playout || due && g.tries == tries {
			givenUp++
			continue
		}
		if due {
			ask(g.seq)
			if g.tries == 0 {
				g.interval = rtt
			} else if !eagerly {
				g.interval += g.interval / 4 // later tries meet a link that is full more often than one that is lossy
			}
			g.interval = max(g.interval, rtt)
			g.asked, g.due = now, now+g.interval
			g.tries++
		}
		if at := min(g.due, g.since+playout); next == 0 || at < next {
			next = at
		}
		kept = append(kept, g)
	}
	m.list = kept
	return next, givenUp
}

// roundTrip is the time to the publisher and back: the lower of what STUN checks and answered NACKs say.
type roundTrip struct {
	stun   time.Duration
	repair time.Duration // smoothed as in RFC 6298 §2
}

func (r *roundTrip) measure(sample time.Duration) {
	if r.repair == 0 {
		r.repair = sample
		return
	}
	r.repair += (sample - r.repair) / 8
}

// value returns the round trip; ok is false while it is a guess.
func (r *roundTrip) value() (rtt time.Duration, ok bool) {
	switch {
	case r.stun > 0 && r.repair > 0:
		return min(r.stun, r.repair), true
	case r.stun > 0:
		return r.stun, true
	case r.repair > 0:
		return r.repair, true
	}
	return 0, false
}

// gate returns the time before which a request is not repeated.
func (r *roundTrip) gate() time.Duration {
	rtt, ok := r.value()
	if !ok {
		return defaultRTT
	}
	return max(rtt, minRTT)
}
