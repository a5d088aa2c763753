package report_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

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
	write("group.txt", func(f *os.File) error { return report.WriteText(f, fake(1, 1, 6, 60), true) })
	write("capacity.txt", func(f *os.File) error { return report.WriteText(f, withCapacity(fake(2, 10, 4, 30)), false) })
	write("comparison.txt", func(f *os.File) error { return planted().WriteText(f, false) })
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
