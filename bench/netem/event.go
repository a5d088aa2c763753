package netem

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// calendar has events happen at their time, one after the other.
type calendar struct {
	// Fixed after newCalendar.
	happen func(Event)

	// Guarded by mu, which is held while an event happens.
	mu     sync.Mutex
	events []Event
	began  time.Time
	timer  *time.Timer
	next   int
	round  int // of restarts: a timer of an earlier one does nothing
}

func newCalendar(events []Event, happen func(Event)) *calendar {
	c := &calendar{happen: happen}
	for _, e := range events {
		c.events = append(c.events, e)
		if e.Kind == EventBlackout {
			c.events = append(c.events, Event{At: e.At + e.For, Kind: eventLight, Link: e.Link})
		}
	}
	slices.SortStableFunc(c.events, func(a, b Event) int { return cmp.Compare(a.At, b.At) })
	return c
}

// start begins the calendar, again where it has begun.
func (c *calendar) start() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end()
	c.began, c.next = time.Now(), 0
	c.await(c.round)
}

// stop returns when no event happens any more. A second stop does nothing.
func (c *calendar) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end()
}

func (c *calendar) end() {
	c.round++
	if c.timer != nil {
		c.timer.Stop()
	}
}

func (c *calendar) await(round int) {
	if c.next < len(c.events) {
		c.timer = time.AfterFunc(max(time.Until(c.began.Add(c.events[c.next].At)), 0), func() { c.due(round) })
	}
}

func (c *calendar) due(round int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if round != c.round {
		return
	}
	e := c.events[c.next]
	c.next++
	c.happen(e)
	c.await(round)
}
