package cc

import (
	"time"

	"github.com/tolkyn/tolkyn/sfu/bwe"
)

const (
	// Feedback takes 5 % of the stream, of 68 B a report, as libwebrtc has it.
	feedbackShare    = 0.05
	feedbackBits     = 68 * 8
	minInterval      = 50 * time.Millisecond
	maxInterval      = 250 * time.Millisecond
	arrivalTick      = 250 * time.Microsecond // of transport-wide feedback
	arrivalTickECN   = time.Second / 1024     // of RFC 8888
	arrivals         = 1 << 13                // numbers that are remembered
	feedbackOverhead = 28 + 20                // IP, UDP; RTCP's header and the report's own
)

// receiver notes what arrives and makes reports of it.
type receiver struct {
	seen    []arrival // ring by number
	low     uint64    // the lowest number that is new since the last report
	next    uint64    // the lowest number that no report has covered
	high    uint64    // the highest that arrived
	fresh   bool      // something is new
	offset  time.Duration
	drift   float64
	tick    time.Duration
	bytes   [4]int // received in the last four quarters of a second, for the interval
	quarter int64
}

type arrival struct {
	number uint64
	at     time.Duration // by the receiver's clock
	marked bool
}

// local is the receiver's clock: it began elsewhere and runs a little off.
func (r *receiver) local(now time.Duration) time.Duration {
	at := now + r.offset + time.Duration(float64(now)*r.drift)
	return at - at%r.tick
}

func (r *receiver) arrive(now time.Duration, number uint64, size int, marked bool) {
	r.count(now, size)
	slot := &r.seen[number%arrivals]
	if slot.number == number || number+arrivals <= r.high {
		return // a duplicate, or forgotten
	}
	*slot = arrival{number, r.local(now), marked}
	if !r.fresh || number < r.low {
		r.low = number
	}
	r.fresh = true
	r.high = max(r.high, number)
}

func (r *receiver) count(now time.Duration, size int) {
	for q := int64(now / (time.Second / 4)); r.quarter < q; {
		r.quarter = max(r.quarter+1, q-int64(len(r.bytes)))
		r.bytes[r.quarter%int64(len(r.bytes))] = 0
	}
	r.bytes[r.quarter%int64(len(r.bytes))] += size
}

// interval is when the next report is due.
func (r *receiver) interval(now time.Duration) time.Duration {
	r.count(now, 0)
	sum := 0
	for _, b := range r.bytes {
		sum += b
	}
	if sum == 0 {
		return maxInterval
	}
	seconds := feedbackBits / (feedbackShare * float64(sum*8))
	return min(max(time.Duration(seconds*float64(time.Second)), minInterval), maxInterval)
}

// report makes the results of all numbers since the last report, into results; numbers that came late begin earlier.
func (r *receiver) report(results []bwe.Result) []bwe.Result {
	if !r.fresh {
		return results
	}
	first := min(r.low, r.next)
	if first+arrivals <= r.high {
		first = r.high - arrivals + 1
	}
	for n := first; n <= r.high; n++ {
		slot := r.seen[n%arrivals]
		if slot.number == n {
			results = append(results, bwe.Result{Number: n, Received: true, Arrival: slot.at, Marked: slot.marked})
		} else {
			results = append(results, bwe.Result{Number: n})
		}
	}
	r.next, r.fresh = r.high+1, false
	return results
}

// feedbackSize is a report's on the wire: about two bits a status and a byte a time, or RFC 8888's two bytes.
func feedbackSize(results int, ecn bool) int {
	if ecn {
		return feedbackOverhead + 12 + 2*results
	}
	return feedbackOverhead + (results+6)/7*2 + results
}
