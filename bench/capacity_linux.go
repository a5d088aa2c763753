package bench

import (
	"context"
	"fmt"

	"github.com/tolkyn/tolkyn/bench/measure"
	"github.com/tolkyn/tolkyn/bench/report"
	"github.com/tolkyn/tolkyn/bench/scenario"
)

// Search says how to look for a capacity.
type Search struct {
	// Until is a condition that ends the search where it holds: "loss_p99>0.5% or delay_p99>50ms".
	Until string
	// From is the first load that is tried, and To the last; 0: the scenario's own, and no bound but the scenario's.
	From, To int
	// Tries bounds the runs; 0: 16.
	Tries int
}

// Capacity looks for the largest load at which quality holds: it doubles the load until it does not, then goes by halves. Each try
// is a run of its own, with a server of its own where the bench starts it. The report is that of the largest load that held, or of
// the first if none did, with the search in it.
func Capacity(ctx context.Context, c Config, s Search) (report.Report, []report.Event, error) {
	until, err := measure.ParseCondition(s.Until)
	if err != nil {
		return report.Report{}, nil, fmt.Errorf("--until: %w", err)
	}
	if s.From == 0 {
		s.From = scenario.Load(c.Scenario)
		if s.To > 0 {
			s.From = min(s.From, s.To)
		}
	}
	if s.Tries == 0 {
		s.Tries = 16
	}
	switch {
	case s.From < 1:
		return report.Report{}, nil, fmt.Errorf("--from: got %d, want at least 1", s.From)
	case s.To < 0 || s.To > 0 && s.To < s.From:
		return report.Report{}, nil, fmt.Errorf("--to: got %d, want at least the first load, %d; 0 is no bound", s.To, s.From)
	case s.Tries < 1:
		return report.Report{}, nil, fmt.Errorf("--tries: got %d, want at least 1; 0 is 16", s.Tries)
	}
	search := &search{config: c, until: until, found: report.Capacity{Unit: scenario.Unit(c.Scenario), Until: s.Until}}
	search.config.Scenario.Pass = nil
	err = search.run(ctx, s)
	if search.first == nil {
		return report.Report{}, nil, err
	}
	best := search.best
	if best == nil {
		best = search.first
	}
	best.Capacity = &search.found
	best.Partial = best.Partial || ctx.Err() != nil
	best.Passed = search.found.Largest > 0
	if err != nil && ctx.Err() == nil {
		best.Warnings = append(best.Warnings, "The search ended early: "+err.Error())
	}
	search.conclude(best)
	return *best, search.events, nil
}

// search is a Search under way.
type search struct {
	config Config
	until  measure.Condition
	found  report.Capacity
	first  *report.Report // of the first try
	best   *report.Report // of the largest that held
	gave   string         // what gave way at the smallest load that did not hold
	events []report.Event
}

func (s *search) run(ctx context.Context, how Search) error {
	b := bracket{to: how.To}
	load := how.From
	for range how.Tries {
		held, err := s.try(ctx, load)
		if err != nil {
			return err
		}
		next, more := b.next(load, held)
		s.found.Largest, s.found.Failed = b.held, b.failed
		if !more {
			return nil
		}
		load = next
	}
	return nil
}

// try holds one load.
func (s *search) try(ctx context.Context, load int) (held bool, err error) {
	c := s.config
	if c.Scenario, err = scenario.Scale(s.config.Scenario, load); err != nil {
		return false, err
	}
	if watch := s.config.Watch; watch != nil {
		c.Watch = func(view report.Snapshot) {
			view.Phase = fmt.Sprintf("%d %s: %s", load, s.found.Unit, view.Phase)
			watch(view)
		}
	}
	r, events, totals, err := runAll(ctx, c)
	if err != nil {
		return false, fmt.Errorf("try %d %s: %w", load, s.found.Unit, err)
	}
	s.events = append(s.events, events...)
	if s.first == nil {
		if err := nobodyCame(r); err != nil && ctx.Err() == nil {
			return false, err
		}
		s.first = &r
	}
	if ctx.Err() != nil {
		return false, ctx.Err() // a run that was cut short says nothing of its load
	}
	o := s.until.Evaluate(&totals)
	held = !o.Holds && len(r.Streams) > 0 && !mostlyFailed(r.Callers)
	t := report.Try{
		Load: load, Held: held, Bottleneck: r.Bottleneck, PerPacket: r.ServerCost.PerInAndOutNS,
		Conditions: []report.Condition{{Text: o.Text, Value: o.Value, Unit: o.Unit, Passed: !o.Holds, Worst: o.Worst}},
	}
	if o.Decided != "" && o.Holds {
		t.Conditions[0].Text = o.Decided
	}
	n := 0.0
	for _, u := range r.Usage {
		if u.At < r.Seconds/2 { // everybody is there in the second half
			continue
		}
		t.ServerCPU += u.ServerCPU
		t.ClientCPU += u.ClientCPU
		t.PacketsIn += u.Sent
		t.PacketsOut += u.Received
		n++
	}
	if n > 0 {
		t.ServerCPU, t.ClientCPU, t.PacketsIn, t.PacketsOut = t.ServerCPU/n, t.ClientCPU/n, t.PacketsIn/n, t.PacketsOut/n
	}
	s.found.Tries = append(s.found.Tries, t)
	if held && (s.best == nil || load > s.found.Largest) {
		s.best = &r
	}
	if !held && (s.found.Failed == 0 || load < s.found.Failed) {
		s.gave = r.Bottleneck
		if s.gave == "" && mostlyFailed(r.Callers) {
			s.gave = "server" // it let nobody more in
		}
	}
	return held, nil
}

// mostlyFailed: more than one caller in a hundred did not get through, so the load was another than it says.
func mostlyFailed(callers []measure.Caller) bool {
	failed := 0
	for _, c := range callers {
		if c.Error != "" {
			failed++
		}
	}
	return failed*100 > len(callers)
}

// conclude says what the figure means.
func (s *search) conclude(r *report.Report) {
	r.Bottleneck = s.gave
	add := func(text string, args ...any) { r.Warnings = append(r.Warnings, fmt.Sprintf(text, args...)) }
	switch f := s.found; {
	case len(f.Tries) == 0:
		add("The search was ended within its first try: there is no capacity to tell.")
	case f.Failed == 0:
		add("No load that was tried was too much: the capacity is at least %d %s.", f.Largest, f.Unit)
	case s.gave == string(measure.Client):
		add("At %d %s the bench gave way and not the server: the server can do more than %d.", f.Failed, f.Unit, f.Largest)
	case f.Largest == 0:
		add("Not even the smallest load that was tried held: %d %s.", f.Failed, f.Unit)
	}
}
