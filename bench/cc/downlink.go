package cc

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/tolkyn/tolkyn/internal/netsim"
	"github.com/tolkyn/tolkyn/sfu/alloc"
	"github.com/tolkyn/tolkyn/sfu/bwe"
	"github.com/tolkyn/tolkyn/sfu/pace"
)

// Downlink is an SFU's sender: it cannot ask an encoder for a rate, it chooses among the layers that publishers send anyway.
//
//	publishers: 150, 500, 1,500 kbit/s, each T1–T3 ─► slots ─► Bucket ─► bottleneck ─► receiver
//	                              ▲ keyframe wishes     ▲ layers                          │ feedback, NACKs
//	                              └───────────── alloc ◄┴─ estimate ◄─ Controller ◄───────┘
type Downlink struct {
	Slots  []Slot
	Voices int // streams of audio, at 50 packets a second each
}

// Slot is one video that the subscriber watches.
type Slot struct {
	Kind          alloc.Kind
	Priority      uint32
	Width, Height uint32 // of its view
}

// Events of a downlink.
const (
	dlCaptures kind = 64 + iota
	dlSpeaks
	dlReleases
	dlArrives
	dlReports
	dlHears
	dlPolls
	dlShares
	dlResends
)

const (
	// publisherRTT is from the wish for a keyframe to its capture; it comes with the next frame then.
	publisherRTT = 60 * ms

	// shareEvery is how often bits are shared at most, but for a fall; noticeable is the change of a target that it takes.
	shareEvery = 50 * ms
	noticeable = 0.03

	// keyframesEvery is how often one encoding is asked for a keyframe at most.
	keyframesEvery = 500 * ms

	// resendAfter is from a loss at the bottleneck to its NACK: the next packet shows it.
	resendAfter = 15 * ms
	resends     = 4
)

// scene is a case of a downlink.
type scene struct {
	Case
	*Downlink
}

// downlink is such a case under way.
type downlink struct {
	c      scene
	now    time.Duration
	todo   agenda
	random *rand.Rand
	link   *netsim.Link
	after  *netsim.Link
	back   *netsim.Link

	publishers []*publisher
	slots      []*slot
	order      []*slot // who leaves first

	controller Controller
	bucket     pace.Bucket
	allocator  alloc.Allocator
	estimate   bwe.Estimate
	shared     bwe.Bitrate   // target that bits were shared for
	sharedAt   time.Duration // 0: never
	sources    []alloc.Source
	choices    []alloc.Choice
	repair     windows

	receiver receiver
	number   uint64
	packets  []dlPacket // by index of events
	repairs  []int32    // wait to be sent again
	reports  [][]bwe.Result
	release  time.Duration
	polling  int32 // version of a timer
	sharing  int32

	seen dlLog
}

// dlPacket is one packet of a downlink, sent or not.
type dlPacket struct {
	slot   int // -1: audio; -2: padding
	frame  int // of the slot
	size   int
	came   time.Duration // at the SFU
	number uint64
	tries  int
}

// play plays a case of it.
func (w *Downlink) play(c Case, m Maker, seed uint64) Result {
	d := &downlink{
		c: scene{c, w}, random: rand.New(rand.NewPCG(mix(seed, 8, 0), 0x736675)),
		link:     netsim.NewLink(netsim.LinkConfig{}, mix(seed, 9, 0)),
		after:    netsim.NewLink(c.Flows[0].After, mix(seed, 9, 1)),
		back:     netsim.NewLink(c.Flows[0].Return, mix(seed, 9, 2)),
		receiver: receiver{seen: make([]arrival, arrivals), next: 1, tick: arrivalTick},
	}
	d.link.Follow(c.Links[0], 0)
	d.receiver.offset = time.Duration(d.random.Int64N(int64(24 * time.Hour)))
	d.receiver.drift = (2*d.random.Float64() - 1) * 50e-6
	for i, s := range w.Slots {
		d.publishers = append(d.publishers, newPublisher(mix(seed, 10, uint64(i))))
		d.slots = append(d.slots, newSlot(i, s))
		d.sources = append(d.sources, alloc.Source{
			Kind: s.Kind, Priority: s.Priority, Width: s.Width, Height: s.Height, Current: alloc.Paused,
		})
		d.todo.add(time.Duration(d.random.Int64N(int64(frameInterval))), dlCaptures, int32(i), 0)
	}
	d.order = slices.Clone(d.slots)
	slices.SortStableFunc(d.order, func(a, b *slot) int { return b.rank() - a.rank() })
	for i := range w.Voices {
		d.todo.add(time.Duration(d.random.Int64N(int64(audioInterval))), dlSpeaks, int32(i), 0)
	}
	d.seen = newDownlinkLog(d.c)
	// The publishers have been there for a while: their rates are known.
	d.controller = m.New(0, c.Config)
	d.poll()
	d.todo.add(d.receiver.interval(0), dlReports, 0, 0)
	d.run()
	if m.Close != nil {
		m.Close(d.controller)
	}
	return d.result()
}

