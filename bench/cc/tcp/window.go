package tcp

import (
	"math"
	"time"
)

// Algorithm is how a Sender's window grows and shrinks.
type Algorithm uint8

// The algorithms.
const (
	Reno  Algorithm = iota // RFC 5681
	Cubic                  // RFC 9438, with fast convergence
)

// String returns "reno" or "cubic".
func (a Algorithm) String() string { return [...]string{"reno", "cubic"}[min(a, Cubic)] }

const (
	initialWindow = 10 // segments, RFC 6928
	minWindow     = 2  // segments that a loss leaves, RFC 5681 (4)

	renoBeta = 0.5 // RFC 5681 (4)

	cubicBeta  = 0.7                                   // RFC 9438 §4.6
	cubicScale = 0.4                                   // C, segments/s³, RFC 9438 §5.1
	cubicAlpha = 3 * (1 - cubicBeta) / (1 + cubicBeta) // of its Reno-friendly region, §4.3
)

// window is the congestion window, in segments.
type window struct {
	algorithm Algorithm
	size      float64
	threshold float64 // of slow start

	// Of CUBIC, RFC 9438 §4.1.
	epoch  time.Duration // when this phase of congestion avoidance began
	began  bool
	origin float64 // W_max: where the plateau of the curve lies
	reach  float64 // K: seconds from the epoch to the plateau
	prior  float64 // cwnd_prior: the window at the last loss
	reno   float64 // W_est: what Reno would have
}

func newWindow(a Algorithm) window {
	return window{algorithm: a, size: initialWindow, threshold: math.Inf(1)}
}

// grow notes acknowledged segments outside of fast recovery.
func (w *window) grow(now, roundTrip time.Duration, acked int) {
	n := float64(acked)
	if w.size < w.threshold {
		free := min(n, w.threshold-w.size)
		w.size += free
		n -= free
	}
	switch {
	case n <= 0:
	case w.algorithm == Reno:
		w.size += n / w.size
	default:
		w.cubic(now, roundTrip, n)
	}
}

// cubic follows RFC 9438 §4.2 to §4.5.
func (w *window) cubic(now, roundTrip time.Duration, acked float64) {
	if !w.began {
		w.began, w.epoch, w.reno = true, now, w.size
		w.reach = 0
		if w.origin > w.size {
			w.reach = math.Cbrt((w.origin - w.size) / cubicScale)
		} else {
			w.origin = w.size
		}
	}
	alpha := 1.0
	if w.reno < w.prior {
		alpha = cubicAlpha
	}
	w.reno += alpha * acked / w.size
	if w.curve(now-w.epoch) < w.reno {
		w.size = max(w.size, w.reno)
		return
	}
	target := min(max(w.curve(now-w.epoch+roundTrip), w.size), 1.5*w.size)
	w.size += (target - w.size) / w.size * acked
}

// curve is W_cubic: the window at a time after the epoch.
func (w *window) curve(at time.Duration) float64 {
	t := at.Seconds() - w.reach
	return cubicScale*t*t*t + w.origin
}

// shrink answers a loss, once a round trip.
func (w *window) shrink() {
	w.threshold = w.reduced()
	w.size = w.threshold
}

// collapse answers a timeout.
func (w *window) collapse() {
	w.threshold = w.reduced()
	w.size = 1
}

func (w *window) reduced() float64 {
	if w.algorithm == Reno {
		return max(w.size*renoBeta, minWindow)
	}
	w.began = false
	w.prior = w.size
	if w.size < w.origin { // fast convergence: another flow is taking its share, §4.7
		w.origin = w.size * (1 + cubicBeta) / 2
	} else {
		w.origin = w.size
	}
	return max(w.size*cubicBeta, minWindow)
}
