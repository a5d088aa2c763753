package netsim

import (
	"fmt"
	"math"
	"sort"
	"time"
)

// Trace is how a link changes in time: each step holds until the next. Before the first step the link is as the first says.
// The zero value has no steps and describes nothing.
type Trace struct {
	Steps []Step        // in order of At
	Loop  time.Duration // after this the trace begins again; later than the last step. 0: the last step holds for ever
}

// Step is how the link is from a time on.
type Step struct {
	At   time.Duration // since the trace began
	Link LinkConfig
}

// Stalled as a Rate of a step: what is sent waits in the queue, as in a mobile network's, until a step with another rate.
// (It is one bit a second; a link that only has been Set should have a Blackout instead, for it cannot know the end.)
const Stalled = 1

const (
	forever = time.Duration(math.MaxInt64)
	// maxSteps bounds the search for the time at which a packet has passed: a trace that carries nothing may loop.
	maxSteps = 10_000
)

// Check says what is wrong with the trace, in words for whoever wrote it.
func (t Trace) Check() error {
	for i, step := range t.Steps {
		switch {
		case step.At < 0:
			return fmt.Errorf("step %d is at %v: times begin at 0", i+1, step.At)
		case i > 0 && step.At <= t.Steps[i-1].At:
			return fmt.Errorf("step %d is at %v, not after step %d at %v: put them in order", i+1, step.At, i, t.Steps[i-1].At)
		case t.Loop != 0 && step.At >= t.Loop:
			return fmt.Errorf("step %d is at %v and the trace begins again after %v: let it loop later", i+1, step.At, t.Loop)
		}
	}
	if t.Loop < 0 {
		return fmt.Errorf("the trace begins again after %v: give a time above 0, or none", t.Loop)
	}
	return nil
}

// At is how the link is so long after the trace began; the zero LinkConfig when the trace has no steps.
func (t Trace) At(since time.Duration) LinkConfig {
	if len(t.Steps) == 0 {
		return LinkConfig{}
	}
	step, _ := t.locate(since)
	return step.Link
}

// locate finds the step that holds, and until when.
func (t Trace) locate(since time.Duration) (*Step, time.Duration) {
	rounds := time.Duration(0)
	if t.Loop > 0 && since > 0 {
		rounds = since - since%t.Loop
	}
	since -= rounds
	next := sort.Search(len(t.Steps), func(i int) bool { return t.Steps[i].At > since })
	until := forever
	switch {
	case next == 0 && len(t.Steps) > 1: // before the first
		until = rounds + t.Steps[1].At
	case next < len(t.Steps) && next > 0:
		until = rounds + t.Steps[next].At
	case t.Loop > 0:
		until = rounds + t.Loop
	}
	return &t.Steps[max(next-1, 0)], until
}
