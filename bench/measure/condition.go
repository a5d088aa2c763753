package measure

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/tolkyn/tolkyn/internal/spell"
)

const (
	// maxCondition bounds a condition's text, in bytes: all metrics with all statistics fit.
	maxCondition = 4096
	// maxNesting bounds parentheses within each other: deeper is no condition that a person wrote.
	maxNesting = 32
)

// Condition is a statement about a run's figures: "loss_p99>0.5% or delay_p99>50ms or mos_p5<4.0". Immutable.
//
//	condition  = and { "or" and }
//	and        = one { "and" one }
//	one        = "(" condition ")" | figure ( "<" | "<=" | ">" | ">=" | "==" ) number [ unit ]
//	figure     = [ "audio_" | "video_" ] metric [ "_" statistic ]
//	statistic  = "p5" | "p50" | "p90" | "p95" | "p99" | "min" | "max" | "mean" | "sum"
//	unit       = "%" | "ms" | "s" | "bit/s" | "kbit/s" | "Mbit/s" | "kB" | "MB"
//
// Metrics lists the metrics. Percentiles of times are over all values of all streams; those of shares, rates and scores
// over streams, nearest rank. A comparison with something that was not measured does not hold, whichever way it points.
type Condition struct {
	text string
	root *node
}

// node is a comparison, or joins others.
type node struct {
	any, all []*node // one of them; none: a comparison

	text     string // as written
	figure   figure
	operator string
	limit    float64 // in the metric's own unit
	unit     string  // as written
	scale    float64 // of the unit: own unit = written × scale
}

// Outcome is what became of a condition.
type Outcome struct {
	Text  string  // the condition, as it was written
	Holds bool    // what it states is so
	Value float64 // of the comparison that decided, in Unit; 0 where it is not known
	Unit  string  // as it was written
	Known bool    // there was something to compare
	// Worst names the stream or caller with the worst value, where one stands out.
	Worst string
	// Decided is the comparison that decided: the first true one of an or, the first false one of an and.
	Decided string
	// Parts are all comparisons, in order; they have no parts.
	Parts []Outcome
}

// String is the condition as it was written.
func (c Condition) String() string { return c.text }

// ParseCondition reads a condition. Errors name the place and the fix.
func ParseCondition(text string) (Condition, error) {
	if len(text) > maxCondition {
		return Condition{}, fmt.Errorf("condition of %d bytes, want at most %d: make several of it", len(text), maxCondition)
	}
	p := parser{text: text}
	root, err := p.or(0)
	if err == nil && p.peek() != "" {
		err = fmt.Errorf("%q stands after the end: join comparisons with and, or", p.rest())
	}
	if err != nil {
		return Condition{}, fmt.Errorf("condition %q: %w", text, err)
	}
	return Condition{text, root}, nil
}

// Evaluate compares it with what was measured. The zero Condition does not hold.
func (c Condition) Evaluate(t *Totals) Outcome {
	if c.root == nil {
		return Outcome{Text: c.text}
	}
	var parts []Outcome
	out := c.root.evaluate(t, &parts)
	out.Text, out.Parts = c.text, parts
	return out
}

func (n *node) evaluate(t *Totals, parts *[]Outcome) Outcome {
	if n.any == nil && n.all == nil {
		out := n.compare(t)
		*parts = append(*parts, out)
		return out
	}
	// All are evaluated, so that all parts have their values. The first that settles it has decided, or else the first.
	settles, of := true, n.any
	if n.all != nil {
		settles, of = false, n.all
	}
	var decided Outcome
	for i, one := range of {
		out := one.evaluate(t, parts)
		if i == 0 || out.Holds == settles && decided.Holds != settles {
			decided = out
		}
	}
	return decided
}

func (n *node) compare(t *Totals) Outcome {
	out := Outcome{Text: n.text, Decided: n.text, Unit: n.unit}
	v, known := n.figure.value(t)
	if !known || math.IsNaN(v) || math.IsInf(v, 0) {
		return out
	}
	out.Known, out.Value, out.Worst = true, v/n.scale, n.figure.worst(t)
	switch n.operator {
	case "<":
		out.Holds = v < n.limit
	case "<=":
		out.Holds = v <= n.limit
	case ">":
		out.Holds = v > n.limit
	case ">=":
		out.Holds = v >= n.limit
	case "==":
		out.Holds = v == n.limit
	}
	return out
}

// parser walks over a condition's words.
type parser struct {
	text string
	at   int // of the next word
}

func (p *parser) or(depth int) (*node, error) {
	return p.join(depth, "or", "||", func() (*node, error) { return p.and(depth) })
}

func (p *parser) and(depth int) (*node, error) {
	return p.join(depth, "and", "&&", func() (*node, error) { return p.one(depth) })
}

func (p *parser) join(depth int, word, sign string, part func() (*node, error)) (*node, error) {
	first, err := part()
	if err != nil {
		return nil, err
	}
	parts := []*node{first}
	for w := strings.ToLower(p.peek()); w == word || w == sign; w = strings.ToLower(p.peek()) {
		p.take()
		next, err := part()
		if err != nil {
			return nil, err
		}
		parts = append(parts, next)
	}
	switch {
	case len(parts) == 1:
		return first, nil
	case word == "or":
		return &node{any: parts}, nil
	}
	return &node{all: parts}, nil
}

func (p *parser) one(depth int) (*node, error) {
	if p.peek() == "(" {
		if depth == maxNesting {
			return nil, fmt.Errorf("more than %d parentheses within each other", maxNesting)
		}
		p.take()
		inner, err := p.or(depth + 1)
		if err != nil {
			return nil, err
		}
		if got := p.take(); got != ")" {
			return nil, fmt.Errorf("%s instead of a closing parenthesis", said(got))
		}
		return inner, nil
	}
	return p.comparison()
}

