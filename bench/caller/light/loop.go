package light

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tolkyn/tolkyn/bench/measure"
	"github.com/tolkyn/tolkyn/internal/rtcp"
	"github.com/tolkyn/tolkyn/internal/udp"
)

// loop is the goroutine that runs a share of a fleet's devices: nothing of them is touched by anybody else meanwhile.
type loop struct {
	// Fixed after newLoop.
	cfg   *Config
	start time.Time     // zero of the run's clock, monotonic
	epoch time.Time     // the same on the wall clock
	stop  chan struct{} // closed by close
	ended chan struct{} // closed when the goroutine is gone
	// shared carries all devices whose server is on this machine; nil: they have sockets of their own.
	shared *udp.Shared

	// Owned by run.
	wheel   wheel
	batch   *udp.Batch
	queue   *udp.Queue // of a device with its own socket, flushed at once
	outbox  *udp.Queue // of the shared socket, flushed once a turn
	sampler sampler
	hungry  time.Duration // until when everything is taken whole
	sharing int           // devices on the shared socket
	places  []*device     // of them, by the number of their address; nil: none
	scratch []byte        // of RTCP
	blocks  []rtcp.ReportBlock
	numbers []uint16
	devices map[*device]struct{}
	here    [udp.MaxMessages]*device // whom the batch's datagrams are for
	seen    uint64                   // of no meaning, see approach
	late    measure.Histogram        // by how much turns were late, since it was last told

	// Guarded by mu.
	mu     sync.Mutex
	orders []func(now time.Duration)
	wake   chan struct{} // holds a token when orders came

	// Atomic.
	slips atomic.Int64 // how often media was put off, see slip
}

func newLoop(cfg *Config, start time.Time, number int) (*loop, error) {
	l := &loop{
		cfg: cfg, start: start, epoch: start.Round(0), stop: make(chan struct{}), ended: make(chan struct{}),
		// A frame of 720p has 5 packets, a keyframe up to 60.
		batch: udp.NewBatch(), queue: udp.NewQueue(udp.MaxMessages),
		scratch: make([]byte, 0, 2048), devices: map[*device]struct{}{}, wake: make(chan struct{}, 1),
	}
	l.wheel.turned = int64(time.Since(start) / tick)
	l.outbox = udp.NewQueue(sharedQueue)
	l.sampler = newSampler(cfg.OpenOneIn, uint64(number))
	if cfg.OwnSockets {
		return l, nil
	}
	var err error
	l.shared, err = udp.ListenShared(udp.Config{DisableGRO: true, Timestamps: true, ReadBuffer: sharedBuffer, WriteBuffer: sharedBuffer})
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return nil, err
	}
	return l, nil
}

const (
	// sharedBuffer holds a second of 80,000 packets of 1,100 bytes, each of which the kernel counts as some 2,300.
	sharedBuffer = 192 << 20
	// sharedQueue is a turn's datagrams of a thousand callers; more are sent in two calls.
	sharedQueue = 256
	// stall is how late a turn may be and the media that is due still goes out at once: two packets of sound of each caller.
	stall = 40 * time.Millisecond
)

func (l *loop) now() time.Duration { return time.Since(l.start) }

// run turns the wheel until close. With nobody on it, it sleeps.
func (l *loop) run() {
	defer close(l.ended)
	var now time.Duration
	var sleeper sleeper
	fire := func(t *timer) { l.serve(t, now) }
	for {
		l.obey()
		if len(l.devices)+l.sharing == 0 {
			select {
			case <-l.wake:
			case <-l.stop:
				return
			}
			l.wheel.turned = max(l.wheel.turned, int64(l.now()/tick)-1)
			continue
		}
		select {
		case <-l.stop:
			return
		default:
		}
		now = l.now()
		due := time.Duration(l.wheel.turned+1) * tick
		l.late.Add(max(0, now-due))
		if now-due > stall {
			l.slip(now - due)
		}
		l.wheel.turn(now, fire)
		l.flush() // what is stamped as sent does not wait until all is read
		l.read(l.now())
		l.flush()
		// Up to the next tick, so that a turn that took long does not push the others back.
		if wait := time.Duration(l.wheel.turned+1)*tick - l.now(); wait > 0 {
			sleeper.sleep(wait)
		}
	}
}

// slip puts off all media by as long as the loop was held up. A thousand callers on machines of their own do not pause together
// and then send in one moment what they owe: after 0.9 s a server's socket had no room for that, and its loss was of our making.
// Each keeps its place between the others.
func (l *loop) slip(by time.Duration) {
	l.slips.Add(1)
	for d := range l.devices {
		for _, t := range d.published {
			t.began += by
			l.wheel.arm(&t.timer, t.timer.at+by)
		}
	}
}

