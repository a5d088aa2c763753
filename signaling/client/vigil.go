package client

import "time"

const (
	// The server is doubted when it has been silent for four times the usual gap between its packets, within these bounds: twenty
	// packets a second of voice, or what is left of them, make it 200 to 350 ms; a room where all are silent, three seconds.
	doubtGaps  = 4
	doubtLeast = 200 * time.Millisecond
	doubtMost  = 3 * time.Second
	// answerMost is the same for answers to checks alone: packets may still come where ours no longer arrive.
	answerMost = 6 * time.Second
	// Who is doubted is asked over UDP again and again, and over TCP once.
	askAgain   = 100 * time.Millisecond
	askPatient = 500 * time.Millisecond // after askHaste questions: both paths are dead
	askHaste   = 20
	// UDP is dead when the server has answered over TCP and neither of this, after silence, over UDP; at 30 % loss each way every
	// other check is answered. Where only answers are missing, packets still come: there is no hurry, and more doubt.
	deadSilence = 500 * time.Millisecond
	deadAsked   = 3
	deadSparse  = 7                      // where a packet comes every deadGap only
	deadGap     = 150 * time.Millisecond // and their absence says little
	deadUplink  = 10
	// After UDP has died it is asked again when holdFirst has passed, twice as long after each death, and taken back when it has
	// answered goodStreak questions in a row, backEvery apart.
	holdFirst  = 10 * time.Second
	holdMost   = 5 * time.Minute
	goodStreak = 5
	backEvery  = 2 * time.Second
)

// order is what vigil wants done.
type order uint8

const (
	rest        order = iota // until the time that comes with it
	askUDP                   // a check over UDP
	askTCP                   // a check over TCP, or a connection for one
	takeTCP                  // UDP is dead
	nominateUDP              // a check over UDP that nominates
	takeUDP                  // UDP lives
)

// vigil decides when UDP is dead and when it lives again. Pure: times count from any moment; the zero value is asleep until
// the first packet.
type vigil struct {
	heard    time.Duration // the newest packet over UDP
	awake    bool
	gap      time.Duration // between packets, usually
	answered time.Duration // the newest answer over UDP

	// In doubt.
	doubted    time.Duration // since; 0: not
	asks       int
	askedAt    time.Duration
	askedTCP   bool
	answerTrip time.Duration // round trip of an answer over TCP in this doubt; 0: none

	// Over TCP.
	hold      time.Duration
	backAt    time.Duration // nothing is asked before
	streak    int
	waiting   bool // for the answer to the newest question
	nominated int
	nominee   bool // a nomination was answered
}

// hear notes a packet over UDP.
func (v *vigil) hear(now time.Duration) {
	if gap := now - v.heard; v.awake {
		v.gap += (gap - v.gap) / 8
	} else {
		v.awake, v.answered = true, now
	}
	v.heard = now
}

// answer notes the answer to a check over UDP.
func (v *vigil) answer(now time.Duration, nominates bool) {
	v.answered = now
	if v.waiting {
		v.waiting = false
		v.streak++
	}
	v.nominee = v.nominee || nominates && v.nominated > 0
}

// answerTCP notes the answer to a check over TCP, which was sent then.
func (v *vigil) answerTCP(now, sent time.Duration) {
	if v.doubted != 0 && sent >= v.doubted {
		v.answerTrip = max(now-sent, time.Millisecond)
	}
}

// back is told when TCP has failed: UDP carries the call again, for there is nothing else.
func (v *vigil) back(now time.Duration) {
	v.calm()
	v.waiting, v.nominated, v.nominee, v.streak = false, 0, false, 0
	v.askedAt = now
}

func (v *vigil) calm() { v.doubted, v.asks, v.askedTCP, v.answerTrip = 0, 0, false, 0 }

// lostTCP notes that the connection has ended over which TCP was asked: in doubt it is asked over another one.
func (v *vigil) lostTCP() { v.askedTCP = false }

// limit is how long silence is nothing special.
func (v *vigil) limit() time.Duration { return min(max(doubtGaps*v.gap, doubtLeast), doubtMost) }

// poll returns what to do now, until it says rest, and then for how long.
func (v *vigil) poll(now time.Duration, overTCP bool) (order, time.Duration) {
	switch {
	case !v.awake:
		return rest, doubtMost
	case overTCP:
		return v.pollTCP(now)
	}
	silent, mute := now-v.heard, now-v.answered
	if silent < v.limit() && mute < answerMost {
		v.calm()
		return rest, min(v.limit()-silent, answerMost-mute)
	}
	if v.doubted == 0 {
		v.doubted = now
	}
	enough := deadAsked
	if v.gap >= deadGap {
		enough = deadSparse
	}
	dead := silent >= deadSilence && v.asks >= enough && now-v.doubted >= v.answerTrip+v.answerTrip/2 || v.asks >= deadUplink && mute >= answerMost
	switch again := v.again(); {
	case !v.askedTCP:
		v.askedTCP = true
		return askTCP, 0
	case v.answerTrip > 0 && dead:
		v.calm()
		v.hold = min(max(2*v.hold, holdFirst), holdMost)
		v.backAt, v.streak, v.waiting, v.nominated, v.nominee = now+v.hold, 0, false, 0, false
		return takeTCP, 0
	case v.asks == 0 || now-v.askedAt >= again:
		v.asks++
		v.askedAt = now
		if v.asks > askHaste {
			v.askedTCP = false // and TCP again
		}
		return askUDP, 0
	default:
		return rest, min(again-(now-v.askedAt), max(deadSilence-silent, askAgain/10))
	}
}

func (v *vigil) again() time.Duration {
	if v.asks > askHaste {
		return askPatient
	}
	return askAgain
}

// pollTCP is poll while TCP carries the call.
func (v *vigil) pollTCP(now time.Duration) (order, time.Duration) {
	every := backEvery
	if v.nominated > 0 {
		every = askAgain
	}
	switch {
	case now < v.backAt:
		return rest, v.backAt - now
	case v.nominee:
		v.heard, v.answered, v.gap = now, now, 0 // what is missing from now on is
		v.back(now)
		return takeUDP, 0
	case v.streak > 0 && now-v.askedAt < every, v.waiting && now-v.askedAt < every, v.nominated > 0 && now-v.askedAt < every:
		return rest, every - (now - v.askedAt)
	}
	v.askedAt = now
	switch {
	case v.nominated == askHaste:
		v.nominated, v.streak = 0, 0
		v.backAt = now + v.hold
		return rest, v.hold
	case v.streak >= goodStreak:
		v.nominated++
		return nominateUDP, 0
	case v.waiting:
		v.streak, v.waiting = 0, false
		v.backAt = now + backEvery
		return rest, backEvery
	}
	v.waiting = true
	return askUDP, 0
}
