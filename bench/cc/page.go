package cc

import (
	"fmt"
	"math"

	"github.com/tolkyn/tolkyn/bench/report"
)

// Study makes a page of rows.
func (t Table) Study() report.Study {
	s := report.Study{
		Title:   "Congestion control, case by case",
		Lead:    "Calls over modelled links, in virtual time: the same source, pacer and feedback for every controller. Means of all seeds.",
		Command: t.Command, Version: t.Commit,
		Facts: [][2]string{{"Commit", t.Commit}, {"Date", t.Date}},
	}
	if len(t.Rows) > 0 {
		s.Facts = append(s.Facts, [2]string{"Seeds", seedsOf(t.Rows)})
	}
	for rest := t.Rows; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].Case.Name == rest[0].Case.Name {
			n++
		}
		if !rest[0].Case.Grid {
			s.Cases = append(s.Cases, studied(rest[:n]))
		}
		rest = rest[n:]
	}
	if kinds := gridKinds(t.Rows); len(kinds) > 0 {
		s.Cases = append(s.Cases, studiedGrid(t.Rows, kinds))
	}
	for _, name := range controllers(t.Rows) {
		missed, of := MissedBy(name, t.Rows)
		s.Scores = append(s.Scores, report.StudyScore{Name: name, Met: of - len(missed), Of: of})
	}
	return s
}

// studiedGrid is RFC 8868's many cases on one table.
func studiedGrid(rows []Row, kinds []string) report.StudyCase {
	c := report.StudyCase{Name: gridName, About: gridAbout, Head: "each way, loss"}
	c.Columns = controllers(rows)
	c.Goals = make([]string, len(c.Columns))
	for _, kind := range kinds {
		row := report.StudyRow{Name: kind}
		for _, name := range c.Columns {
			row.Cells = append(row.Cells, report.StudyCell{Text: gridCell(rows, name, kind)})
		}
		c.Rows = append(c.Rows, row)
	}
	return c
}

// studied is one case's rows.
func studied(rows []Row) report.StudyCase {
	c := report.StudyCase{Name: rows[0].Case.Name, About: rows[0].Case.About, Head: "controller"}
	var shown []column
	for _, col := range columns {
		if col.shown(rows) {
			shown = append(shown, col)
			c.Columns = append(c.Columns, col.title)
			c.Goals = append(c.Goals, col.goal(rows[0].Case))
		}
	}
	for _, r := range rows {
		row := report.StudyRow{Name: r.Controller}
		for _, col := range shown {
			row.Cells = append(row.Cells, report.StudyCell{Text: col.figure(r), State: col.state(r)})
		}
		row.Plots = plots(r)
		c.Rows = append(c.Rows, row)
	}
	return c
}

// plots are rate against capacity, queues, and loss.
func plots(r Row) []report.Plot {
	s := r.Series
	if len(s.Flows) == 0 {
		return nil
	}
	kilo := func(v []float64) []float64 { return mapped(v, func(x float64) float64 { return x / 1000 }) }
	limit := kilo(s.Capacity)
	most := 0.0
	for _, f := range s.Flows {
		for i := range f.Delivered {
			most = max(most, f.Delivered[i]/1000, f.Target[i]/1000)
		}
	}
	// A capacity far above all that is sent would press the rest flat.
	limit = mapped(limit, func(x float64) float64 {
		if x > 3*most {
			return math.NaN()
		}
		return x
	})
	rate := report.Plot{Title: "Rate", Unit: "kbit/s", Step: Step, Lines: []report.PlotLine{{Name: "capacity", Dash: "dash", Values: limit}}}
	if s.TCP != nil {
		rate.Lines = append(rate.Lines, report.PlotLine{Name: "TCP", Values: kilo(smoothed(s.TCP))})
	}
	own, lost := make([]float64, len(s.Queue)), make([]float64, len(s.Queue))
	for i, f := range s.Flows {
		switch {
		case len(s.Flows) == 1:
			rate.Lines = append(rate.Lines,
				report.PlotLine{Name: "target", Dash: "dot", Values: kilo(f.Target)},
				report.PlotLine{Name: "arrived", Values: kilo(smoothed(f.Delivered))})
		case i < mostFlows:
			rate.Lines = append(rate.Lines, report.PlotLine{Name: fmt.Sprintf("flow %d", i+1), Values: kilo(smoothed(f.Delivered))})
		}
		for b := range own {
			own[b] = max(own[b], f.SenderQueue[b])
			lost[b] += f.Lost[b] / Step.Seconds()
		}
	}
	return []report.Plot{
		rate,
		{Title: "Queue", Unit: "ms", Step: Step, Lines: []report.PlotLine{
			{Name: "sender's", Dash: "dot", Values: own}, {Name: "bottleneck's", Values: s.Queue},
		}},
		{Title: lostPlot, Unit: "packets/s", Step: Step, Lines: []report.PlotLine{{Name: "lost", Values: lost}}},
	}
}

const (
	// mostFlows are drawn with lines of their own.
	mostFlows = 5
	lostPlot  = "Lost"
)

// smoothed is the mean of each 500 ms: frames come in bins or not, and that is not what one looks for.
func smoothed(v []float64) []float64 {
	const half = 2
	out := make([]float64, len(v))
	for i := range v {
		sum, n := 0.0, 0.0
		for _, x := range v[max(i-half, 0):min(i+half+1, len(v))] {
			sum += x
			n++
		}
		out[i] = sum / n
	}
	return out
}

func mapped(v []float64, f func(float64) float64) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = f(x)
	}
	return out
}
