package voice

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/tolkyn/tolkyn/bench/batch"
)

// Row is what a way did in a case, over all seeds.
type Row struct {
	Way    string
	Case   Case
	Seeds  int
	Mean   map[Metric]float64
	Worst  map[Metric]float64 // the greatest of the seeds
	Series Series             // of the first seed
}

// Checked is a goal and what came of it.
type Checked struct {
	Goal
	Got float64
	Met bool
}

// Goals says which were met, by the mean of all seeds; Wrong by the worst.
func (r Row) Goals() (all []Checked) {
	for _, g := range r.Case.Goals {
		got, ok := r.Mean[g.Metric]
		if g.Metric == Wrong {
			got = r.Worst[Wrong]
		}
		all = append(all, Checked{g, got, ok && g.Met(got)})
	}
	return all
}

// MarshalJSON writes a row flat: {"way", "case", "seeds", each metric's mean, "worst": {…}, "goals": […]}.
func (r Row) MarshalJSON() ([]byte, error) {
	row := map[string]any{"way": r.Way, "case": r.Case.Name, "seeds": r.Seeds, "worst": r.Worst}
	for m, v := range r.Mean {
		row[string(m)] = v
	}
	goals := []map[string]any{}
	for _, g := range r.Goals() {
		goals = append(goals, map[string]any{"metric": g.Metric, "at_most": g.Value, "met": g.Met})
	}
	row["goals"] = goals
	return json.Marshal(row)
}

// job is a case as one way plays it.
type job struct {
	c Case
	w Way
}

// Play runs every case in those ways that it has, with seeds 1 to seeds, on all cores, and tells how far it is. Rows come by case,
// then by way. An end of ctx leaves out what has not begun. The error is of the first run that failed: a server that did not
// start, or a client that did not get in.
func Play(ctx context.Context, start Start, cases []Case, ways []Way, seeds int, progress func(done, of int)) ([]Row, error) {
	var jobs []job
	for _, c := range cases {
		for _, w := range ways {
			if len(c.Only) == 0 || slices.Contains(c.Only, w.Name) {
				jobs = append(jobs, job{c, w})
			}
		}
	}
	n := len(jobs) * seeds
	results, errs := make([]Result, n), make([]error, n)
	batch.Play(ctx, n, func(i int) {
		j, seed := jobs[i/seeds], uint64(i%seeds+1)
		bubble(func() { results[i], errs[i] = run(start, j.c, j.w, seed) })
		if errs[i] != nil {
			errs[i] = fmt.Errorf("%s, %s, seed %d: %w", j.c.Name, j.w.Name, seed, errs[i])
		}
		if seed > 1 {
			results[i].Series = Series{} // only the first is drawn
		}
	}, progress)
	var rows []Row
	for i, j := range jobs {
		rows = append(rows, summed(j, results[i*seeds:(i+1)*seeds]))
	}
	return rows, errors.Join(errs...)
}

// summed makes a row of runs; those that did not come to pass have no metrics.
func summed(j job, runs []Result) Row {
	r := Row{Way: j.w.Name, Case: j.c, Mean: map[Metric]float64{}, Worst: map[Metric]float64{}, Series: runs[0].Series}
	for _, run := range runs {
		if run.Metrics == nil {
			continue
		}
		r.Seeds++
		for m, v := range run.Metrics {
			r.Mean[m] += v
			r.Worst[m] = max(r.Worst[m], v)
		}
	}
	for m := range r.Mean {
		r.Mean[m] /= float64(max(r.Seeds, 1))
	}
	return r
}
