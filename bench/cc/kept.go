package cc

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/tolkyn/tolkyn/bench/report"
)

// Kept is a case that went badly once, as a file of testdata/worst: it must not go worse again.
type Kept struct {
	Found
	Bound Score `json:"bound"` // of our own controller
}

// bound leaves a score a tenth of room, and a little where it is near zero.
func bound(s Score) Score {
	return Score{
		Regret: s.Regret*1.1 + 0.005, QueueP95: s.QueueP95*1.1 + 2, Excess: s.Excess*1.1 + 0.001, Total: s.Total*1.1 + 0.01,
	}
}

// keptSeeds are as many as a kept case is played with: bounds of one seed tell of luck.
const keptSeeds = 5

// KeepFound writes each case to a file of its own in a folder, named by what is in it.
func KeepFound(folder string, found []Found) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("keep cases: %w", err)
	}
	for _, f := range found {
		f.Score = f.Drawn.Mean(Tolkyn, keptSeeds)
		if err := (Kept{f, bound(f.Score)}).write(filepath.Join(folder, f.Drawn.name()+".json")); err != nil {
			return err
		}
	}
	return nil
}

func (k Kept) write(path string) error {
	b, err := json.MarshalIndent(k, "", "  ")
	if err != nil {
		return fmt.Errorf("keep case: %w", err)
	}
	if err := os.WriteFile(path, append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("keep case: %w", err)
	}
	return nil
}

// name is of what stands in it, so that the same case is the same file.
func (d Drawn) name() string {
	h := fnv.New32a()
	_ = json.NewEncoder(h).Encode(d) // a hash takes all
	return fmt.Sprintf("%08x", h.Sum32())
}

// WriteFound writes how scores spread over all draws, and the worst cases.
func WriteFound(w io.Writer, controller string, all, worst []Found) error {
	_, err := fmt.Fprintf(w, "%s: %d draws\n%s", controller, len(all), report.Pad("", nameWidth))
	for _, title := range []string{"mean", "p50", "p90", "p95", "worst"} {
		if err == nil {
			_, err = fmt.Fprint(w, report.Pad(title, -9))
		}
	}
	for _, row := range []struct {
		name string
		of   func(Score) float64
	}{
		{"regret", func(s Score) float64 { return s.Regret }},
		{"Q p95 ms", func(s Score) float64 { return s.QueueP95 }},
		{"excess loss %", func(s Score) float64 { return s.Excess * 100 }},
		{"score", func(s Score) float64 { return s.Total }},
	} {
		line := "\n" + report.Pad(row.name, nameWidth)
		var v []float64
		for _, f := range all {
			if row.name != "Q p95 ms" || len(f.Drawn.TCP) == 0 {
				v = append(v, row.of(f.Score))
			}
		}
		slices.Sort(v)
		line += report.Pad(fmt.Sprintf("%.3f", added(v)/float64(max(len(v), 1))), -9)
		for _, q := range []float64{0.5, 0.9, 0.95, 1} {
			if len(v) > 0 {
				line += report.Pad(fmt.Sprintf("%.3f", v[min(int(q*float64(len(v))), len(v)-1)]), -9)
			}
		}
		if err == nil {
			_, err = fmt.Fprint(w, line)
		}
	}
	for _, f := range worst {
		if err == nil {
			_, err = fmt.Fprintf(w, "\n%s  score %.3f: regret %.3f, Q p95 %.0f ms, excess loss %.1f %%\n  %s", f.Drawn.name(), f.Score.Total,
				f.Score.Regret, f.Score.QueueP95, f.Score.Excess*100, f.Drawn)
		}
	}
	if err == nil {
		_, err = fmt.Fprintln(w)
	}
	if err != nil {
		return fmt.Errorf("write what was found: %w", err)
	}
	return nil
}
