package measure

import (
	"slices"
	"sort"
	"time"
)

// maxSlices bounds a stream's timeline to a day; what comes later is counted in the last second of it.
const maxSlices = 24 * 3600

// second is what one second of the run's clock brought.
type second struct {
	packets, bytes int64
	expected, came int64 // of the numbers that were due in it; came also counts those that came later
	upTo           int64 // the largest number that was due by its end
	p50, p95, max  float64

	played, concealed int64 // samples
	frames            int64
	frozen            time.Duration
}

// slicer keeps a stream's seconds. Percentiles of a second are exact: its delays are kept until it is over.
type slicer struct {
	started bool
	from    time.Duration // when the first of them begins to be measured
	first   int64         // second of the run's clock
	all     []second
	delays  []time.Duration // of the newest one
}

// at returns the second that now lies in; time that ran backwards counts as the newest one.
func (s *slicer) at(now time.Duration) *second {
	i := int64(now / time.Second)
	if !s.started {
		s.started, s.from, s.first = true, now, i
		s.all = append(s.all, second{})
	}
	for newest := s.first + int64(len(s.all)) - 1; newest < i && len(s.all) < maxSlices; newest++ {
		s.sum()
		s.all = append(s.all, second{upTo: s.newest().upTo})
	}
	return s.newest()
}

func (s *slicer) newest() *second { return &s.all[len(s.all)-1] }

// expectNew: by this second count more numbers were due, the newest being n.
func (s *slicer) expectNew(n, count int64) {
	s.newest().upTo = n
	s.newest().expected += count
}

// expect: count numbers from n on were due in the second that n belongs to.
func (s *slicer) expect(n, count int64) { s.due(n).expected += count }

// got: number n came, in time or later.
func (s *slicer) got(n int64) { s.due(n).came++ }

// due is the second in which number n was due. Most are of the newest one or the one before.
func (s *slicer) due(n int64) *second {
	last := len(s.all) - 1
	if last == 0 || n > s.all[last-1].upTo {
		return &s.all[last]
	}
	return &s.all[sort.Search(last, func(i int) bool { return s.all[i].upTo >= n })]
}

// delay notes one in the newest second.
func (s *slicer) delay(now, d time.Duration) {
	s.at(now)
	if len(s.delays) < window {
		s.delays = append(s.delays, max(0, d))
	}
}

// freeze spreads a frozen span over its seconds.
func (s *slicer) freeze(from, to time.Duration) {
	s.at(to)
	for i := range s.all {
		begin := time.Duration(s.first+int64(i)) * time.Second
		if cut := min(to, begin+time.Second) - max(from, begin); cut > 0 {
			s.all[i].frozen += cut
		}
	}
}

// sum closes the newest second.
func (s *slicer) sum() {
	if len(s.delays) == 0 {
		return
	}
	slices.Sort(s.delays)
	at := func(p int) float64 { return ms(s.delays[max(0, (p*len(s.delays)+99)/100-1)]) }
	newest := s.newest()
	newest.p50, newest.p95, newest.max = at(50), at(95), at(100)
	s.delays = s.delays[:0]
}

func (s *slicer) clone() slicer {
	c := *s
	c.all, c.delays = slices.Clone(s.all), slices.Clone(s.delays)
	return c
}

// slices returns the timeline up to end. The first and the last second may be measured in part.
func (s *slicer) slices(end time.Duration) []Slice {
	if !s.started {
		return nil
	}
	c := s.clone() // the meter goes on
	s = &c
	s.at(end)
	s.sum()
	out := make([]Slice, 0, len(s.all))
	for i := range s.all {
		if one, ok := s.slice(i, end); ok {
			out = append(out, one)
		}
	}
	return out
}

// slice is the i-th second, measured up to end; false where nothing of it has been.
func (s *slicer) slice(i int, end time.Duration) (Slice, bool) {
	v := s.all[i]
	begin := time.Duration(s.first+int64(i)) * time.Second
	covered := (min(end, begin+time.Second) - max(s.from, begin)).Seconds()
	if covered <= 0 {
		return Slice{}, false // the run had ended
	}
	return Slice{
		At: begin.Seconds(), Packets: v.packets, Bitrate: float64(v.bytes) * 8 / covered,
		LossShare: share(v.expected-v.came, v.expected), DelayP50: v.p50, DelayP95: v.p95, DelayMax: v.max,
		Concealed: share(v.concealed, v.played), FPS: float64(v.frames) / covered, Frozen: min(1, v.frozen.Seconds()/covered),
	}, true
}

// latest is the last second that is over at now; zero before the first.
func (s *slicer) latest(now time.Duration) Slice {
	if !s.started {
		return Slice{}
	}
	s.at(now)
	if len(s.all) < 2 {
		return Slice{}
	}
	one, _ := s.slice(len(s.all)-2, now)
	return one
}

func share(part, whole int64) float64 {
	if whole <= 0 {
		return 0
	}
	return float64(part) / float64(whole)
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
