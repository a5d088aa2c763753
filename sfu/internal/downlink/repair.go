package downlink

import (
	"math"
	"time"

	"github.com/tolkyn/tolkyn/internal/seq"
	"github.com/tolkyn/tolkyn/sfu/internal/uplink"
)

const (
	// Without an estimate: a resent byte for two fresh ones. It repairs 30 % loss, and a forged or mad stream of NACKs costs us
	// half of what the subscriber takes anyway.
	budgetShare = 2
	// 16 kB a second beside that, so that the tail of the first keyframe can be repaired; with an estimate once, and what may be
	// saved up for losses that come together.
	budgetFloor = 16 << 10

	// 4 kB, three packets, of what an estimate allows are kept for the base layer: without it the others are no use.
	budgetForBase = 4 << 10

	// A second in ten steps.
	budgetSteps = 10
	budgetStep  = time.Second / budgetSteps

	// 5 points of SetRepair's share are for losses that come in bursts.
	repairSpare = 0.05

	// 1 s: the history's end. What was lost twice by then cannot be had any more.
	resendEnd = time.Second
)

// SetRepair says that the path's rate is estimated, and how many bytes of repair a byte of media may cost: p/(1−p) at a share p
// of loss, and 5 points (pace.RepairShare). From then on the slot bounds how far it falls behind as well; pacing may hold it
// back. 0: there is no estimate.
func (d *Downlink) SetRepair(share float64) {
	b := &d.rtx.budget
	if share <= 0 {
		d.lag.patience = never
		*b = budget{step: b.step}
		return
	}
	if b.share == 0 {
		b.left = budgetFloor
	}
	b.share, b.resends = float32(share), resends(share)
	if d.cfg.Video {
		d.lag.patience = lagBound
	}
}

// resends is how often one packet may be resent, with so large a share of repair: until no more than staysLost of all stay lost.
func resends(share float64) (n uint8) {
	odds := max(share-repairSpare, 0) // p/(1−p)
	loss := odds / (1 + odds)
	left := loss * loss
	for n = 1; n < mostResends && left > staysLost; n++ {
		left *= loss
	}
	return n
}

// worth reports whether it is of use to resend p, which went out with the number. What comes before a keyframe that has gone
// out is of little: decoders go on at that, and where another source began with it, often because the path had no room for the one
// before, or is about to, of none. And what leaves the history within a round trip has been asked for in vain so
// often that a keyframe is the better answer.
func (d *Downlink) worth(now time.Duration, number seq.Extended, p *uplink.Packet) bool {
	b := &d.rtx.budget
	if b.share == 0 || !d.cfg.Video {
		return true
	}
	if d.leaves(now) {
		d.stats.ResendUseless++
		return false
	}
	if number < d.rtx.keyframeAt {
		if b.left < budgetFloor/2 || number < d.ring[d.newest].out {
			d.stats.ResendUseless++
			return false
		}
		return true
	}
	if now-p.Arrival+d.rtt > resendEnd && p.Meta.Layer.Temporal == 0 {
		d.wishKeyframe()
	}
	return true
}

// missed takes note that size bytes that went out with the number were asked for and are not resent, when a decoder needs them.
// As soon as all such behind the last keyframe are more than it took, another one is wished for.
func (d *Downlink) missed(now time.Duration, number seq.Extended, size int) (owed bool) {
	r := &d.rtx
	if r.budget.share == 0 || !d.cfg.Video || number < r.keyframeAt || d.current == nil {
		return false
	}
	if now-r.owedAt > resendEnd {
		r.owed = 0 // of what is gone since: it was mended, or the subscriber has asked for a keyframe himself
	}
	r.owed, r.owedAt = r.owed+size, now
	if r.owed > d.current.KeyframeSize() {
		d.wishKeyframe()
	}
	return true
}

func (d *Downlink) wishKeyframe() {
	if !d.rtx.wish {
		d.rtx.wish = true
		d.stats.KeyframesInstead++
	}
}

// repeated takes note that size bytes go out again with the number.
func (r *rtx) repeated(now time.Duration, number seq.Extended, size int) {
	if r.gates == nil {
		return
	}
	g := &r.gates[number%gates]
	if g.number == number && g.owed {
		r.owed = max(r.owed-size, 0) // 0: a keyframe has come since
	}
	times := uint8(1)
	if g.number == number && now-g.at < resendEnd && g.times < math.MaxUint8 {
		times += g.times
	}
	*g = gate{number: number, at: now, times: times}
}

// keyframe takes note that a keyframe's first packet goes out with the number.
func (r *rtx) keyframe(number seq.Extended) { r.keyframeAt, r.owed, r.wish = number, 0, false }

// budget is what may be resent. With an estimate that is what media has earned; without, it counts media and resent bytes of
// the last second.
type budget struct {
	share, left float32 // share 0: no estimate
	resends     uint8   // of one packet

	step                int64 // the running step's number
	fresh, resent       [budgetSteps]uint32
	freshSum, resentSum uint32
}

func (b *budget) turn(now time.Duration) {
	step := int64(now / budgetStep)
	for n := min(step-b.step, budgetSteps); n > 0; n-- {
		i := (step - n + 1) % budgetSteps
		b.freshSum -= b.fresh[i]
		b.resentSum -= b.resent[i]
		b.fresh[i], b.resent[i] = 0, 0
	}
	b.step = max(b.step, step)
}

func (b *budget) media(now time.Duration, size int) {
	if b.share > 0 {
		b.left = min(b.left+float32(float32(size)*b.share), budgetFloor)
		return
	}
	b.turn(now)
	b.fresh[b.step%budgetSteps] += uint32(size)
	b.freshSum += uint32(size)
}

func (b *budget) resend(now time.Duration, size int, base bool) bool {
	if b.share > 0 {
		return b.spend(size, base)
	}
	b.turn(now)
	if b.resentSum+uint32(size) > b.freshSum/budgetShare+budgetFloor {
		return false
	}
	b.resent[b.step%budgetSteps] += uint32(size)
	b.resentSum += uint32(size)
	return true
}

func (b *budget) spend(size int, base bool) bool {
	least := float32(size)
	if !base {
		least += budgetForBase
	}
	if b.left < least {
		return false
	}
	b.left -= float32(size)
	return true
}
