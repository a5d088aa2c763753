package cc

import (
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/tolkyn/tolkyn/bench/report"
)

// controllers are the names in rows, in their order.
func controllers(rows []Row) []string {
	var all []string
	for _, r := range rows {
		if !slices.Contains(all, r.Controller) {
			all = append(all, r.Controller)
		}
	}
	return all
}

const (
	gridName  = "8868"
	gridAbout = "RFC 8868: 1 Mbit/s, queues of 70 to 2000 ms; the least util % and the longest Q p95, ms, of them"
)

// grid writes RFC 8868's many cases: what was used and the queue's p95, by delay and loss, over all queues.
func (t table) grid(rows []Row) {
	kinds := gridKinds(rows)
	if len(kinds) == 0 {
		return
	}
	fmt.Fprintf(t.out, "%s  %s\n", t.paint("1", gridName), t.paint("2", gridAbout))
	line := report.Pad("", nameWidth)
	names := controllers(rows)
	for _, name := range names {
		line += report.Pad(name, -14)
	}
	fmt.Fprintln(t.out, t.paint("2", line))
	for _, kind := range kinds {
		line := report.Pad(kind, nameWidth)
		for _, name := range names {
			line += report.Pad(gridCell(rows, name, kind), -14)
		}
		fmt.Fprintln(t.out, line)
	}
	fmt.Fprintln(t.out)
}

// gridKinds are delay and loss of the grid's cases, in their order.
func gridKinds(rows []Row) []string {
	var kinds []string
	for _, r := range rows {
		if k := gridKind(r.Case); r.Case.Grid && !slices.Contains(kinds, k) {
			kinds = append(kinds, k)
		}
	}
	return kinds
}

// gridCell is the worst of all queues of one kind.
func gridCell(rows []Row, controller, kind string) string {
	util, queue := math.Inf(1), 0.0
	for _, r := range rows {
		if r.Case.Grid && r.Controller == controller && gridKind(r.Case) == kind {
			util, queue = min(util, r.Mean[Util]), max(queue, r.Mean[QueueP95])
		}
	}
	return fmt.Sprintf("%.1f / %.0f", util*100, queue)
}

// gridKind is delay and loss of a case of the grid.
func gridKind(c Case) string {
	f := c.Flows[0]
	return fmt.Sprintf("%d ms %2.0f %%", f.After.Delay.Milliseconds(), f.Before.Loss*100)
}

// Missed is a goal that a row did not reach.
type Missed struct {
	Row  Row
	Goal Checked
	Peer string  // who did best of the others
	Best float64 // what that one did
}

// Behind says that another controller did better.
func (m Missed) Behind() bool {
	if m.Peer == "" {
		return false
	}
	if m.Goal.AtLeast {
		return m.Best > m.Goal.Got
	}
	return m.Best < m.Goal.Got
}

// MissedBy lists the goals that a controller did not reach, and how the best of the others did there.
func MissedBy(controller string, rows []Row) (missed []Missed, of int) {
	for _, r := range rows {
		if r.Controller != controller {
			continue
		}
		for _, g := range r.Goals() {
			of++
			if g.Met {
				continue
			}
			m := Missed{Row: r, Goal: g}
			for _, peer := range rows {
				if peer.Controller == controller || peer.Case.Name != r.Case.Name {
					continue
				}
				if v := peer.Mean[g.Metric]; m.Peer == "" || g.AtLeast == (v > m.Best) {
					m.Peer, m.Best = peer.Controller, v
				}
			}
			missed = append(missed, m)
		}
	}
	return missed, of
}

// missed writes how many goals each controller reached, and which the first did not.
func (t table) missed(rows []Row) {
	for i, name := range controllers(rows) {
		missed, of := MissedBy(name, rows)
		if of == 0 {
			continue
		}
		fmt.Fprintf(t.out, "%s%d of %d goals met\n", report.Pad(name, nameWidth), of-len(missed), of)
		if i > 0 {
			continue
		}
		for _, m := range missed {
			col := columnOf(m.Goal.Metric)
			line := fmt.Sprintf("  ✗ %s%s%.*f (%s)", report.Pad(m.Row.Case.Name, 18), report.Pad(col.title, 12), col.digits, m.Goal.Got*col.scale,
				report.Bound(m.Goal.sign(), m.Goal.Value*col.scale, col.digits))
			if m.Behind() {
				line += fmt.Sprintf(", and %s has %.*f", m.Peer, col.digits, m.Best*col.scale)
			}
			fmt.Fprintln(t.out, t.paint("31", line))
		}
	}
}

func columnOf(m Metric) column {
	for _, col := range columns {
		if col.metric == m {
			return col
		}
	}
	return column{metric: m, title: string(m), digits: 3, scale: 1}
}

// Table is rows and where they come from, as JSON.
type Table struct {
	report.Origin
	Rows []Row `json:"rows"`
}

// WriteJSON writes the table as JSON: {"command", "commit", "date", "rows": […]}.
func (t Table) WriteJSON(w io.Writer) error { return report.WriteIndented(w, t) }
