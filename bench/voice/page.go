package voice

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/tolkyn/tolkyn/bench/report"
)

// Study makes a page of rows.
func (t Table) Study() report.Study {
	s := report.Study{
		Title:   "Voice, case by case",
		Lead:    "Whole calls through the server over modelled links, in virtual time: what of a voice is heard, how late, and for how many bytes. Means of all seeds.",
		Command: t.Command, Version: t.Commit,
		Facts: [][2]string{{"Commit", t.Commit}, {"Date", t.Date}},
	}
	if len(t.Rows) > 0 {
		s.Facts = append(s.Facts, [2]string{"Seeds", fmt.Sprint(t.Rows[0].Seeds)})
	}
	for _, rows := range byCase(t.Rows) {
		c := report.StudyCase{Name: rows[0].Case.Name, About: rows[0].Case.About, Head: "way"}
		for _, col := range shown(rows) {
			c.Columns, c.Goals = append(c.Columns, col.title), append(c.Goals, col.goal(rows[0].Case))
		}
		for _, r := range rows {
			row := report.StudyRow{Name: r.Way, Plots: plots(r)}
			for _, col := range shown(rows) {
				row.Cells = append(row.Cells, report.StudyCell{Text: col.figure(r), State: col.state(r)})
			}
			c.Rows = append(c.Rows, row)
		}
		s.Cases = append(s.Cases, c)
	}
	for _, way := range waysOf(t.Rows) {
		missed, of := MissedBy(way, t.Rows)
		s.Scores = append(s.Scores, report.StudyScore{Name: way, Met: of - len(missed), Of: of})
	}
	return s
}

// plots are what was concealed, how late it was, and what it took.
func plots(r Row) []report.Plot {
	s := r.Series
	if len(s.Concealed) == 0 {
		return nil
	}
	one := func(title, unit string, values []float64) report.Plot {
		return report.Plot{Title: title, Unit: unit, Step: time.Second, Lines: []report.PlotLine{{Name: r.Way, Values: values}}}
	}
	return []report.Plot{
		one("Concealed", "%", s.Concealed), one("Sent to a listener", "kbit/s", s.Down), one("Copies", "a packet", s.Copies),
		one("Heard later", "ms", s.Delay),
	}
}

// WritePlots draws each case into a file of dir, case.svg: the ways beside each other, of the first seed.
func WritePlots(dir string, rows []Row) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write plots: %w", err)
	}
	for _, one := range byCase(rows) {
		name := filepath.Join(dir, one[0].Case.Name+".svg")
		if err := drawTo(name, one); err != nil {
			return fmt.Errorf("write plots: %w", err)
		}
	}
	return nil
}

func drawTo(name string, rows []Row) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	err = writeSVG(file, rows)
	if closed := file.Close(); err == nil {
		err = closed
	}
	return err
}

// writeSVG draws the ways of one case over each other, and leaves out what is nothing in all of them.
func writeSVG(w io.Writer, rows []Row) error {
	var all []report.Plot
	for _, r := range rows {
		for i, p := range plots(r) {
			if len(all) <= i {
				all = append(all, report.Plot{Title: p.Title, Unit: p.Unit, Step: p.Step})
			}
			p.Lines[0].Dash = []string{"", "dash", "dot"}[min(len(all[i].Lines), 2)]
			all[i].Lines = append(all[i].Lines, p.Lines[0])
		}
	}
	all = slices.DeleteFunc(all, func(p report.Plot) bool {
		return !slices.ContainsFunc(p.Lines, func(l report.PlotLine) bool {
			return slices.ContainsFunc(l.Values, func(v float64) bool { return v > 0 })
		})
	})
	return report.WriteSVG(w, rows[0].Case.Name, rows[0].Case.About, all)
}
