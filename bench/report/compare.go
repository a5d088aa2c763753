package report

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/tolkyn/tolkyn/bench/measure"
)

// Comparison is two servers, or two versions of one, measured in turn: A B A B. Run i of A and run i of B are a pair: they
// ran one after the other, so what the machine did that day is the same for both and falls out of their ratio.
type Comparison struct {
	Schema  int          `json:"schema"` // Schema, as of a Report
	A       Side         `json:"a"`
	B       Side         `json:"b"`
	Pairs   int          `json:"pairs"`
	Metrics []Difference `json:"metrics"`
	// Warnings are what makes the two sides less alike than a comparison wants.
	Warnings []string `json:"warnings"`
}

// Side is one of the two.
type Side struct {
	Name   string `json:"name"`
	Runs   int    `json:"runs"`
	Passed int    `json:"passed"` // of them
	// Last is the newest run: its timelines and recordings stand for the side.
	Last Report `json:"last"`
}

// Difference is one metric of both sides.
type Difference struct {
	Name   string `json:"name"`
	Unit   string `json:"unit"`
	Higher bool   `json:"higher_is_better"`
	A      Spread `json:"a"`
	B      Spread `json:"b"`
	// Ratio is B ÷ A, pair by pair. Its Values are fewer than the pairs, or none, where a value was 0 or missing.
	Ratio Spread `json:"ratio"`
	// Better is "A" or "B" where the runs allow saying so, "same" where the difference is too small for a person or a
	// budget to notice, empty where the spread is too great or the runs are too few.
	Better string `json:"better"`
	// Why says in words what Better rests on.
	Why string `json:"why"`
}

// Spread is a metric over runs.
type Spread struct {
	Values []float64 `json:"values"` // in the order of the runs
	Min    float64   `json:"min"`
	Median float64   `json:"median"` // of an even number: the mean of the middle two
	Max    float64   `json:"max"`
}

func spreadOf(values []float64) Spread {
	if len(values) == 0 {
		return Spread{Values: []float64{}}
	}
	s := slices.Sorted(slices.Values(values))
	n := len(s)
	return Spread{Values: values, Min: s[0], Median: (s[(n-1)/2] + s[n/2]) / 2, Max: s[n-1]}
}

// metric is one figure that comparisons look at.
type metric struct {
	name, unit string
	higher     bool // is better
	// step is the smallest difference worth a word: below it people hear, see and pay the same.
	step  float64
	value func(Report) (float64, bool) // false: this run has none
}

