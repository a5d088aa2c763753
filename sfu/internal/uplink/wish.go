package uplink

import (
	"time"

	"github.com/tolkyn/tolkyn/internal/seq"
)

const (
	// 500 ms: the first wish after that much quiet goes at once and later joiners share its keyframe; at most 2 a second,
	// for a keyframe costs the publisher as much as half a second of ordinary frames.
	keyframeInterval = 500 * time.Millisecond

	// 3 s: after that without a keyframe the publisher is muted or gone, and whoever still wants one asks again.
	keyframePatience = 3 * time.Second
)

// 5 %: a request in ten finds no answer, and a voice has time for three at most. On a round trip of 150 ms and more it is waited for
// longer (patience), and what is sent twice for nothing fills a path that is thin, as those are.
const (
	eagerAt   = 0.05
	eagerTrip = 150 * time.Millisecond
)

// eager reports whether a voice's packets are asked for as often as it may help: where many are lost, and no copies come.
func (u *Uplink) eager() bool {
	return !u.cfg.Codec.Video() && u.report.loss >= eagerAt && u.copies.reach == 0 && u.rtt.gate() < eagerTrip
}

// keyframeWish merges everybody's wishes for a keyframe into few requests.
type keyframeWish struct {
	request bool          // asked for since the last poll
	open    bool          // asked for and not yet come
	until   time.Duration // when an open wish is dropped
	sent    time.Duration // when the last request went
	ever    bool          // a request has gone
}

func (w *keyframeWish) fulfilled() { w.request, w.open = false, false }

// poll reports whether a request is due, and when to look again (0: no need).
func (w *keyframeWish) poll(now, rtt time.Duration) (due bool, next time.Duration) {
	if w.request {
		w.request, w.open, w.until = false, true, now+keyframePatience
	}
	if !w.open {
		return false, 0
	}
	if now >= w.until {
		w.open = false
		return false, 0
	}
	// The answer cannot be here sooner than a round trip: a repeat before that buys a second keyframe.
	interval := max(keyframeInterval, rtt+rtt/2)
	if !w.ever || now-w.sent >= interval {
		w.sent, w.ever = now, true
		return true, min(now+interval, w.until)
	}
	return false, min(w.sent+interval, w.until)
}

// Output is what the uplink wants sent to its publisher now.
type Output struct {
	NACK []uint16      // sequence numbers to ask for, ascending on the wire (they may wrap); valid until the next Poll
	PLI  bool          // ask for a keyframe (RFC 4585 §6.3.1)
	Next time.Duration // when to poll again if nothing arrives before; 0: no need
}

// SetRTT notes the round trip to the publisher as its STUN checks measure it.
func (u *Uplink) SetRTT(rtt time.Duration) { u.rtt.stun = rtt }

// RequestKeyframe wishes for a keyframe. Wishes are merged: the first after 500 ms of quiet is sent by the next Poll,
// then at most 2 a second until a keyframe comes or 3 s after the last wish. Audio has none.
func (u *Uplink) RequestKeyframe(now time.Duration) {
	if u.cfg.Codec.Video() {
		u.wish.request = true
		u.wish.until = now + keyframePatience
	}
}

// Poll returns what to ask the publisher for. Call it after a batch of packets was handed in and at Output.Next.
func (u *Uplink) Poll(now time.Duration) Output {
	u.output = u.output[:0]
	var out Output
	if len(u.missing.list) > 0 {
		next, givenUp := u.missing.poll(now, u.rtt.gate(), u.patience(), u.eager(), u.ask)
		u.giveUp(now, givenUp)
		out.Next = next
	}
	rtt, _ := u.rtt.value()
	due, next := u.wish.poll(now, rtt)
	if due {
		u.stats.KeyframesAsked++
	}
	if next != 0 && (out.Next == 0 || next < out.Next) {
		out.Next = next
	}
	out.NACK, out.PLI = u.output, due
	return out
}

// patience is how long a packet is asked for: on long paths 2.5 round trips, so that a second try can be answered; never beyond the
// history of pictures, nor what a voice that is repaired so is waited for.
func (u *Uplink) patience() time.Duration {
	most := audioMost
	switch {
	case u.cfg.Codec.Video() && !u.cfg.NACK:
		return u.playout
	case u.cfg.Codec.Video():
		most = videoHistory
	}
	rtt, _ := u.rtt.value()
	return min(max(u.playout, rtt*5/2), most)
}

// StopNACK has nothing asked for again: see Config.NACK for when that is not safe.
func (u *Uplink) StopNACK() { u.cfg.NACK = false }

func (u *Uplink) ask(s seq.Extended) {
	if !u.cfg.NACK {
		return
	}
	u.stats.NACKed++
	u.output = append(u.output, (s - u.shift).Uint16())
}

// giveUp counts packets that nobody will see any more. Decoders stand still at such a hole for 3 s before they ask for a
// keyframe, so the uplink asks itself.
func (u *Uplink) giveUp(now time.Duration, packets int) {
	if packets > 0 {
		u.stats.GivenUp += uint64(packets)
		u.RequestKeyframe(now)
	}
}