func (d *downlink) run() {
	for len(d.todo.events) > 0 {
		ev := d.todo.next()
		if ev.at >= d.c.Duration {
			return
		}
		d.now = ev.at
		switch ev.kind {
		case dlCaptures:
			d.capture(int(ev.flow))
		case dlSpeaks:
			d.speak(ev.flow)
		case dlReleases:
			if d.release == ev.at {
				d.release = 0
				d.drain()
			}
		case dlArrives:
			d.arrive(ev.what)
		case dlReports:
			d.report()
		case dlHears:
			d.controller.Feedback(d.now, d.reports[ev.what])
			d.poll()
		case dlPolls:
			if d.polling == ev.what {
				d.poll()
			}
		case dlShares:
			if d.sharing == ev.what {
				d.share()
			}
		case dlResends:
			d.repairs = append(d.repairs, ev.what)
			d.drain()
		}
	}
}

// capture has a publisher make one frame of each encoding; the slot takes what it shows.
func (d *downlink) capture(i int) {
	d.todo.add(d.now+frameInterval, dlCaptures, int32(i), 0)
	p, s := d.publishers[i], d.slots[i]
	for encoding := range p.encodings {
		f := p.encodings[encoding].capture(d.now)
		if s.takes(d, encoding, f) {
			d.seen.layer(d, d.now)
			s.enqueue(d, encoding, f)
		}
	}
	s.switchAtOnce(p)
	s.askKeyframe(d, p)
	d.drain()
}

func (d *downlink) speak(voice int32) {
	d.todo.add(d.now+audioInterval, dlSpeaks, voice, 0)
	probe, _ := d.bucket.Take(d.now, pace.Audio, audioPacket)
	d.send(dlPacket{slot: -1, size: audioPacket, came: d.now}, probe)
}

// drain sends what the bucket lets out now: what is to be repaired, then video by weight, then padding.
func (d *downlink) drain() {
	for d.drainOne() {
	}
	next := d.bucket.Next(d.now, pace.Padding)
	if len(d.repairs) > 0 {
		next = min(next, d.bucket.Next(d.now, pace.Repair))
	}
	backlog := 0
	for _, s := range d.slots {
		backlog += s.bytes
	}
	if backlog > 0 {
		next = min(next, d.bucket.Next(d.now, pace.Video))
	}
	d.bucket.Queued(backlog)
	next = max(next, d.now+100*time.Microsecond)
	if d.release == 0 || next < d.release {
		d.release = next
		d.todo.add(next, dlReleases, 0, 0)
	}
}

func (d *downlink) drainOne() bool {
	if len(d.repairs) > 0 {
		p := d.packets[d.repairs[0]]
		if probe, ok := d.bucket.Take(d.now, pace.Repair, p.size); ok {
			d.repairs = d.repairs[1:]
			p.tries++
			d.repair.add(d.now, p.size, 0)
			d.send(p, probe)
			return true
		}
	}
	for _, s := range d.order {
		p, ok := s.next(d)
		if !ok {
			continue
		}
		probe, ok := d.bucket.Take(d.now, pace.Video, p.size)
		if !ok {
			return false
		}
		s.pop()
		d.seen.waited(d.now, d.now-p.came)
		d.send(p, probe)
		return true
	}
	size := d.bucket.Padding(d.now)
	if size == 0 {
		return false
	}
	size = min(max(size, minPadding), maxPacket)
	probe, ok := d.bucket.Take(d.now, pace.Padding, size)
	if ok {
		d.send(dlPacket{slot: -2, size: size, came: d.now}, probe)
	}
	return ok
}

