package shard

import "time"

// How busy the loop is: a shard is one core at most, and that core can be full while the machine has others to spare. The
// loop notes when it falls asleep and when it wakes; the time between is what it had left. It is wall-clock time: what the
// kernel gave to others while the loop had work counts as busy, since it was not to be had.

// Busy is how long the loop has not been asleep since the shard's start. A loop that is stuck is busy.
func (s *Shard) Busy() time.Duration {
	for {
		awake := s.awake.Load()
		busy := s.busy.Load()
		if s.awake.Load() != awake {
			continue // it fell asleep or woke in between
		}
		if awake != asleep {
			busy += int64(s.now()) - awake
		}
		return time.Duration(busy)
	}
}

// asleep stands in Shard.awake while the loop sleeps.
const asleep = -1

// sleeps notes that the loop has nothing left to do.
func (s *Shard) sleeps(now time.Duration) {
	awake := s.awake.Swap(asleep)
	s.busy.Add(int64(now) - awake)
}

// wakes notes that the loop goes on.
func (s *Shard) wakes(now time.Duration) { s.awake.Store(int64(now)) }
