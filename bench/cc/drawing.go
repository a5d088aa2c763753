package cc

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/tolkyn/tolkyn/bench/report"
)

// WritePlots draws each row into a file of dir, case-controller.svg: rates, queues, and losses where there are any, of the
// first seed.
func WritePlots(dir string, rows []Row) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write plots: %w", err)
	}
	for _, r := range rows {
		if len(r.Series.Flows) == 0 {
			continue
		}
		name := filepath.Join(dir, r.Case.Name+"-"+r.Controller+".svg")
		if err := drawTo(name, r); err != nil {
			return fmt.Errorf("write plots: %w", err)
		}
	}
	return nil
}

func drawTo(name string, r Row) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	err = r.writeSVG(file)
	if closed := file.Close(); err == nil {
		err = closed
	}
	return err
}

func (r Row) writeSVG(w io.Writer) error {
	all := slices.DeleteFunc(plots(r), func(p report.Plot) bool {
		return p.Title == lostPlot && !slices.ContainsFunc(p.Lines[0].Values, func(v float64) bool { return v > 0 })
	})
	return report.WriteSVG(w, r.Case.Name+", "+r.Controller, r.Case.About, all)
}
