package bwe

import "time"

// What is sent is counted in tenths of a second, of which seven that are over count: a frame more or less at the edges is
// then 5 %, and an encoder that follows a target is seen soon.
const (
	sendBucket  = 100 * time.Millisecond
	sendBuckets = 8
)

// sending measures what leaves.
type sending struct {
	newest  int64 // number of the bucket of now
	buckets [sendBuckets]int32
}

func (s *sending) sent(now time.Duration, size int) {
	s.turn(now)
	s.buckets[s.newest%sendBuckets] += int32(size)
}

func (s *sending) turn(now time.Duration) {
	n := int64(max(now, 0) / sendBucket)
	if n-s.newest >= sendBuckets {
		s.newest, s.buckets = n, [sendBuckets]int32{}
		return
	}
	for s.newest < n {
		s.newest++
		s.buckets[s.newest%sendBuckets] = 0
	}
}

// rate is bits a second over the last buckets that are over.
func (s *sending) rate(now time.Duration) float64 {
	s.turn(now)
	sum := -int64(s.buckets[s.newest%sendBuckets])
	for _, b := range s.buckets {
		sum += int64(b)
	}
	return float64(sum*8) / (float64(sendBuckets-1) * sendBucket.Seconds())
}
