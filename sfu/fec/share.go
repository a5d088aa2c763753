package fec

import "math"

const (
	// mostGroup is the largest group that is worth anything: of more, two are lost too often.
	mostGroup = 64

	// leastGain is the share of losses that parity must bring back at once to be worth its bytes.
	leastGain = 0.1
)

// Share is how many bytes of parity a byte of media should have where a share of packets, 0 to 1, is lost by chance and repair of
// both kinds, parity and what is asked for again, may cost so many bytes a byte of media: as much as leaves enough for what parity
// does not bring back, resends that are lost included. 0: it is not worth it. From about 14 % loss on that is so where repair may
// cost what it takes and 5 points: of the groups that can be paid for, most lose two.
func Share(loss, repair float64) float64 {
	if loss <= 0 || loss >= 1 {
		return 0
	}
	for size := 2.0; size <= mostGroup; size++ {
		back := math.Pow(1-loss, size) // all the others of the group came, and its parity
		if back < leastGain {
			return 0
		}
		if 1/size+loss/(1-loss)*(1-back) <= repair {
			return 1 / size
		}
	}
	return 0
}
