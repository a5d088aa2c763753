package voice

import (
	"math"
	"slices"
	"time"
)

// result makes figures of what was seen since Case.From.
func (w *world) result() Result {
	last := len(w.marks) - 1
	from, lately, end := w.marks[w.c.From/time.Second], w.marks[last-int(lastly/time.Second)], w.marks[last]
	m := map[Metric]float64{}
	var sum, first, late counted
	var delays []time.Duration
	for i := range end.ears {
		sum.add(end.ears[i], from.ears[i])
		first.add(from.ears[i], counts{})
		late.add(end.ears[i], lately.ears[i])
		delays = append(delays, end.ears[i].delays[len(from.ears[i].delays):]...)
	}
	m[Concealed], m[ConcealedFirst] = sum.concealed(), first.concealed()
	m[Copies], m[CopiesEnd] = ratio(sum.copies, sum.packets), ratio(late.copies, late.packets)
	for by, metric := range map[origin]Metric{byRED: ByRED, byFEC: ByFEC, byResend: ByResend} {
		m[metric] = ratio(sum.by[by], sum.played+sum.made)
	}
	m[Wrong] = sum.wrong
	m[DelayMean], m[DelayP95] = spread(delays)
	w.bytes(m, from, end)
	w.rates(m)
	return Result{Metrics: m, Series: w.series()}
}

// counted is what was counted between two moments, summed up over ears.
type counted struct {
	played, made, packets, copies, wrong float64
	by                                   [origins]float64
}

func (s *counted) add(to, from counts) {
	s.played += float64(to.jitter.Played) - float64(from.jitter.Played)
	s.made += float64(to.jitter.Concealed) - float64(from.jitter.Concealed)
	s.packets += float64(to.packets - from.packets)
	s.copies += float64(to.copies - from.copies)
	s.wrong += float64(to.wrong - from.wrong)
	for i := range s.by {
		s.by[i] += float64(to.by[i] - from.by[i])
	}
}

func (s *counted) concealed() float64 { return max(ratio(s.made, s.played+s.made), 0) }

func spread(delays []time.Duration) (mean, p95 float64) {
	if len(delays) == 0 {
		return 0, 0
	}
	sum := 0.0
	slices.Sort(delays)
	for _, d := range delays {
		sum += d.Seconds() * 1000
	}
	return sum / float64(len(delays)), delays[len(delays)*95/100].Seconds() * 1000
}

// bytes are those of RTP ÷ those without any repair.
func (w *world) bytes(m map[Metric]float64, from, end mark) {
	span := Span{from.at, end.at}
	var up, down, upPlain, downPlain float64
	ear := 0
	for i, c := range w.clients {
		if c.mouth != nil {
			frames, octets := c.mouth.between(span)
			up += float64(end.up[i].media - from.up[i].media)
			upPlain += float64(frames*c.mouth.overhead + octets)
		}
		if len(c.ears) > 0 {
			down += float64(end.down[i].media - from.down[i].media)
		}
		for range c.ears {
			heard := end.ears[ear]
			ear++
			if heard.of != nil {
				frames, octets := heard.of.between(span)
				downPlain += float64(frames*heard.overhead + octets)
			}
		}
	}
	m[UpBytes], m[DownBytes] = ratio(up, upPlain), ratio(down, downPlain)
}

// rates are those of all that is on the wire of the first client, while it talks or is silent, and while the other one is.
func (w *world) rates(m map[Metric]float64) {
	if len(w.clients[0].mouth.voice.Silent) == 0 || len(w.clients) < 2 {
		return
	}
	for _, of := range []struct {
		rate   func(mark) int
		talks  Metric
		silent Metric
	}{
		{func(m mark) int { return m.up[0].all }, UpTalk, UpSilent},
		{func(m mark) int { return m.down[1].all }, DownTalk, DownSilent},
	} {
		var bytes, seconds [2]float64
		for at := 1; at < len(w.marks); at++ {
			// A second that touches a change counts as neither, for what is under way.
			kind := w.clients[0].mouth.stays(time.Duration(at-1)*time.Second, time.Duration(at)*time.Second)
			if kind < 0 || time.Duration(at-1)*time.Second < w.c.From {
				continue
			}
			bytes[kind] += float64(of.rate(w.marks[at]) - of.rate(w.marks[at-1]))
			seconds[kind]++
		}
		m[of.talks], m[of.silent] = ratio(bytes[0]*8/1000, seconds[0]), ratio(bytes[1]*8/1000, seconds[1])
	}
}

// stays says whether a mouth talks (0) or is silent (1) all the time from a second before one moment to another, or changes (-1).
func (m *mouth) stays(from, to time.Duration) int {
	kind := 0
	for _, s := range m.voice.Silent {
		for _, edge := range []time.Duration{s.From, s.To} {
			if from-time.Second < edge && edge < to {
				return -1
			}
		}
		if s.holds(from) {
			kind = 1
		}
	}
	return kind
}

// series are the seconds of all ears.
func (w *world) series() Series {
	n := len(w.marks) - 1
	s := Series{Concealed: make([]float64, n), Copies: make([]float64, n), Delay: make([]float64, n), Down: make([]float64, n)}
	for at := range n {
		from, to := w.marks[at], w.marks[at+1]
		var all counted
		var delays []time.Duration
		for i := range to.ears {
			all.add(to.ears[i], from.ears[i])
			delays = append(delays, to.ears[i].delays[len(from.ears[i].delays):]...)
		}
		down, clients := 0, 0
		for i, c := range w.clients {
			if len(c.ears) > 0 {
				down += to.down[i].media - from.down[i].media
				clients++
			}
		}
		s.Concealed[at], s.Copies[at] = 100*all.concealed(), ratio(all.copies, all.packets)
		s.Down[at] = float64(down) * 8 / 1000 / float64(max(clients, 1))
		s.Delay[at], _ = spread(delays)
		if len(delays) == 0 {
			s.Delay[at] = math.NaN()
		}
	}
	return s
}

func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}
