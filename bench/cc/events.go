package cc

import "time"

// kind of an event.
type kind uint8

const (
	starts         kind = iota // a flow begins
	captures                   // a video frame
	speaks                     // an audio packet
	releases                   // the pacer may have something
	reaches                    // a packet reaches the next bottleneck of its route
	arrives                    // a packet arrives
	reports                    // a receiver's report is due
	hears                      // a report arrives
	polls                      // the controller asked for it
	sends                      // a TCP flow may send
	segmentReaches             // a segment reaches the next bottleneck
	segmentArrives             // a segment arrives
	acks                       // a delayed acknowledgement is due
	ackArrives                 // an acknowledgement arrives
)

// event happens at a time to a flow.
type event struct {
	at    time.Duration
	order uint64 // equal times keep the order in which they were said
	kind  kind
	flow  int32 // or TCP flow
	what  int32 // index of a packet or message, or the version of a timer
}

// agenda is a heap of what comes.
type agenda struct {
	events []event
	order  uint64
}

func (a *agenda) before(i, j int) bool {
	x, y := &a.events[i], &a.events[j]
	return x.at < y.at || x.at == y.at && x.order < y.order
}

func (a *agenda) add(at time.Duration, k kind, flow, what int32) {
	a.order++
	a.events = append(a.events, event{at, a.order, k, flow, what})
	i := len(a.events) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if !a.before(i, parent) {
			break
		}
		a.events[i], a.events[parent] = a.events[parent], a.events[i]
		i = parent
	}
}

func (a *agenda) next() event {
	first, last := a.events[0], len(a.events)-1
	a.events[0] = a.events[last]
	a.events = a.events[:last]
	for i := 0; ; {
		child := 2*i + 1
		if child >= last {
			break
		}
		if child+1 < last && a.before(child+1, child) {
			child++
		}
		if !a.before(child, i) {
			break
		}
		a.events[i], a.events[child] = a.events[child], a.events[i]
		i = child
	}
	return first
}
