package cc

import (
	"math/rand/v2"
	"time"

	"github.com/tolkyn/tolkyn/bench/cc/tcp"
	"github.com/tolkyn/tolkyn/internal/netsim"
	"github.com/tolkyn/tolkyn/sfu/bwe"
	"github.com/tolkyn/tolkyn/sfu/pace"
)

// Run plays a case and measures it: the first maker is for all flows, or there is one for each. Equal seeds of pure
// controllers give equal results to the bit.
func Run(c Case, makers []Maker, seed uint64) Result {
	e := newEngine(c, makers, seed)
	e.run()
	return e.result()
}

// engine is a case under way.
type engine struct {
	c     Case
	now   time.Duration
	todo  agenda
	links []*netsim.Link
	flows []*flow
	bulks []*bulk
	log   *log

	packets  pool[packet]
	messages pool[message]
	segments pool[segment]
	acks     pool[tcp.Ack]
}

// packet is one under way.
type packet struct {
	number uint64
	size   int
	kind   content
	probe  uint32
	hop    int // of its route, that it comes to next
	marked bool
}

type content uint8

const (
	audio content = iota
	video
	padding
)

// message is a report under way.
type message struct {
	results []bwe.Result
	hop     int
	size    int
}

// flow is one Flow under way.
type flow struct {
	Flow
	index      int32
	maker      Maker
	controller Controller
	encoder    encoder
	queue      *pace.Queue[time.Duration] // of what came when
	receiver   receiver
	random     *rand.Rand
	before     *netsim.Link
	after      *netsim.Link
	back       *netsim.Link

	number    uint64
	estimate  bwe.Estimate
	release   time.Duration // when the pacer's event is; 0: none
	pollTimer int32         // version: older events are void
}

func newEngine(c Case, makers []Maker, seed uint64) *engine {
	e := &engine{c: c, log: newLog(c)}
	for i, trace := range c.Links {
		l := netsim.NewLink(netsim.LinkConfig{}, mix(seed, 1, uint64(i)))
		l.Follow(trace, 0)
		e.links = append(e.links, l)
	}
	for i, f := range c.Flows {
		maker := makers[0]
		if i < len(makers) {
			maker = makers[i]
		}
		if f.Stop == 0 {
			f.Stop = c.Duration
		}
		f.Source = f.Source.withDefaults()
		n := uint64(i)
		random := rand.New(rand.NewPCG(mix(seed, 2, n), 0x6363))
		state := &flow{
			Flow: f, index: int32(i), maker: maker, random: random, queue: pace.NewQueue[time.Duration](),
			before: netsim.NewLink(f.Before, mix(seed, 3, n)),
			after:  netsim.NewLink(f.After, mix(seed, 4, n)),
			back:   netsim.NewLink(f.Return, mix(seed, 5, n)),
			receiver: receiver{
				seen: make([]arrival, arrivals), next: 1, tick: arrivalTick,
				// Any clock, and as far off as cheap crystals are.
				offset: time.Duration(random.Int64N(int64(24 * time.Hour))), drift: (2*random.Float64() - 1) * 50e-6,
			},
		}
		if f.ECN {
			state.receiver.tick = arrivalTickECN
		}
		state.encoder = newEncoder(f.Source, f.Start, mix(seed, 6, n))
		e.flows = append(e.flows, state)
		state.queue.Dropped = func(now time.Duration, it pace.Item[time.Duration]) { e.log.stale(state.index, now, it.Size) }
		e.todo.add(f.Start, starts, state.index, 0)
	}
	for i, t := range c.TCP {
		e.bulks = append(e.bulks, newBulk(c, t, mix(seed, 7, uint64(i))))
		e.todo.add(t.Start, sends, int32(i), 0)
	}
	return e
}

// mix makes independent seeds of one.
func mix(seed, what, index uint64) uint64 {
	x := seed*0x9e3779b97f4a7c15 + what*0xbf58476d1ce4e5b9 + index*0x94d049bb133111eb
	x ^= x >> 31
	return x * 0xd6e8feb86659fd93
}