// metrics in the order of what a person notices first.
func metrics() []metric {
	audio := func(get func(Total) float64) func(Report) (float64, bool) {
		return func(r Report) (float64, bool) { return get(r.Audio), r.Audio.Streams > 0 }
	}
	video := func(get func(Total) float64) func(Report) (float64, bool) {
		return func(r Report) (float64, bool) { return get(r.Video), r.Video.Streams > 0 }
	}
	// Light callers have no playout: what it would tell is missing and not 0.
	played := func(get func(Total) measure.Distribution, value func(measure.Distribution) float64) func(Report) (float64, bool) {
		return func(r Report) (float64, bool) { d := get(r.Audio); return value(d), d.Count > 0 }
	}
	p95 := func(d measure.Distribution) float64 { return d.P95 }
	server := func(get func(Cost) float64) func(Report) (float64, bool) {
		return func(r Report) (float64, bool) {
			v := get(r.ServerCost)
			return v, r.Server.Local && v > 0
		}
	}
	volume := func(get func(up, down measure.Distribution) measure.Distribution) func(Report) (float64, bool) {
		return func(r Report) (float64, bool) { d := get(perMinute(r.Callers)); return d.Max / 1000, d.Count > 0 }
	}
	setup := func(get func(Report) float64) func(Report) (float64, bool) {
		return func(r Report) (float64, bool) { v := get(r); return v, v > 0 }
	}
	return []metric{
		{"audio MOS, worst 5 %", "", true, 0.05, audio(func(t Total) float64 { return t.MOSWorst })},
		{"audio MOS, median", "", true, 0.05, audio(func(t Total) float64 { return t.MOS.P50 })},
		{"audio concealed, p95", "%", false, 0.1, played(func(t Total) measure.Distribution { return t.Concealed }, func(d measure.Distribution) float64 { return d.P95 * 100 })},
		{"audio concealed, worst 10 s", "%", false, 0.1, played(func(t Total) measure.Distribution { return t.Window }, func(d measure.Distribution) float64 { return d.Max * 100 })},
		{"audio, longest hole", "ms", false, 20, played(func(t Total) measure.Distribution { return t.Hole }, func(d measure.Distribution) float64 { return d.Max })},
		{"audio loss after repair, p95", "%", false, 0.1, audio(func(t Total) float64 { return t.After.P95 * 100 })},
		{"audio delay, p50", "ms", false, 1, audio(func(t Total) float64 { return t.Delay.P50 })},
		{"audio delay, p99", "ms", false, 2, audio(func(t Total) float64 { return t.Delay.P99 })},
		{"audio sent to played, p95", "ms", false, 5, played(func(t Total) measure.Distribution { return t.Played }, p95)},
		{"video score, worst 5 %", "", true, 0.05, video(func(t Total) float64 { return t.ScoreP5 })},
		{"video score, median", "", true, 0.05, video(func(t Total) float64 { return t.Score.P50 })},
		{"video frame rate, median", "fps", true, 0.5, video(func(t Total) float64 { return t.FPS.P50 })},
		{"video frozen, p95", "%", false, 0.1, video(func(t Total) float64 { return t.Frozen.P95 * 100 })},
		{"video freezes", "", false, 0.5, video(func(t Total) float64 { return float64(t.Freezes) })},
		{"video loss after repair, p95", "%", false, 0.1, video(func(t Total) float64 { return t.After.P95 * 100 })},
		{"video delay, p50", "ms", false, 1, video(func(t Total) float64 { return t.Delay.P50 })},
		{"video delay, p99", "ms", false, 5, video(func(t Total) float64 { return t.Delay.P99 })},
		{"missing streams", "", false, 0.5, func(r Report) (float64, bool) {
			return float64(r.Audio.Missing + r.Video.Missing), true
		}},
		{"time to first packet, p50", "ms", false, 5, setup(func(r Report) float64 { return firstPacket(r) })},
		{"time to be in the call, p50", "ms", false, 5, setup(func(r Report) float64 { return r.Setup["total"].P50 })},
		{"time to be in the call, p95", "ms", false, 10, setup(func(r Report) float64 { return r.Setup["total"].P95 })},
		{"data up a call-minute, max", "kB", false, 5, volume(func(up, _ measure.Distribution) measure.Distribution { return up })},
		{"data down a call-minute, max", "kB", false, 5, volume(func(_, down measure.Distribution) measure.Distribution { return down })},
		{"server CPU a packet in or out", "ns", false, 20, server(func(c Cost) float64 { return c.PerInAndOutNS })},
		{"server CPU a packet out", "ns", false, 20, server(func(c Cost) float64 { return c.PerReceivedNS })},
		{"server memory a caller", "KiB", false, 16, server(func(c Cost) float64 { return c.MemoryPerCaller / 1024 })},
		{"server drops", "", false, 0.5, func(r Report) (float64, bool) { return float64(r.ServerCost.Drops), r.Server.Local }},
		{"largest load held", "", true, 0.5, func(r Report) (float64, bool) {
			if r.Capacity == nil {
				return 0, false
			}
			return float64(r.Capacity.Largest), true
		}},
	}
}

// firstPacket is the sum of the medians of the steps up to the first packet of media.
func firstPacket(r Report) float64 {
	sum := 0.0
	for _, step := range steps {
		if step == "first_frame" || step == "total" {
			break
		}
		sum += r.Setup[step].P50
	}
	return sum
}

