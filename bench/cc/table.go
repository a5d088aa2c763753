package cc

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/tolkyn/tolkyn/bench/report"
)

// column is a metric as people read it.
type column struct {
	metric Metric
	title  string
	digits int
	scale  float64 // of the value, so that shares are percents
	always bool    // of every case that Run plays
	extra  bool    // where the case has it; else where it has a goal
}

var columns = []column{
	{Util, "util %", 1, 100, true, false},
	{UtilSteady, "steady %", 1, 100, false, false},
	{Utility, "utility %", 1, 100, false, true},
	{WrongLayers, "wrong %", 1, 100, false, true},
	{Down, "down s", 2, 1, false, true},
	{Up, "up s", 1, 1, false, true},
	{UpMax, "up max s", 1, 1, false, true},
	{Flaps, "flaps/min", 2, 1, false, true},
	{AudioLoss, "audio loss%", 2, 100, false, true},
	{AudioDelayP95, "audio p95", 0, 1, false, true},
	{QueueMean, "Q ms", 1, 1, true, false},
	{QueueP95, "Q p95", 1, 1, true, false},
	{QueueP99, "Q p99", 1, 1, false, false},
	{SenderQueueP95, "own p95", 1, 1, true, false},
	{Loss, "loss %", 2, 100, true, false},
	{FairLoss, "fair loss%", 2, 100, false, false},
	{Conv, "conv s", 1, 1, true, false},
	{Rise, "rise s", 1, 1, false, true},
	{Settle, "settle s", 1, 1, false, true},
	{Refill, "refill s", 1, 1, false, true},
	{Rejoin, "rejoin s", 1, 1, false, true},
	{Jain, "Jain", 3, 1, false, true},
	{Share, "share %", 1, 100, false, false},
	{TCPShare, "TCP %", 1, 100, false, true},
	{ProbeShare, "probes %", 2, 100, false, false},
	{Over, "over", 2, 1, false, true},
	{UnderMin, "under min", 2, 1, false, false},
}

// name of a controller takes so many columns.
const nameWidth = 14

// WriteText writes rows as tables: each case with every controller beside each other and what is to be reached, RFC 8868's
// grid summed up, and at the end what each controller missed. Colour says whether to use ANSI colours; nothing is told by
// colour alone.
func WriteText(w io.Writer, rows []Row, colour bool) error {
	t := table{bufio.NewWriter(w), colour}
	for rest := rows; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].Case.Name == rest[0].Case.Name {
			n++
		}
		if !rest[0].Case.Grid {
			t.oneCase(rest[:n])
		}
		rest = rest[n:]
	}
	t.grid(rows)
	t.missed(rows)
	return t.out.Flush()
}

type table struct {
	out    *bufio.Writer
	colour bool
}

func (t table) paint(code, s string) string {
	if !t.colour {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// oneCase writes the rows of one case.
func (t table) oneCase(rows []Row) {
	c := rows[0].Case
	var shown []column
	for _, col := range columns {
		if col.shown(rows) {
			shown = append(shown, col)
		}
	}
	fmt.Fprintf(t.out, "%s  %s\n", t.paint("1", c.Name), t.paint("2", c.About))
	line := report.Pad("", nameWidth)
	for _, col := range shown {
		line += report.Pad(col.title, -11)
	}
	fmt.Fprintln(t.out, t.paint("2", line))
	line = report.Pad("goal", nameWidth)
	for _, col := range shown {
		line += report.Pad(col.goal(c), -11)
	}
	fmt.Fprintln(t.out, t.paint("2", strings.TrimRight(line, " ")))
	for _, r := range rows {
		line := report.Pad(r.Controller, nameWidth)
		for _, col := range shown {
			cell, missed := col.cell(r)
			cell = report.Pad(cell, -11)
			if missed {
				cell = t.paint("31", cell)
			}
			line += cell
		}
		fmt.Fprintln(t.out, strings.TrimRight(line, " "))
	}
	fmt.Fprintln(t.out)
}

// shown says whether a case's table has the column.
func (col column) shown(rows []Row) bool {
	for _, g := range rows[0].Case.Goals {
		if g.Metric == col.metric && col.metric != UnderMin {
			return true
		}
	}
	for _, r := range rows {
		if v, ok := r.Mean[col.metric]; ok && (col.extra || col.always || col.metric == UnderMin && v > 0) {
			return true
		}
	}
	return false
}

func (col column) goal(c Case) string {
	for _, g := range c.Goals {
		if g.Metric == col.metric {
			return report.Bound(g.sign(), g.Value*col.scale, col.digits)
		}
	}
	return ""
}

func (g Goal) sign() string {
	if g.AtLeast {
		return "≥"
	}
	return "≤"
}

// cell is a value with a mark where it has a goal.
func (col column) cell(r Row) (cell string, missed bool) {
	switch col.state(r) {
	case report.Met:
		return col.figure(r) + " ✓", false
	case report.Missed:
		return col.figure(r) + " ✗", true
	}
	return col.figure(r) + "  ", false
}

func (col column) figure(r Row) string {
	v, ok := r.Mean[col.metric]
	return report.Figure(v*col.scale, ok, col.digits)
}

func (col column) state(r Row) report.CellState {
	for _, g := range r.Goals() {
		if g.Metric == col.metric {
			return report.StateOf(g.Met)
		}
	}
	return report.NoGoal
}
