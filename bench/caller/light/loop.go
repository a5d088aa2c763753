package light

import (
	"sync"
	"time"

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

	// Owned by run.
	wheel   wheel
	batch   *udp.Batch
	queue   *udp.Queue
	scratch []byte // of RTCP
	blocks  []rtcp.ReportBlock
	numbers []uint16
	devices map[*device]struct{}
	late    time.Duration // by how much the wheel was late at most, since it was last told

	// Guarded by mu.
	mu     sync.Mutex
	orders []func(now time.Duration)
	wake   chan struct{} // holds a token when orders came
}

func newLoop(cfg *Config, start time.Time) *loop {
	l := &loop{
		cfg: cfg, start: start, epoch: start.Round(0), stop: make(chan struct{}), ended: make(chan struct{}),
		// A frame of 720p has 5 packets, a keyframe up to 60.
		batch: udp.NewBatch(), queue: udp.NewQueue(udp.MaxMessages),
		scratch: make([]byte, 0, 2048), devices: map[*device]struct{}{}, wake: make(chan struct{}, 1),
	}
	l.wheel.turned = int64(time.Since(start) / tick)
	return l
}

func (l *loop) now() time.Duration { return time.Since(l.start) }

// run turns the wheel until close. With nobody on it, it sleeps.
func (l *loop) run() {
	defer close(l.ended)
	var now time.Duration
	fire := func(t *timer) { l.serve(t, now) }
	for {
		l.obey()
		if len(l.devices) == 0 {
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
		l.late = max(l.late, now-due)
		l.wheel.turn(now, fire)
		// Up to the next tick, so that a turn that took long does not push the others back.
		if wait := time.Duration(l.wheel.turned+1)*tick - l.now(); wait > 0 {
			time.Sleep(wait)
		}
	}
}

// serve does what a timer is for, and arms it again.
func (l *loop) serve(t *timer, now time.Duration) {
	if t.track != nil {
		l.wheel.arm(t, t.device.sendFrame(l, now, t.track))
		return
	}
	t.device.turn(l, now)
	next := t.at + l.cfg.ReadEvery
	if next <= now { // behind by a whole interval: no use in making it up
		next = now + l.cfg.ReadEvery
	}
	l.wheel.arm(t, next)
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
	})
}

func (l *loop) close() {
	close(l.stop)
	<-l.ended
}