// Compare sets the runs of two sides against each other, in the order in which they ran. More runs of one side than of
// the other count in its spread, but in no pair.
func Compare(a, b []Report) Comparison {
	c := Comparison{Schema: Schema, A: sideOf("A", a), B: sideOf("B", b), Pairs: min(len(a), len(b)), Metrics: []Difference{}}
	for _, m := range metrics() {
		va, vb := valuesOf(m, a), valuesOf(m, b)
		if len(va) == 0 || len(vb) == 0 {
			continue
		}
		d := Difference{Name: m.name, Unit: m.unit, Higher: m.higher, A: spreadOf(va), B: spreadOf(vb)}
		var ratios []float64
		for i := range c.Pairs {
			x, okX := m.value(a[i])
			y, okY := m.value(b[i])
			if okX && okY && x > 0 && y > 0 && !math.IsInf(y/x, 0) {
				ratios = append(ratios, y/x)
			}
		}
		d.Ratio = spreadOf(ratios)
		d.Better, d.Why = better(m, d.A, d.B)
		c.Metrics = append(c.Metrics, d)
	}
	c.Warnings = differences(a, b)
	return c
}

func sideOf(letter string, runs []Report) Side {
	s := Side{Name: letter, Runs: len(runs)}
	if len(runs) == 0 {
		s.Last = settled(Report{})
		return s
	}
	for _, r := range runs {
		if r.Passed {
			s.Passed++
		}
	}
	s.Last = settled(runs[len(runs)-1])
	if kind := s.Last.Server.Kind; kind != "" {
		s.Name = kind
		if s.Last.Server.Version != "" {
			s.Name += " " + s.Last.Server.Version
		}
	}
	return s
}

func valuesOf(m metric, runs []Report) []float64 {
	var out []float64
	for _, r := range runs {
		if v, ok := m.value(r); ok && !math.IsNaN(v) && !math.IsInf(v, 0) {
			out = append(out, v)
		}
	}
	return out
}

// apart is by how many times the wider of the two spreads the sides must be apart for two or three runs of each to be
// believed. With equal sides and normally distributed values the rule speaks in less than 5 % of comparisons; the
// package's test draws 20,000 of each size to show it. From four runs on, standing apart at all is as rare: all of A
// below all of B or above happens by chance in 2 of 70 orders.
var apart = map[int]float64{2: 2, 3: 0.3}

// better says who is better in a metric, and on what ground.
//
// The rule is one of order, not of a distribution that nobody checked: the ranges of the two sides must not meet. It is
// made stricter where runs are few, and says nothing from a single one.
func better(m metric, a, b Spread) (side, why string) {
	if math.Abs(a.Median-b.Median) < m.step {
		return "same", "less than " + unit(m.step, m.unit) + " apart"
	}
	n := min(len(a.Values), len(b.Values))
	if n < 2 {
		return "", "one run of a side says nothing about the spread: run more pairs"
	}
	gap := max(b.Min-a.Max, a.Min-b.Max)
	if gap <= 0 {
		return "", "the runs overlap"
	}
	wider := max(a.Max-a.Min, b.Max-b.Min)
	if need := apart[n]; gap < need*wider {
		return "", fmt.Sprintf("apart, but too little for %d runs of a side: run more pairs", n)
	}
	side = "A"
	if (b.Median > a.Median) == m.higher {
		side = "B"
	}
	return side, fmt.Sprintf("every run of %s is better than every run of the other", side)
}

// differences lists what is not the same on both sides although it should be.
func differences(a, b []Report) []string {
	out := []string{}
	all := slices.Concat(a, b)
	if len(a) != len(b) {
		out = append(out, fmt.Sprintf("A has %s and B %s: those without a partner are in no pair.",
			plural(len(a), "run", "runs"), plural(len(b), "run", "runs")))
	}
	vary := func(of func(Report) string) bool {
		return slices.ContainsFunc(all, func(r Report) bool { return of(r) != of(all[0]) })
	}
	for _, d := range []struct {
		what string
		of   func(Report) string
	}{
		{"The scenarios differ: differences may come from what was played.", func(r Report) string { return r.Scenario.YAML + r.Scenario.Name }},
		{"The seeds differ: the network did not do the same in each run.", func(r Report) string { return fmt.Sprint(r.Scenario.Seed) }},
		{"The machines differ: CPU and delay are not comparable.", func(r Report) string {
			return fmt.Sprint(r.Machine.CPU, r.Machine.Cores, r.Machine.GSO)
		}},
		{"The benches differ in version: they may measure differently.", func(r Report) string { return r.Version }},
	} {
		if len(all) > 0 && vary(d.of) {
			out = append(out, d.what)
		}
	}
	if slices.ContainsFunc(all, func(r Report) bool { return r.Partial }) {
		out = append(out, "Some runs were ended early.")
	}
	if slices.ContainsFunc(all, func(r Report) bool { return r.Bottleneck == "client" }) {
		out = append(out, "In some runs the bench itself gave way first: they understate the server.")
	}
	return out
}