// run plays all events.
func (e *engine) run() {
	for len(e.todo.events) > 0 {
		ev := e.todo.next()
		if ev.at >= e.c.Duration {
			break
		}
		e.now = ev.at
		e.happen(ev)
	}
	for _, f := range e.flows {
		if f.controller != nil && f.maker.Close != nil {
			f.maker.Close(f.controller)
		}
	}
}

func (e *engine) happen(ev event) {
	if ev.kind >= sends {
		e.happenTCP(ev)
		return
	}
	f := e.flows[ev.flow]
	switch ev.kind {
	case starts:
		e.start(f)
	case captures:
		e.capture(f)
	case speaks:
		e.speak(f)
	case releases:
		if f.release == ev.at {
			f.release = 0
			e.drain(f)
		}
	case reaches:
		e.forward(f, ev.what)
	case arrives:
		e.arrive(f, ev.what)
	case reports:
		e.report(f)
	case hears:
		e.hear(f, ev.what)
	case polls:
		if f.pollTimer == ev.what {
			e.poll(f)
		}
	}
}

func (e *engine) start(f *flow) {
	cfg := e.c.Config
	cfg.Priority = f.Priority
	f.controller = f.maker.New(e.now, cfg)
	if !f.Untold {
		f.controller.Wants(e.now, f.encoder.most())
	}
	e.poll(f)
	// Nobody's camera is in step with another's.
	if !f.Source.NoVideo {
		e.todo.add(e.now+time.Duration(f.random.Int64N(int64(frameInterval))), captures, f.index, 0)
	}
	if !f.Source.NoAudio {
		e.todo.add(e.now+time.Duration(f.random.Int64N(int64(audioInterval))), speaks, f.index, 0)
	}
	e.todo.add(e.now+f.receiver.interval(e.now), reports, f.index, 0)
}

func (e *engine) capture(f *flow) {
	paused, ended := f.silent(e.now)
	if ended {
		return
	}
	e.todo.add(e.now+frameInterval, captures, f.index, 0)
	if paused {
		return
	}
	split(f.encoder.frame(e.now), func(size int) {
		f.queue.Push(e.now, pace.Item[time.Duration]{Class: pace.Video, Size: size, Value: e.now})
	})
	e.drain(f)
}

func (e *engine) speak(f *flow) {
	paused, ended := f.silent(e.now)
	if ended {
		return
	}
	e.todo.add(e.now+audioInterval, speaks, f.index, 0)
	if paused {
		return
	}
	f.queue.Push(e.now, pace.Item[time.Duration]{Class: pace.Audio, Size: audioPacket, Value: e.now})
	e.drain(f)
}

// drain sends what the pacer lets out now, and comes again when it says.
func (e *engine) drain(f *flow) {
	for {
		it, probe, ok := f.queue.Pop(e.now)
		if ok {
			e.log.queued(f.index, e.now-it.Value, e.now)
			what := video
			if it.Class == pace.Audio {
				what = audio
			}
			e.send(f, it.Size, what, probe)
			continue
		}
		size := f.queue.Padding(e.now)
		if size == 0 {
			break
		}
		size = min(max(size, minPadding), maxPacket)
		probe, ok = f.queue.Take(e.now, pace.Padding, size)
		if !ok {
			break
		}
		e.send(f, size, padding, probe)
	}
	next := f.queue.Bucket.Next(e.now, pace.Padding)
	if waits := f.queue.Next(e.now); waits != 0 {
		next = min(next, waits)
	}
	// What could not leave now must wait: a pacer that says "now" would be asked for ever.
	next = max(next, e.now+100*time.Microsecond)
	if f.release == 0 || next < f.release {
		f.release = next
		e.todo.add(next, releases, f.index, 0)
	}
}

