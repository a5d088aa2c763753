package cc

import (
	"context"
	"encoding/json"

	"github.com/tolkyn/tolkyn/bench/batch"
)

// Row is what a controller did in a case, over all seeds.
type Row struct {
	Controller string
	Case       Case
	Seeds      int
	Mean       map[Metric]float64
	Worst      map[Metric]float64 // of the seeds
	Series     Series             // of the first seed
}

// Checked is a goal and what came of it.
type Checked struct {
	Goal
	Got float64
	Met bool
}

// Goals says which were met, by the mean of all seeds. What was not measured is not met.
func (r Row) Goals() []Checked {
	var all []Checked
	for _, g := range r.Case.Goals {
		got, ok := r.Mean[g.Metric]
		all = append(all, Checked{g, got, ok && g.Met(got)})
	}
	return all
}

// MarshalJSON writes a row flat: {"controller", "case", "seeds", each metric's mean, "worst": {…}, "goals": […]}.
func (r Row) MarshalJSON() ([]byte, error) {
	row := map[string]any{"controller": r.Controller, "case": r.Case.Name, "seeds": r.Seeds, "worst": r.Worst}
	for m, v := range r.Mean {
		row[string(m)] = v
	}
	goals := []map[string]any{}
	for _, g := range r.Goals() {
		bound := "at_most"
		if g.AtLeast {
			bound = "at_least"
		}
		goals = append(goals, map[string]any{"metric": g.Metric, bound: g.Value, "met": g.Met})
	}
	row["goals"] = goals
	return json.Marshal(row)
}

// moreIsBetter are the metrics whose worst is the least.
var moreIsBetter = map[Metric]bool{
	Util: true, UtilSteady: true, Jain: true, Share: true, EstimateMin: true, Utility: true,
}

// Play runs every case with every controller and seeds 1 to seeds (fewer where Maker.Seeds says so), on all cores, and tells how far it is. Rows come by case,
// then by controller. An end of ctx leaves out what has not begun.
func Play(ctx context.Context, cases []Case, makers []Maker, seeds int, progress func(done, of int)) []Row {
	type run struct {
		row  int
		seed uint64
	}
	var runs []run
	results := make([][]Result, len(cases)*len(makers))
	for row := range results {
		n := seeds
		if most := makers[row%len(makers)].Seeds; most > 0 {
			n = min(n, most)
		}
		results[row] = make([]Result, n)
		for i := range n {
			runs = append(runs, run{row, uint64(i + 1)})
		}
	}
	batch.Play(ctx, len(runs), func(i int) {
		r := runs[i]
		result := cases[r.row/len(makers)].play(makers[r.row%len(makers)], r.seed)
		if r.seed > 1 {
			result.Series = Series{} // only the first is drawn
		}
		results[r.row][r.seed-1] = result
	}, progress)
	var rows []Row
	for row, all := range results {
		rows = append(rows, summed(cases[row/len(makers)], makers[row%len(makers)].Name, all))
	}
	return rows
}

func (c Case) play(m Maker, seed uint64) Result {
	if c.Play != nil {
		return c.Play(c, m, seed)
	}
	return Run(c, []Maker{m}, seed)
}

// summed makes a row of runs; those that did not come to pass have no metrics.
func summed(c Case, controller string, runs []Result) Row {
	r := Row{Controller: controller, Case: c, Mean: map[Metric]float64{}, Worst: map[Metric]float64{}, Series: runs[0].Series}
	for _, run := range runs {
		if run.Metrics == nil {
			continue
		}
		r.Seeds++
		for m, v := range run.Metrics {
			r.Mean[m] += v
			worst, ok := r.Worst[m]
			if !ok || moreIsBetter[m] == (v < worst) {
				r.Worst[m] = v
			}
		}
	}
	for m := range r.Mean {
		r.Mean[m] /= float64(max(r.Seeds, 1))
	}
	return r
}