// WriteJSON writes c as one JSON object.
func (c Comparison) WriteJSON(w io.Writer) error {
	b, err := json.MarshalIndent(c, "", " ")
	if err != nil {
		return fmt.Errorf("encode comparison: %w", err)
	}
	if _, err := w.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("write comparison: %w", err)
	}
	return nil
}

// verdict is the comparison in one sentence.
func (c Comparison) verdict() (title, detail string) {
	var a, b, same, open int
	for _, d := range c.Metrics {
		switch d.Better {
		case "A":
			a++
		case "B":
			b++
		case "same":
			same++
		default:
			open++
		}
	}
	switch {
	case a == 0 && b == 0 && open == 0:
		title = "No difference that matters"
	case a == 0 && b == 0:
		title = "These runs do not say who is better"
	case b == 0:
		title = "A is better"
	case a == 0:
		title = "B is better"
	default:
		title = "Each is better in something"
	}
	detail = fmt.Sprintf("%s: A is better in %d, B in %d, %d the same, %d that these runs cannot tell apart. %s.",
		plural(len(c.Metrics), "metric", "metrics"), a, b, same, open, plural(c.Pairs, "pair of runs", "pairs of runs"))
	if a+b > 0 {
		detail += fmt.Sprintf(" Of %d metrics one may differ by chance.", len(c.Metrics))
	}
	return title, detail
}

func unit(v float64, unit string) string {
	if unit == "" {
		return figure(v)
	}
	return figure(v) + " " + unit
}

// show writes a value of the metric: counts as counts.
func (d Difference) show(v float64) string {
	if d.Unit == "" && v == math.Trunc(v) {
		return count(int64(v))
	}
	return figure(v)
}

// WriteText writes the comparison for a terminal of 80 columns; see the function WriteText for colour.
func (c Comparison) WriteText(w io.Writer, colour bool) error {
	t := newTable(w, colour)
	title, detail := c.verdict()
	t.line("%s  %s", t.bold("Tolkyn bench compares"), printable(c.A.Last.Scenario.Name))
	for _, s := range []struct {
		letter string
		side   Side
	}{{"A", c.A}, {"B", c.B}} {
		t.line("  %s  %s  %s", t.bold(s.letter), fit(printable(s.side.Name), 40),
			t.soft(fmt.Sprintf("%s, %d passed", plural(s.side.Runs, "run", "runs"), s.side.Passed)))
	}
	t.line("")
	t.line("%s", t.bold(title))
	for _, line := range wrap(detail, width-2) {
		t.line("  %s", line)
	}
	t.line("")
	t.warnings(c.Warnings)
	t.line("%s%s", t.bold("MEDIANS"), t.soft(fmt.Sprintf("%34s%9s%8s%7s%7s%7s", "A", "B", "B÷A", "min", "max", "better")))
	for _, d := range c.Metrics {
		name := d.Name
		if d.Unit != "" {
			name += ", " + d.Unit
		}
		ratio, low, high := "–", "–", "–"
		if len(d.Ratio.Values) > 0 {
			ratio, low, high = figure(d.Ratio.Median), figure(d.Ratio.Min), figure(d.Ratio.Max)
		}
		who := d.Better
		if who == "" {
			who = "?"
		}
		right := fmt.Sprintf("%9s%9s%8s%7s%7s", d.show(d.A.Median), d.show(d.B.Median), ratio, low, high)
		last := fmt.Sprintf("%7s", who)
		switch d.Better {
		case "A", "B":
			last = t.bold(last)
		default:
			last = t.soft(last)
		}
		t.line("  %s%s%s", fmt.Sprintf("%-30s", fit(name, 30)), right, last)
	}
	t.line("")
	t.line("%s", t.soft("  ratios are pair by pair; ? : the runs overlap or are too few"))
	return t.flush()
}
