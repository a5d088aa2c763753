package cc

import (
	"time"

	"github.com/tolkyn/tolkyn/bench/cc/tcp"
	"github.com/tolkyn/tolkyn/internal/netsim"
)

// bulk is one TCP flow under way.
type bulk struct {
	Bulk
	sender interface {
		Poll(now time.Duration) (tcp.Segment, bool)
		Handle(now time.Duration, a tcp.Ack)
		Next() time.Duration
	}
	receiver tcp.Receiver
	after    *netsim.Link
	back     *netsim.Link
	sendAt   time.Duration // when the sender's event is; 0: none
	ackAt    time.Duration // when the receiver's is
}

// segment is one under way.
type segment struct {
	tcp.Segment
	hop int
}

func newBulk(c Case, t Bulk, seed uint64) *bulk {
	if t.Stop == 0 {
		t.Stop = c.Duration
	}
	b := &bulk{Bulk: t, after: netsim.NewLink(t.After, mix(seed, 1, 0)), back: netsim.NewLink(t.Return, mix(seed, 2, 0))}
	if t.Short {
		b.sender = tcp.NewShort(t.Start, t.Algorithm, t.Busy, seed)
	} else {
		b.sender = tcp.New(tcp.Config{Algorithm: t.Algorithm})
	}
	return b
}

func (e *engine) happenTCP(ev event) {
	b := e.bulks[ev.flow]
	switch ev.kind {
	case sends:
		if b.sendAt == ev.at || b.sendAt == 0 {
			b.sendAt = 0
			e.sendTCP(b, ev.flow)
		}
	case segmentReaches:
		e.forwardTCP(b, ev.flow, ev.what)
	case segmentArrives:
		s := *e.segments.at(ev.what)
		e.segments.drop(ev.what)
		e.log.arrivedTCP(e.now, s.Size)
		if a, ok := b.receiver.Handle(e.now, s.Segment); ok {
			e.acknowledge(b, ev.flow, a)
		}
		e.dueAck(b, ev.flow)
	case acks:
		if b.ackAt != ev.at {
			return
		}
		b.ackAt = 0
		if a, ok := b.receiver.Poll(e.now); ok {
			e.acknowledge(b, ev.flow, a)
		}
		e.dueAck(b, ev.flow)
	case ackArrives:
		a := *e.acks.at(ev.what)
		e.acks.drop(ev.what)
		b.sender.Handle(e.now, a)
		e.sendTCP(b, ev.flow)
	}
}

func (e *engine) sendTCP(b *bulk, index int32) {
	if e.now >= b.Stop {
		return
	}
	for {
		s, ok := b.sender.Poll(e.now)
		if !ok {
			break
		}
		e.forwardTCP(b, index, e.segments.put(segment{Segment: s}))
	}
	if next := b.sender.Next(); next != 0 && next != b.sendAt {
		b.sendAt = max(next, e.now+1)
		e.todo.add(b.sendAt, sends, index, 0)
	}
}

func (e *engine) forwardTCP(b *bulk, index, what int32) {
	s := e.segments.at(what)
	at := e.now
	for s.hop < len(b.Route) {
		fate := e.links[b.Route[s.hop]].SendTCP(e.now, s.Size)
		if fate.Verdict != netsim.Arrives {
			e.segments.drop(what)
			return
		}
		at = fate.At
		if s.hop++; s.hop < len(b.Route) {
			e.todo.add(at, segmentReaches, index, what)
			return
		}
	}
	fate := b.after.SendTCP(at, s.Size)
	if fate.Verdict != netsim.Arrives {
		e.segments.drop(what)
		return
	}
	e.todo.add(fate.At, segmentArrives, index, what)
}

func (e *engine) acknowledge(b *bulk, index int32, a tcp.Ack) {
	if fate := b.back.SendTCP(e.now, tcp.AckSize); fate.Verdict == netsim.Arrives {
		e.todo.add(fate.At, ackArrives, index, e.acks.put(a))
	}
}

// dueAck has the receiver's delayed acknowledgement come.
func (e *engine) dueAck(b *bulk, index int32) {
	if next := b.receiver.Next(); next != 0 && next != b.ackAt {
		b.ackAt = max(next, e.now+1)
		e.todo.add(b.ackAt, acks, index, 0)
	}
}
