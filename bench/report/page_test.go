package report_test

import (
	"flag"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/bench/report"
)

var (
	update = flag.Bool("update", false, "write report.schema.json and golden files anew")
	pages  = flag.String("pages", "", "write pages of made-up runs into this folder, to look at")
)

func TestPagesToLookAt(t *testing.T) {
	folder := *pages
	if folder == "" {
		folder = t.TempDir()
	}
	write := func(name string, page func(f *os.File) error) {
		f, err := os.Create(filepath.Join(folder, name))
		require.NoError(t, err)
		defer f.Close()
		require.NoError(t, page(f))
	}
	write("group.html", func(f *os.File) error { return report.WriteHTML(f, fake(1, 1, 6, 60)) })
	write("capacity.html", func(f *os.File) error { return report.WriteHTML(f, withCapacity(fake(2, 10, 4, 30))) })
	write("hostile.html", func(f *os.File) error { return report.WriteHTML(f, hostileReport()) })
	write("empty.html", func(f *os.File) error { return report.WriteHTML(f, report.Report{}) })
	write("large.html", func(f *os.File) error { return report.WriteHTML(f, fake(1, 1, 16, 60)) })
	write("comparison.html", func(f *os.File) error { return planted().WriteHTML(f) })
	write("study.html", func(f *os.File) error { return study().WriteHTML(f) })
	write("group.txt", func(f *os.File) error { return report.WriteText(f, fake(1, 1, 6, 60), true) })
	write("capacity.txt", func(f *os.File) error { return report.WriteText(f, withCapacity(fake(2, 10, 4, 30)), false) })
	write("comparison.txt", func(f *os.File) error { return planted().WriteText(f, false) })
}

// study is two cases with a stranger's names in them.
func study() report.Study {
	hostile := `</script><script>alert(1)</script>`
	plot := report.Plot{Title: "Rate", Unit: "kbit/s", Step: 100 * time.Millisecond, Lines: []report.PlotLine{
		{Name: "capacity", Dash: "dash", Values: []float64{1000, math.Inf(1), 1000}}, {Name: hostile, Values: make([]float64, 3000)},
	}}
	plot.Lines[1].Values[7] = 800
	return report.Study{
		Title: "Study", Lead: "Two cases.", Command: "tolkyn bench cc", Scores: []report.StudyScore{{Name: "ours", Met: 1, Of: 2}},
		Cases: []report.StudyCase{
			{
				Name: "first", Head: "controller", Columns: []string{"util %", "loss %"}, Goals: []string{"≥ 95", ""},
				Rows: []report.StudyRow{
					{Name: "ours", Cells: []report.StudyCell{{Text: "97.0", State: report.Met}, {Text: "0.00"}}, Plots: []report.Plot{plot}},
					{Name: hostile, Cells: []report.StudyCell{{Text: "80.0", State: report.Missed}, {Text: "1.00"}}},
				},
			},
			{Name: hostile, About: hostile},
		},
	}
}

// planted compares four runs of a server with four of one that is twice as dear and 20 ms later.
func planted() report.Comparison {
	var a, b []report.Report
	for i := range uint64(4) {
		x := fake(1, 1, 6, 40)
		x.ServerCost.PerReceivedNS += float64(i) * 20
		y := fake(2+i, 1, 6, 40)
		y.Scenario = x.Scenario
		y.Server.Kind, y.Server.Version = "plain", "v4.2.20"
		y.ServerCost.PerReceivedNS = x.ServerCost.PerReceivedNS * (2 + float64(i)/10)
		y.Audio.Delay.P50 += 20
		for k := range y.Timeline {
			y.Timeline[k].DelayP95 += 20
		}
		a, b = append(a, x), append(b, y)
	}
	return report.Compare(a, b)
}