// send puts one packet on its way.
func (e *engine) send(f *flow, size int, what content, probe uint32) {
	f.number++
	f.controller.Sent(e.now, bwe.Packet{Number: f.number, Size: size, Probe: probe})
	e.log.sent(f.index, e.now, size, what, probe)
	fate := netsim.Fate{At: e.now}
	if f.Before != (netsim.LinkConfig{}) {
		fate = f.before.Send(e.now, size)
	}
	if fate.Verdict != netsim.Arrives {
		e.log.lost(f.index, e.now, -1)
		return
	}
	index := e.packets.put(packet{number: f.number, size: size, kind: what, probe: probe})
	if fate.At > e.now {
		e.todo.add(fate.At, reaches, f.index, index)
		return
	}
	e.forward(f, index)
}

// forward puts a packet on the next bottleneck of its route, or on the flow's own way behind the last.
func (e *engine) forward(f *flow, index int32) {
	p := e.packets.at(index)
	if p.hop == len(f.Route) {
		e.deliver(f, index, e.now)
		return
	}
	number := f.Route[p.hop]
	fate := e.links[number].Send(e.now, p.size)
	if fate.Verdict != netsim.Arrives {
		e.log.lost(f.index, e.now, number)
		e.packets.drop(index)
		return
	}
	e.log.waited(number, e.now, fate.Wait)
	p.marked = p.marked || fate.Marked && f.ECN
	if p.hop++; p.hop < len(f.Route) {
		e.todo.add(fate.At, reaches, f.index, index)
		return
	}
	// The last bottleneck lets this flow's packets out in order: what follows can be told at once.
	e.deliver(f, index, fate.At)
}

func (e *engine) deliver(f *flow, index int32, at time.Duration) {
	fate := f.after.Send(at, e.packets.at(index).size)
	if fate.Verdict != netsim.Arrives {
		e.log.lost(f.index, e.now, -1)
		e.packets.drop(index)
		return
	}
	e.todo.add(fate.At, arrives, f.index, index)
}

func (e *engine) arrive(f *flow, index int32) {
	p := *e.packets.at(index)
	e.packets.drop(index)
	e.log.arrived(f.index, e.now, p)
	f.receiver.arrive(e.now, p.number, p.size, p.marked)
}

// report sends what the receiver has seen since the last one.
func (e *engine) report(f *flow) {
	e.todo.add(e.now+f.receiver.interval(e.now), reports, f.index, 0)
	if !f.receiver.fresh {
		return
	}
	index := e.messages.take()
	m := e.messages.at(index)
	m.results, m.hop = f.receiver.report(m.results[:0]), 0
	m.size = feedbackSize(len(m.results), f.ECN)
	e.log.reported(f.index, m.size)
	for _, s := range f.Silences {
		if s.holds(e.now) { // it was sent and is lost
			e.messages.drop(index)
			return
		}
	}
	e.hear(f, index)
}

// hear takes a report over the bottlenecks back, and then to the controller.
func (e *engine) hear(f *flow, index int32) {
	m := e.messages.at(index)
	var fate netsim.Fate
	switch {
	case m.hop < len(f.Back):
		fate = e.links[f.Back[m.hop]].Send(e.now, m.size)
	case m.hop == len(f.Back):
		fate = f.back.Send(e.now, m.size)
	default:
		e.feedback(f, m.results)
		e.messages.drop(index)
		return
	}
	if fate.Verdict != netsim.Arrives {
		e.messages.drop(index)
		return
	}
	m.hop++
	e.todo.add(fate.At, hears, f.index, index)
}

func (e *engine) feedback(f *flow, results []bwe.Result) {
	f.Liar.tell(f.random, results, func(told []bwe.Result) { f.controller.Feedback(e.now, told) })
	e.poll(f)
}

// poll takes what the controller says now to the pacer and to the encoder.
func (e *engine) poll(f *flow) {
	est := f.controller.Poll(e.now)
	if est.Pacing == 0 {
		est.Pacing = est.Target * 3 / 2
	}
	f.estimate = est
	f.encoder.retarget(e.now, est.Target)
	f.queue.SetEstimate(e.now, est)
	e.log.estimated(f.index, e.now, est)
	f.pollTimer++
	if est.Next != 0 {
		e.todo.add(max(est.Next, e.now+time.Millisecond), polls, f.index, f.pollTimer)
	}
	e.drain(f)
}
