package tcp

import "time"

const (
	defaultSize = 1500 // bytes of a full segment, Ethernet's

	// 200 ms over the smoothed round trip, as Linux has it: RFC 6298's second in all would only make TCP weaker here, and without a
	// margin a steady queue ends the timer before fast recovery has had its round trip.
	minMargin      = 200 * time.Millisecond
	maxTimeout     = 60 * time.Second // RFC 6298 (2.5)
	initialTimeout = time.Second      // RFC 6298 (2.1)

	duplicates = 3 // arrivals sent after a segment that say it is lost, RFC 5681 §3.2
)

// Segment is one packet of data.
type Segment struct {
	Number int64 // in segments from the beginning
	Size   int   // bytes on the wire
	Again  bool  // it was sent before
}

// Config of a Sender. The zero value is a Reno flow without end.
type Config struct {
	Algorithm Algorithm
	Segments  int64 // to send in all; 0: without end
	Size      int   // bytes of a segment on the wire; 0: 1500
}

// Stats of a Sender, since it began.
type Stats struct {
	Sent, Again          uint64 // segments; Again is part of Sent
	Recoveries, Timeouts uint64
}

// Sender sends as much as its window allows. One goroutine; time goes in as a value.
type Sender struct {
	cfg    Config
	window window
	stats  Stats

	flight []segment // sent and not acknowledged in order, from first on
	first  int64
	pipe   int // of flight, what is on its way (RFC 6675)
	lost   int // of flight, what has to be sent again

	sends   int64             // counts transmissions
	arrived [duplicates]int64 // the latest transmissions that arrived, latest first

	phase   phase
	recover int64 // the phase ends when all before this has arrived

	smoothed, variation time.Duration // RFC 6298
	timeout             time.Duration
	deadline            time.Duration // of the timer; 0: it does not run
}

type segment struct {
	sent  time.Duration
	order int64 // of its last transmission
	again bool
	sacked,
	lost bool
}

type phase uint8

const (
	open         phase = iota
	recovering         // fast recovery: the window stays
	afterTimeout       // the window grows from 1
)

// New returns a sender that has everything before it.
func New(cfg Config) *Sender {
	if cfg.Size == 0 {
		cfg.Size = defaultSize
	}
	return &Sender{cfg: cfg, window: newWindow(cfg.Algorithm), timeout: initialTimeout}
}

// Window is the congestion window in segments.
func (s *Sender) Window() float64 { return s.window.size }

// Stats returns the counters.
func (s *Sender) Stats() Stats { return s.stats }

// Done says whether everything has been acknowledged; never of a flow without end.
func (s *Sender) Done() bool { return s.cfg.Segments > 0 && s.first >= s.cfg.Segments }

// Next is when Poll has to be called though no acknowledgement has come; 0: no need.
func (s *Sender) Next() time.Duration { return s.deadline }

// Poll returns a segment that may leave now. Call it until it has none: after New, after Handle and at Next.
func (s *Sender) Poll(now time.Duration) (Segment, bool) {
	if s.deadline > 0 && now >= s.deadline {
		s.timedOut()
	}
	if s.pipe >= max(int(s.window.size), 1) {
		return Segment{}, false
	}
	if s.lost > 0 {
		for i := range s.flight {
			if s.flight[i].lost {
				s.lost--
				return s.transmit(now, i), true
			}
		}
	}
	if next := s.first + int64(len(s.flight)); s.cfg.Segments > 0 && next >= s.cfg.Segments {
		return Segment{}, false
	}
	s.flight = append(s.flight, segment{})
	return s.transmit(now, len(s.flight)-1), true
}

func (s *Sender) transmit(now time.Duration, i int) Segment {
	g := &s.flight[i]
	again := g.lost
	s.sends++
	*g = segment{sent: now, order: s.sends, again: again}
	s.pipe++
	s.stats.Sent++
	if again {
		s.stats.Again++
	}
	if s.deadline == 0 {
		s.deadline = now + s.timeout
	}
	return Segment{Number: s.first + int64(i), Size: s.cfg.Size, Again: again}
}

// timedOut is RFC 6298 (5.4) to (5.7): everything that has not arrived goes again.
func (s *Sender) timedOut() {
	s.stats.Timeouts++
	s.deadline = 0 // transmit starts it
	s.timeout = min(2*s.timeout, maxTimeout)
	s.window.collapse()
	s.phase, s.recover = afterTimeout, s.first+int64(len(s.flight))
	s.pipe, s.lost = 0, 0
	for i := range s.flight {
		if g := &s.flight[i]; !g.sacked {
			g.lost = true
			s.lost++
		}
	}
}

// Handle takes an acknowledgement.
func (s *Sender) Handle(now time.Duration, a Ack) {
	acked := 0
	for _, b := range a.Blocks {
		for n := max(b.From, s.first); n < min(b.To, s.end()); n++ {
			acked += s.arrive(now, &s.flight[n-s.first])
		}
	}
	upTo := min(a.Next, s.end())
	if upTo > s.first {
		for i := range s.flight[:upTo-s.first] {
			acked += s.arrive(now, &s.flight[i])
		}
		s.flight = s.flight[:copy(s.flight, s.flight[upTo-s.first:])]
		s.first = upTo
		s.deadline = 0
		if len(s.flight) > 0 {
			s.deadline = now + s.timeout
		}
	}
	if s.phase != open && s.first >= s.recover {
		s.phase = open
	}
	if s.phase != recovering && acked > 0 {
		s.window.grow(now, s.smoothed, acked)
	}
	s.detectLoss()
}

func (s *Sender) end() int64 { return s.first + int64(len(s.flight)) }

// arrive notes that a segment is with the receiver and returns how many are new there: 1 or 0.
func (s *Sender) arrive(now time.Duration, g *segment) int {
	switch {
	case g.sacked:
		return 0
	case g.lost:
		s.lost--
	default:
		s.pipe--
	}
	g.sacked, g.lost = true, false
	if !g.again { // else it is not known which of them came (Karn)
		s.measure(now - g.sent)
	}
	order := g.order
	for i := range s.arrived {
		if order > s.arrived[i] {
			s.arrived[i], order = order, s.arrived[i]
		}
	}
	return 1
}

// measure is RFC 6298 (2.2) to (2.4).
func (s *Sender) measure(roundTrip time.Duration) {
	if s.smoothed == 0 {
		s.smoothed, s.variation = roundTrip, roundTrip/2
	} else {
		s.variation += ((s.smoothed - roundTrip).Abs() - s.variation) / 4
		s.smoothed += (roundTrip - s.smoothed) / 8
	}
	s.timeout = min(s.smoothed+max(4*s.variation, minMargin), maxTimeout)
}

func (s *Sender) detectLoss() {
	limit, found := s.arrived[duplicates-1], false
	for i := range s.flight {
		if g := &s.flight[i]; !g.sacked && !g.lost && g.order < limit {
			g.lost, found = true, true
			s.pipe--
			s.lost++
		}
	}
	if found && s.phase == open {
		s.stats.Recoveries++
		s.window.shrink()
		s.phase, s.recover = recovering, s.end()
	}
}
