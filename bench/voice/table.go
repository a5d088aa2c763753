package voice

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/tolkyn/tolkyn/bench/report"
)

// column is a metric as people read it.
type column struct {
	metric Metric
	title  string
	digits int
	scale  float64 // of the value, so that shares are percents
	always bool    // else where a case has it, or a goal for it
}

var columns = []column{
	{Concealed, "concealed %", 2, 100, true},
	{ConcealedFirst, "before %", 2, 100, true},
	{DelayMean, "delay ms", 0, 1, true},
	{DelayP95, "p95 ms", 0, 1, true},
	{UpBytes, "bytes up ×", 2, 1, true},
	{DownBytes, "down ×", 2, 1, true},
	{Copies, "copies", 2, 1, true},
	{CopiesEnd, "at the end", 2, 1, false},
	{ByRED, "by RED %", 2, 100, true},
	{ByFEC, "by FEC %", 2, 100, true},
	{ByResend, "resent %", 2, 100, true},
	{UpTalk, "up, talks", 1, 1, false},
	{UpSilent, "up, silent", 1, 1, false},
	{DownTalk, "down, talks", 1, 1, false},
	{DownSilent, "down, silent", 1, 1, false},
	{Wrong, "wrong", 0, 1, false},
}

func columnOf(m Metric) column {
	i := slices.IndexFunc(columns, func(c column) bool { return c.metric == m })
	return columns[i]
}

// shown are the columns of a case's table.
func shown(rows []Row) (all []column) {
	for _, col := range columns {
		_, rate := rows[0].Mean[UpTalk]
		goal := col.goal(rows[0].Case) != "" && col.metric != Wrong
		ofRate := col.metric == UpTalk || col.metric == UpSilent || col.metric == DownTalk || col.metric == DownSilent
		wrong := col.metric == Wrong && slices.ContainsFunc(rows, func(r Row) bool { return r.Worst[Wrong] > 0 })
		if col.always || goal || rate && ofRate || wrong {
			all = append(all, col)
		}
	}
	return all
}

func (col column) goal(c Case) string {
	for _, g := range c.Goals {
		if g.Metric == col.metric {
			return report.Bound("≤", g.Value*col.scale, col.digits+1)
		}
	}
	return ""
}

func (col column) figure(r Row) string {
	v, ok := r.Mean[col.metric]
	return report.Figure(v*col.scale, ok, col.digits)
}

// state is of what we do: goals are ours.
func (col column) state(r Row) report.CellState {
	for _, g := range r.Goals() {
		if g.Metric == col.metric {
			return report.StateOf(g.Met)
		}
	}
	return report.NoGoal
}

// byCase splits rows where another case begins.
func byCase(rows []Row) (all [][]Row) {
	for len(rows) > 0 {
		n := 1
		for n < len(rows) && rows[n].Case.Name == rows[0].Case.Name {
			n++
		}
		all, rows = append(all, rows[:n]), rows[n:]
	}
	return all
}

const (
	nameWidth   = 10
	columnWidth = 13
)

// WriteText writes rows as tables, each case with its ways beside each other and the goals, and at the end what the first way
// missed. Colour says whether to use ANSI colours; nothing is told by colour alone.
func WriteText(w io.Writer, rows []Row, colour bool) error {
	out := bufio.NewWriter(w)
	paint := func(code, s string) string {
		if !colour {
			return s
		}
		return "\x1b[" + code + "m" + s + "\x1b[0m"
	}
	for _, one := range byCase(rows) {
		c := one[0].Case
		fmt.Fprintf(out, "%s  %s\n", paint("1", c.Name), paint("2", c.About))
		titles, goals := report.Pad("", nameWidth), report.Pad("goal", nameWidth)
		for _, col := range shown(one) {
			titles += report.Pad(col.title, -columnWidth)
			goals += report.Pad(col.goal(c)+"  ", -columnWidth)
		}
		fmt.Fprintf(out, "%s\n%s\n", paint("2", titles), paint("2", strings.TrimRight(goals, " ")))
		for _, r := range one {
			line := report.Pad(r.Way, nameWidth)
			for _, col := range shown(one) {
				mark := " "
				switch col.state(r) {
				case report.Met:
					mark = "✓"
				case report.Missed:
					mark = "✗"
				}
				cell := report.Pad(col.figure(r)+" "+mark, -columnWidth)
				if mark == "✗" {
					cell = paint("31", cell)
				}
				line += cell
			}
			fmt.Fprintln(out, strings.TrimRight(line, " "))
		}
		fmt.Fprintln(out)
	}
	for _, way := range waysOf(rows) {
		missed, of := MissedBy(way, rows)
		fmt.Fprintf(out, "%s%d of %d goals met\n", report.Pad(way, nameWidth), of-len(missed), of)
	}
	return out.Flush()
}

// waysOf are the names in rows, in their order.
func waysOf(rows []Row) (all []string) {
	for _, r := range rows {
		if !slices.Contains(all, r.Way) {
			all = append(all, r.Way)
		}
	}
	return all
}

// Missed is a goal that a row did not reach.
type Missed struct {
	Row  Row
	Goal Checked
}

// MissedBy lists the goals that a way did not reach, of how many.
func MissedBy(way string, rows []Row) (missed []Missed, of int) {
	for _, r := range rows {
		if r.Way != way {
			continue
		}
		for _, g := range r.Goals() {
			if of++; !g.Met {
				missed = append(missed, Missed{r, g})
			}
		}
	}
	return missed, of
}

// Table is rows and where they come from.
type Table struct {
	report.Origin
	Rows []Row `json:"rows"`
}

// WriteJSON writes the table as JSON: {"command", "commit", "date", "rows": […]}.
func (t Table) WriteJSON(w io.Writer) error { return report.WriteIndented(w, t) }
