package cc

import (
	"time"

	"github.com/tolkyn/tolkyn/sfu/bwe"
)

// scripted is a controller that says one rate, asks for one probe, and notes what it is told.
type scripted struct {
	rate     bwe.Bitrate
	probe    bwe.Probe
	probed   bool
	sent     []bwe.Packet
	feedback []time.Duration
	lags     []time.Duration // since the last packet of a report came, by the receiver's clock
	results  []bwe.Result
	wants    bwe.Bitrate
	polls    int
}

func (s *scripted) Sent(_ time.Duration, p bwe.Packet) {
	s.sent = append(s.sent, p)
	s.probed = s.probed || p.Probe != 0
}

func (s *scripted) Feedback(now time.Duration, results []bwe.Result) {
	s.feedback = append(s.feedback, now)
	s.lags = append(s.lags, now-results[len(results)-1].Arrival)
	s.results = append(s.results, results...)
}

func (s *scripted) Wants(_ time.Duration, b bwe.Bitrate) { s.wants = b }

func (s *scripted) Poll(now time.Duration) bwe.Estimate {
	s.polls++
	e := bwe.Estimate{Target: s.rate, Pacing: 2 * s.rate}
	if !s.probed && now >= second {
		e.Probe = s.probe
	}
	return e
}

func (s *scripted) makers() []Maker {
	return []Maker{{Name: "scripted", New: func(time.Duration, bwe.Config) Controller { return s }}}
}

// at is a controller that says one rate.
func at(rate bwe.Bitrate) []Maker {
	return []Maker{{Name: "fixed", New: func(time.Duration, bwe.Config) Controller { return &scripted{rate: rate} }}}
}

// short is a case of ten seconds on 1 Mbit/s.
func short() Case {
	return Case{Name: "short", Duration: 10 * second, Links: constant(queue, bwe.Mbps), Flows: []Flow{one(owd)}, Config: limits, Steady: 3 * second}
}
