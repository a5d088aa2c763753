package measure

import (
	"math"
	"time"
)

// Band is the width of the sound that a listener expects, which sets the scale of R.
type Band int

// The bands, each with its own Recommendation.
const (
	Narrowband Band = iota // 300 to 3,400 Hz: ITU-T G.107 (06/2015)
	Wideband               // 50 to 7,000 Hz: ITU-T G.107.1 (06/2019)
	Fullband               // 20 to 20,000 Hz: ITU-T G.107.2 (06/2019)
)

const (
	// bestNarrowband is R with every parameter at its default, G.107 §7.7: Ro − Is of a quiet room and good telephones.
	bestNarrowband = 93.2
	// bestWideband and bestFullband are Ro of G.107.1 §7.2 and G.107.2 §7.2; Is is 0 there.
	bestWideband = 129.0
	bestFullband = 148.0
	// lossWorst is what losing everything costs: 95 in G.107 §7.5 and G.107.1 §7.5, 132 in G.107.2 §7.5.
	lossWorst         = 95.0
	lossWorstFullband = 132.0
	// scaleWideband and scaleFullband bring R to the narrowband scale before it becomes a MOS: annex A of both.
	scaleWideband = 1.29
	scaleFullband = 1.48

	// delayNoticed is mT, the delay that nobody notices, and delaySensitivity sT, both for people who talk as usual: G.107
	// table 1.
	delayNoticed     = 100 * time.Millisecond
	delaySensitivity = 1.0
	// delayWorst is the factor of Idd in G.107 §7.4.
	delayWorst = 25.0

	// burstLongest bounds the burst ratio: longer holes are interruptions, which the E-model does not describe.
	burstLongest = 8.0
)

// Opus has no impairment factors of the ITU. These are practice: what web applications use, not the outcome of a
// listening test.
const (
	// opusIeAt and opusIeFall make Ie = 55 − 4.6·ln(bit/s) on the narrowband scale, within 0 and 30: 7.3 at 32 kbit/s.
	opusIeAt    = 55.0
	opusIeFall  = 4.6
	opusIeWorst = 30.0
	// OpusBpl is how well Opus bears concealed packets. 10 is practice without in-band redundancy; that and retransmission are
	// seen already in the share of sound that had to be concealed.
	OpusBpl = 10.0
	// OpusLookahead is what the encoder looks ahead in its usual mode: 6.5 ms (RFC 6716 §2.1.5 and §4.2.1: 5 and 1.5).
	OpusLookahead = 6500 * time.Microsecond
)

// Voice is what the E-model rates: R = Ro − Is − Idd − Ie,eff, with perfect cancelling of echo (Idte and Idle 0), as
// browsers and telephones do, and no advantage factor.
type Voice struct {
	Band Band
	// Ie is the codec's impairment without loss, and Bpl its robustness, above 0, on the band's own scale; Bpl 0: 4.3, G.711
	// without concealment, the default of G.107.
	Ie, Bpl float64
	// Loss is the share lost, 0 to 1. Feed it with what a listener hears: the share concealed, not packets.
	Loss float64
	// Burst is BurstR: mean length of the runs that were lost ÷ that of random loss; below 1 counts as 1. See BurstRatio.
	Burst float64
	// Delay is from mouth to ear.
	Delay time.Duration
}

// R is the transmission rating: 0 to 93.2, 129 or 148 by band.
func (v Voice) R() float64 {
	best, worst, scale := bestNarrowband, lossWorst, 1.0
	switch v.Band {
	case Narrowband:
	case Wideband:
		best = bestWideband
	case Fullband:
		// A choice, on the careful side: a delay weighs in a call of full band what it weighs on the telephone, so 1.48 times
		// as much on this scale.
		best, worst, scale = bestFullband, lossWorstFullband, scaleFullband
	}
	return min(best, max(0, best-scale*v.delayImpairment()-v.lossImpairment(worst)))
}

// MOS is how people would rate listening and talking, on average: 1 to 4.5 (G.107 annex B; the wider bands scale R first).
func (v Voice) MOS() float64 {
	switch r := v.R(); v.Band {
	case Wideband:
		return mos(r / scaleWideband)
	case Fullband:
		return mos(r / scaleFullband)
	default:
		return mos(r)
	}
}

// mos is G.107 annex B. Its cubic dips below 1 between R 0 and 6.5.
func mos(r float64) float64 {
	switch {
	case r <= 0:
		return 1
	case r >= 100:
		return 4.5
	}
	return min(4.5, max(1, 1+0.035*r+r*(r-60)*(100-r)*7e-6)) // rounding would pass 4.5 right below 100
}

// delayImpairment is Idd of G.107 §7.4.
func (v Voice) delayImpairment() float64 {
	if v.Delay <= delayNoticed {
		return 0
	}
	x := math.Log2(float64(v.Delay) / float64(delayNoticed))
	n := 6 * delaySensitivity
	return delayWorst * (math.Pow(1+math.Pow(x, n), 1/n) - 3*math.Pow(1+math.Pow(x/3, n), 1/n) + 2)
}

// lossImpairment is Ie,eff of G.107 §7.5: Ie + (95 − Ie) · Ppl ÷ (Ppl ÷ BurstR + Bpl), Ppl in percent.
func (v Voice) lossImpairment(worst float64) float64 {
	ppl := 100 * min(1, max(0, v.Loss))
	bpl := v.Bpl
	if bpl <= 0 {
		bpl = 4.3
	}
	// Long bursts of heavy loss would cost more than losing everything: beyond what the formula was made for.
	part := min(1, ppl/(ppl/min(burstLongest, max(1, v.Burst))+bpl))
	return v.Ie + (worst-v.Ie)*part
}

// BurstRatio is BurstR of G.107: the mean length of the lost runs, in packets, over the mean length that random loss of
// the same share would have, 1 ÷ (1 − share).
func BurstRatio(meanRun, share float64) float64 {
	return max(1, meanRun*(1-min(1, max(0, share))))
}

// OpusIe is the impairment of Opus at a rate in bit/s on the full band's scale. Practice, not ITU: see the constants.
func OpusIe(rate float64) float64 {
	ie := opusIeWorst
	if rate > 1 {
		ie = opusIeAt - opusIeFall*math.Log(rate)
	}
	return scaleFullband * min(opusIeWorst, max(0, ie))
}