// serve does what a timer is for, and arms it again.
func (l *loop) serve(t *timer, now time.Duration) {
	if t.track != nil {
		l.wheel.arm(t, t.device.sendFrame(l, now, t.track))
		return
	}
	l.wheel.arm(t, t.device.turn(l, now))
}

// read takes everything that has arrived at the shared socket.
func (l *loop) read(now time.Duration) {
	for l.sharing > 0 {
		whole := ^uint64(0)
		if now >= l.hungry {
			whole = l.sampler.next()
		}
		l.batch.Glance(glance, whole)
		n, err := l.shared.Read(l.batch)
		if err != nil {
			return
		}
		l.approach(n)
		for i := range n {
			if d := l.here[i]; d != nil {
				l.hand(now, d, i, whole&(1<<i) != 0)
			}
		}
		l.sampler.passed(n)
		if n < udp.MaxMessages {
			return // the kernel had no more
		}
	}
}

// approach finds the devices that the batch's n datagrams are for, and looks at what of each is needed first. None of it is in
// the processor's caches, and reads that do not wait for each other are made at one time: handing over one by one waits for each.
func (l *loop) approach(n int) {
	for i := range n {
		l.here[i] = nil // it has left
		if number := addressNumber(l.batch.To(i)); number < len(l.places) {
			l.here[i] = l.places[number]
		}
	}
	sum := l.seen
	for _, d := range l.here[:n] {
		if d != nil {
			sum += uint64(d.heard) + uint64(d.rtt) + uint64(d.receivedPackets)
		}
	}
	for _, d := range l.here[:n] {
		if d != nil && d.last != nil {
			sum += uint64(d.last.slot.ssrc) + uint64(d.last.gaps.received) + uint64(d.last.lastSRAt)
		}
	}
	l.seen = sum // so that the reads are made
}

// hand gives the i-th datagram of the batch to a device.
func (l *loop) hand(now time.Duration, d *device, i int, picked bool) {
	if !d.ready {
		if data, from := l.batch.Datagram(i); l.batch.Size(i) == len(data) {
			d.greet(data, from)
		}
		return
	}
	gaps := d.gaps
	d.take(l, now, i, picked)
	l.hungry = max(l.hungry, d.hungry)
	if d.gaps && !gaps {
		l.wheel.arm(&d.timer, min(d.timer.at, now+reorder))
	}
}

func (l *loop) flush() {
	if l.outbox.Len() > 0 {
		_ = l.shared.Flush(l.outbox) // never closed before the loop has ended
	}
}

// expect hands a device what comes for it from now on.
func (l *loop) expect(d *device) {
	l.do(func(now time.Duration) {
		number := addressNumber(d.path.local)
		for len(l.places) <= number {
			l.places = append(l.places, nil)
		}
		l.places[number] = d
		l.sharing++
		l.hungry = max(l.hungry, now+hunger) // handshakes are taken whole
	})
}

// forget drops what still comes for a device.
func (l *loop) forget(d *device) {
	if d.path.shared != nil {
		l.do(func(time.Duration) { l.vacate(d) })
	}
}

func (l *loop) vacate(d *device) {
	if d.path.shared == nil {
		return
	}
	if number := addressNumber(d.path.local); number < len(l.places) && l.places[number] == d {
		l.places[number] = nil
		l.sharing--
	}
}

// do runs order between two turns and returns when it is done; false when the loop has ended.
func (l *loop) do(order func(now time.Duration)) bool {
	done := make(chan struct{})
	l.mu.Lock()
	l.orders = append(l.orders, func(now time.Duration) {
		order(now)
		close(done)
	})
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
	select {
	case <-done:
		return true
	case <-l.ended:
		return false
	}
}

func (l *loop) obey() {
	l.mu.Lock()
	orders := l.orders
	l.orders = nil
	l.mu.Unlock()
	for _, order := range orders {
		order(l.now())
	}
}

func (l *loop) add(d *device) {
	l.do(func(now time.Duration) {
		l.devices[d] = struct{}{}
		d.begin(l, now)
	})
}

func (l *loop) remove(d *device) {
	l.do(func(now time.Duration) {
		d.end(l, now)
		delete(l.devices, d)
		l.vacate(d)
	})
}

func (l *loop) close() error {
	close(l.stop)
	<-l.ended
	if l.shared == nil {
		return nil
	}
	return l.shared.Close()
}