func (d *downlink) send(p dlPacket, probe uint32) {
	d.number++
	p.number = d.number
	d.controller.Sent(d.now, bwe.Packet{Number: p.number, Size: p.size, Probe: probe})
	d.seen.sent(d, p)
	index := int32(len(d.packets))
	d.packets = append(d.packets, p)
	fate := d.link.Send(d.now, p.size)
	if fate.Verdict == netsim.Arrives {
		d.seen.queued(d.now, fate.Wait)
		fate = d.after.Send(fate.At, p.size)
	}
	if fate.Verdict == netsim.Arrives {
		d.todo.add(fate.At, dlArrives, 0, index)
		return
	}
	d.seen.lost(d.now, p)
	if p.slot >= 0 && p.tries < resends {
		rtt := d.c.Flows[0].After.Delay + d.c.Flows[0].Return.Delay
		d.todo.add(d.now+rtt+resendAfter+d.estimate.Queue, dlResends, 0, index)
	}
}

func (d *downlink) arrive(index int32) {
	p := &d.packets[index]
	d.receiver.arrive(d.now, p.number, p.size, false)
	d.seen.arrived(d.now, p)
	if p.slot >= 0 {
		d.slots[p.slot].arrive(d, p.frame)
	}
}

func (d *downlink) report() {
	d.todo.add(d.now+d.receiver.interval(d.now), dlReports, 0, 0)
	if !d.receiver.fresh {
		return
	}
	results := d.receiver.report(nil)
	fate := d.back.Send(d.now, feedbackSize(len(results), false))
	if fate.Verdict != netsim.Arrives {
		return
	}
	d.reports = append(d.reports, results)
	d.todo.add(fate.At, dlHears, 0, int32(len(d.reports)-1))
}

// poll takes what the controller says now to the bucket, and shares the bits when they have changed.
func (d *downlink) poll() {
	est := d.controller.Poll(d.now)
	if est.Pacing == 0 {
		est.Pacing = est.Target * 3 / 2
	}
	est.Lasts = max(est.Lasts, est.Target)
	d.estimate = est
	d.bucket.SetEstimate(d.now, est)
	d.seen.estimated(d.now, est)
	d.polling++
	if est.Next != 0 {
		d.todo.add(max(est.Next, d.now+ms), dlPolls, 0, d.polling)
	}
	less := float64(est.Lasts) < float64(d.shared)*(1-noticeable)
	more := float64(est.Lasts) > float64(d.shared)*(1+noticeable)
	switch {
	case less || more && d.now >= d.sharedAt+shareEvery:
		d.share()
	case more:
		d.shareAt(d.sharedAt + shareEvery)
	}
	d.drain()
}

func (d *downlink) shareAt(at time.Duration) {
	d.sharing++
	d.todo.add(at, dlShares, 0, d.sharing)
}

// share gives each slot its layer.
func (d *downlink) share() {
	d.shared, d.sharedAt = d.estimate.Lasts, d.now
	for i, s := range d.slots {
		s.offer(d.now, d.publishers[i], &d.sources[i])
	}
	voices := bwe.Bitrate(audioRate) * bwe.Bitrate(d.c.Voices)
	bits := d.estimate.Lasts - voices - bwe.Bitrate(d.repair.rate(d.now))
	choices, wants, next := d.allocator.Allocate(d.now, bits, d.sources, d.choices[:0])
	d.choices = choices
	for i, c := range choices {
		d.seen.chosen(d.now, i, d.sources[i].Current, c.Layer)
		if c.Layer != d.sources[i].Current {
			d.sources[i].Current, d.sources[i].Since = c.Layer, d.now
		}
		s := d.slots[i]
		s.choose(c.Layer)
		s.switchAtOnce(d.publishers[i])
		s.askKeyframe(d, d.publishers[i])
	}
	d.controller.Wants(d.now, wants+voices)
	at := d.now + 500*ms // rates are measured
	if next != 0 {
		at = min(at, max(next, d.now+ms))
	}
	d.shareAt(at)
}
