package tcp

import (
	"math/rand/v2"
	"time"
)

// RFC 8867 section 5.7.
const (
	minFile  = 30_000 // bytes
	maxFile  = 50_000
	meanIdle = 10 * time.Second

	headers = 40 // of a segment, IP and TCP: the rest of it is the file's
)

// Short fetches files of 30 to 50 KB, each over a new connection, with pauses of 10 s on average. One goroutine.
type Short struct {
	sender *Sender
	random *rand.Rand
	resume time.Duration // when the next file begins; unused while one is under way
	idle   bool
	files  int
}

// NewShort returns a user who begins with a file, or with a pause. Segment numbers go on from file to file, so that one
// Receiver serves them all.
func NewShort(now time.Duration, a Algorithm, busy bool, seed uint64) *Short {
	s := &Short{
		sender: New(Config{Algorithm: a}), random: rand.New(rand.NewPCG(seed, 0x73686f7274)),
		resume: now, idle: true,
	}
	if !busy {
		s.pause(now)
	}
	return s
}

// Files is how many have come whole.
func (s *Short) Files() int { return s.files }

// Stats returns the counters of all files together.
func (s *Short) Stats() Stats { return s.sender.stats }

// Next is as Sender.Next, and when the next file begins.
func (s *Short) Next() time.Duration {
	if s.idle {
		return s.resume
	}
	return s.sender.Next()
}

// Poll is as Sender.Poll.
func (s *Short) Poll(now time.Duration) (Segment, bool) {
	if s.idle {
		if now < s.resume {
			return Segment{}, false
		}
		s.begin()
	}
	return s.sender.Poll(now)
}

// begin opens a new connection: nothing is known of the path but where the numbers stand.
func (s *Short) begin() {
	old := s.sender
	bytes := minFile + s.random.IntN(maxFile-minFile+1)
	segments := (bytes + old.cfg.Size - headers - 1) / (old.cfg.Size - headers)
	s.sender = New(Config{Algorithm: old.cfg.Algorithm, Size: old.cfg.Size, Segments: old.first + int64(segments)})
	s.sender.first, s.sender.stats = old.first, old.stats
	s.idle = false
}

// Handle is as Sender.Handle.
func (s *Short) Handle(now time.Duration, a Ack) {
	s.sender.Handle(now, a)
	if !s.idle && s.sender.Done() {
		s.files++
		s.pause(now)
	}
}

func (s *Short) pause(now time.Duration) {
	s.idle, s.resume = true, now+time.Duration(s.random.ExpFloat64()*float64(meanIdle))
}