func (p *parser) comparison() (*node, error) {
	name := p.take()
	begin := p.at - len(name)
	if name == "" || !isName(name[0]) {
		return nil, fmt.Errorf("%s instead of a metric, like loss_p99 or mos_p5", said(name))
	}
	f, ok := parseFigure(name)
	if !ok {
		return nil, unknown(name)
	}
	n := &node{figure: f, operator: p.take()}
	if !slices.Contains([]string{"<", "<=", ">", ">=", "=="}, n.operator) {
		return nil, fmt.Errorf("%s after %s, want one of < <= > >= ==", said(n.operator), name)
	}
	number := p.take()
	limit, err := strconv.ParseFloat(number, 64)
	if err != nil || !isNumber(number[0]) || math.IsInf(limit, 0) {
		return nil, fmt.Errorf("%s after %s %s, want a number", said(number), name, n.operator)
	}
	if unit := p.peek(); isUnit(unit) {
		n.unit = p.take()
	}
	if n.scale, err = f.scale(name, n.unit, limit); err != nil {
		return nil, err
	}
	n.limit = limit * n.scale
	n.text = strings.TrimSpace(p.text[begin:p.at])
	return n, nil
}

// units are those a condition may be written with, and what they are in the metric's own unit.
var units = map[unitKind]map[string]float64{
	plain:    {"": 1},
	fraction: {"%": 0.01, "": 1},
	millis:   {"ms": 1, "s": 1000},
	bitrate:  {"bit/s": 1, "kbit/s": 1e3, "Mbit/s": 1e6},
	volume:   {"kB": 1e3, "MB": 1e6},
}

func (f figure) scale(name, unit string, limit float64) (float64, error) {
	scale, ok := units[f.metric.kind][unit]
	switch {
	case !ok && f.metric.kind == plain:
		return 0, fmt.Errorf("%s has no unit, but %s was given: leave it out", name, unit)
	case !ok:
		return 0, fmt.Errorf("%s with %s: write it in %s", name, said(unit), map[unitKind]string{
			fraction: "%", millis: "ms or s", bitrate: "bit/s, kbit/s or Mbit/s", volume: "kB or MB",
		}[f.metric.kind])
	case f.metric.kind == fraction && unit == "" && math.Abs(limit) > 1:
		return 0, fmt.Errorf("%s is a share: write %g%%, or a number from 0 to 1", name, limit)
	}
	return scale, nil
}

// take returns the next word and moves past it; "" at the end.
func (p *parser) take() string {
	p.at += len(p.text[p.at:]) - len(p.rest())
	word := p.peek()
	p.at += len(word)
	return word
}

// rest is what is left, without space before it.
func (p *parser) rest() string { return strings.TrimLeft(p.text[p.at:], " \t\r\n") }

// peek returns the next word: a name, a number, a unit, an operator, a parenthesis, or one byte of anything else.
func (p *parser) peek() string {
	s := p.rest()
	if s == "" {
		return ""
	}
	run := func(in func(byte) bool) string {
		i := 1
		for i < len(s) && in(s[i]) {
			i++
		}
		return s[:i]
	}
	switch c := s[0]; {
	case isName(c):
		return run(func(c byte) bool { return isName(c) || c >= '0' && c <= '9' || c == '/' })
	case isNumber(c):
		return run(func(c byte) bool { return c >= '0' && c <= '9' || c == '.' })
	case strings.IndexByte("<>=!&|", c) >= 0:
		return run(func(c byte) bool { return strings.IndexByte("=&|", c) >= 0 })
	}
	return s[:1]
}

func isName(c byte) bool   { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' }
func isNumber(c byte) bool { return c >= '0' && c <= '9' || c == '.' || c == '-' || c == '+' }

// isUnit: a word after a number that does not go on with the condition.
func isUnit(w string) bool {
	lower := strings.ToLower(w)
	return w == "%" || w != "" && isName(w[0]) && lower != "and" && lower != "or"
}

func said(word string) string {
	if word == "" {
		return "nothing"
	}
	return strconv.Quote(word)
}

// longestName is more than any name of a metric has: what is longer is near to none.
const longestName = 64

// unknown says which names are near.
func unknown(name string) error {
	names := make([]string, 0, len(metrics))
	var near []string
	base := strings.TrimPrefix(strings.TrimPrefix(name, "audio_"), "video_")
	if i := strings.LastIndexByte(base, '_'); i > 0 {
		if f, ok := parseFigure(base[:i]); ok {
			return fmt.Errorf("%q: %s has no statistic %q; there are p5 p50 p90 p95 p99 min max mean, and sum of what is no delay",
				name, f.metric.Name, base[i+1:])
		}
	}
	for _, m := range metrics {
		names = append(names, m.Name)
		stem := base
		if i := strings.LastIndexByte(base, '_'); i > 0 && !strings.Contains(m.Name, "_") {
			stem = base[:i]
		}
		if len(stem) <= longestName && spell.Distance(stem, m.Name) <= 2 || len(stem) > 2 && (strings.Contains(m.Name, stem) || strings.Contains(stem, m.Name)) {
			near = append(near, m.Name)
		}
	}
	if len(near) > 0 {
		return fmt.Errorf("no metric is called %q; near are %s", name, strings.Join(near, ", "))
	}
	return errors.New("no metric is called " + strconv.Quote(name) + "; there are " + strings.Join(names, ", "))
}
