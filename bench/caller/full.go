package caller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/pion/rtp"

	"github.com/tolkyn/tolkyn/bench/measure"
	"github.com/tolkyn/tolkyn/bench/scenario"
	"github.com/tolkyn/tolkyn/bench/source"
)

// dialWithin is how long coming into a call may take: nobody waits longer.
const dialWithin = 30 * time.Second

// full is one full caller. Its run is on a goroutine of its own; packets come from the connection's.
type full struct {
	// Fixed after newFull.
	role   *role
	dialer Dialer
	epoch  time.Time
	tapes  []*tape
	net    *network
	debug  func(who, what string, args ...any)

	// Guarded by mu.
	mu       sync.Mutex
	receiver *receiver
	conn     Connection
	dialing  int // counts dials: what comes from an older connection is not taken
	steps    map[measure.Step]time.Duration
	began    time.Duration // of the first dial
	joining  bool          // a dial is under way, or was when the run ended
	since    time.Duration // of that dial
	stats    Stats         // of the newest connection
	before   Stats         // of those before it, summed
	flows    chan struct{} // closed when media of the newest connection can flow
	flowing  bool          // it is closed
	up       bool
	newest   time.Duration // when the last packet came
	lost     time.Duration // when the last packet came before media was lost; 0: it is not
	gaps     []float64
	warm     reading // of the data volume when the warm-up was over
	err      error
}

func newFull(r *role, c *cast, d Dialer, clips *source.Clips, n *network, job Job, debug func(string, string, ...any)) (*full, error) {
	f := &full{role: r, dialer: d, epoch: job.Epoch, net: n, debug: debug, steps: map[measure.Step]time.Duration{}}
	f.receiver = newReceiver(r, c, job.Epoch, job.Warmup, f.ask)
	if r.Record {
		f.receiver.tapes = &recorder{who: r.Identity}
	}
	for _, track := range r.Publish {
		if track.Layers > 1 && job.Target.Kind != "tolkyn" {
			return nil, fmt.Errorf("full callers send several layers to a Tolkyn server alone: leave layers out of group %s", r.Group)
		}
	}
	var err error
	f.tapes, err = newTapes(clips, r.Caller)
	return f, err
}

func (f *full) now() time.Duration { return time.Since(f.epoch) }

// run does what the schedule says, until ctx ends. Then it leaves.
func (f *full) run(ctx context.Context) {
	var playing *playing
	leave := func() {
		if playing != nil {
			playing.stop()
			playing = nil
		}
		f.hangUp()
	}
	defer leave()
	for _, e := range f.role.Events {
		if !sleepUntil(ctx, f.epoch.Add(e.At)) {
			return
		}
		switch e.Do {
		case scenario.Join, scenario.Rejoin:
			if err := f.dial(ctx); err != nil {
				if ctx.Err() == nil {
					f.fail(err)
				}
				continue
			}
			for _, t := range f.tapes {
				t.muted.Store(false) // whoever comes again has an open microphone too
			}
			playing = startPlaying(ctx, f.tapes, f.ready(), f.fail)
		case scenario.Leave:
			leave()
		case scenario.Drop:
			f.debug(f.role.Identity, "drop")
			f.net.drop()
		case scenario.Look:
			f.look(e.Size)
		case scenario.Mute, scenario.Unmute:
			for _, t := range f.tapes {
				if t.kind == measure.Audio {
					t.muted.Store(e.Do == scenario.Mute)
				}
			}
		}
	}
	<-ctx.Done()
}

func sleepUntil(ctx context.Context, at time.Time) bool {
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (f *full) dial(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, dialWithin)
	defer cancel()
	f.mu.Lock()
	f.dialing++
	f.flows, f.flowing = make(chan struct{}), false
	number := f.dialing
	f.joining, f.since = true, f.now()
	if number == 1 {
		f.began = f.since
	} else {
		f.receiver.comeAgain()
	}
	f.mu.Unlock()
	p := Participant{
		Room: f.role.Room, Identity: f.role.Identity,
		AudioSlots: f.role.AudioSlots, VideoSlots: f.role.VideoSlots, Network: f.net.of(), Saver: saves(f.role.Publish),
		On: Events{
			Step: func(s measure.Step, at time.Time) { f.step(number, s, at) },
			Packet: func(at time.Time, from Source, p *rtp.Packet, came measure.Repair) {
				f.packet(number, at, from, p, came)
			},
			KeyframeRequest: f.keyframe,
			Up:              func(at time.Time, up bool) { f.isUp(number, at, up) },
		},
	}
	for _, t := range f.tapes {
		t.unwanted.Store(false) // no word has come of it yet
	}
	p.Tracks = tracksOf(f.tapes)
	conn, err := f.dialer.Dial(ctx, p)
	if err != nil {
		return fmt.Errorf("join room %s: %w", f.role.Room, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.conn, f.joining = conn, false
	f.net.serves(conn)
	return nil
}

// look tells how large pictures are from now on.
func (f *full) look(size scenario.Size) {
	f.mu.Lock()
	conn := f.conn
	f.mu.Unlock()
	if conn != nil {
		conn.Look(size.Pixels())
	}
	f.debug(f.role.Identity, "look", "size", size)
}

// ready is closed once media can flow: what is sent before is lost, the first keyframe with it.
func (f *full) ready() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.flows
}

// hangUp says goodbye and waits for the connection's end.
func (f *full) hangUp() {
	f.note()
	f.mu.Lock()
	conn := f.conn
	f.conn, f.up, f.lost = nil, false, 0
	f.dialing++ // what still comes is nobody's
	f.before.Reconnects += f.stats.Reconnects
	f.before.Dropped += f.stats.Dropped
	f.before.Up += f.stats.Up
	f.before.Down += f.stats.Down
	f.stats.Reconnects, f.stats.Dropped, f.stats.Up, f.stats.Down = 0, 0, 0, 0
	f.mu.Unlock()
	if conn == nil {
		return
	}
	if err := conn.Close(); err != nil {
		f.debug(f.role.Identity, "close", "error", err.Error())
	}
}

// note keeps the connection's figures while there is one to ask.
func (f *full) note() {
	f.mu.Lock()
	conn := f.conn
	f.mu.Unlock()
	if conn == nil {
		return
	}
	stats := conn.Stats()
	f.mu.Lock()
	defer f.mu.Unlock()
	if stats.Signaling == "none" || stats.Signaling == "" {
		stats.Signaling = f.stats.Signaling
	}
	if stats.Path == "" {
		stats.Path, stats.RTT = f.stats.Path, f.stats.RTT
	}
	f.stats = stats
	if f.warm.at == 0 && f.now() >= f.receiver.warmup {
		f.warm = f.volume()
	}
}

// volume reads what the caller has taken of its data volume. mu is held.
func (f *full) volume() reading {
	v := &f.net.volume
	return reading{f.now(), v.up.Load() + f.before.Up + f.stats.Up, v.down.Load() + f.before.Down + f.stats.Down}
}

func (f *full) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err, f.joining = errors.Join(f.err, err), false
	f.debug(f.role.Identity, "error", "error", err.Error())
}

// --- what the connection tells, on its goroutines ---

func (f *full) step(number int, s measure.Step, at time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if number == 1 {
		f.steps[s] = at.Sub(f.epoch)
	}
	if number == f.dialing && s == measure.DTLS && !f.flowing {
		f.flowing = true
		close(f.flows)
	}
	f.debug(f.role.Identity, "step", "step", s)
}

func (f *full) packet(number int, at time.Time, from Source, p *rtp.Packet, came measure.Repair) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if number != f.dialing {
		return
	}
	f.receiver.handle(at.Sub(f.epoch), from, p, came)
	f.newest = at.Sub(f.epoch)
	if f.lost > 0 {
		f.gaps = append(f.gaps, float64(f.newest-f.lost)/float64(time.Millisecond))
		f.lost = 0
	}
}

func (f *full) keyframe(trackID string) { request(f.tapes, trackID) }

func (f *full) isUp(number int, at time.Time, up bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if number != f.dialing {
		return
	}
	if f.up && !up {
		f.lost = f.newest // a dead path is noticed seconds after its last packet
	}
	f.up = up
	f.debug(f.role.Identity, "up", "up", up)
}

// ask requests a keyframe. Called with mu held, so not from here.
func (f *full) ask(slot int) {
	conn := f.conn
	f.debug(f.role.Identity, "keyframe request", "slot", slot)
	if conn != nil {
		go func() { _ = conn.RequestKeyframe(slot) }() // without a connection there is nobody to ask; it is asked again
	}
}

// --- what the clock and the end ask ---

// listen plays the next 10 ms.
func (f *full) listen(at time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.receiver.listen(at)
}

// results adds what it was like to the totals.
func (f *full) results(end time.Duration, to *measure.Totals) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.receiver.results(end, to)
	c := measure.Caller{
		Room: f.role.Room, Identity: f.role.Identity, Kind: string(f.role.Kind), Steps: f.setup(),
		Path: f.stats.Path, Signal: f.stats.Signaling, RTT: float64(f.stats.RTT) / float64(time.Millisecond),
		ReceivedPackets: f.receiver.packets, ReceivedBytes: f.receiver.bytes, Checked: f.receiver.packets,
		Reconnects: f.before.Reconnects + f.stats.Reconnects, Gaps: f.gaps,
	}
	now := f.volume()
	var there time.Duration
	for _, s := range f.role.there {
		there += max(0, min(s.to, now.at)-max(s.from, f.warm.at))
	}
	c.UpPerMinute, c.DownPerMinute = perMinute(f.warm, now, there)
	for _, t := range f.tapes {
		c.SentPackets += t.packets.Load()
		c.SentBytes += t.bytes.Load()
	}
	switch waited := end - f.since; {
	case f.err != nil:
		c.Error = f.err.Error()
	case f.joining && waited >= dueFor:
		c.Error = fmt.Sprintf("join room %s: the server had not answered after %v", f.role.Room, waited.Round(time.Second/10))
	}
	to.AddCaller(c)
}

// dropped are the packets that came and that nobody read in time.
func (f *full) dropped() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.before.Dropped + f.stats.Dropped
}

// setup measures each step from the end of the one before. Who found nobody there has no steps of media: to wait for somebody is
// no part of coming in.
func (f *full) setup() map[measure.Step]float64 {
	steps := map[measure.Step]float64{}
	if f.began == 0 {
		return steps
	}
	ends := maps.Clone(f.steps)
	first := max(f.receiver.firstPacket, f.receiver.firstFrame)
	if first > 0 && f.receiver.awaits(ends[measure.DTLS]) {
		ends[measure.FirstPacket], ends[measure.FirstFrame] = f.receiver.firstPacket, f.receiver.firstFrame
		steps[measure.Total] = float64(first-f.began) / float64(time.Millisecond)
	}
	before := f.began
	for _, s := range []measure.Step{
		measure.Connect, measure.Auth, measure.Join, measure.ICE, measure.DTLS, measure.FirstPacket, measure.FirstFrame,
	} {
		at, ok := ends[s]
		if !ok || at == 0 {
			continue
		}
		steps[s] = float64(max(0, at-before)) / float64(time.Millisecond)
		before = max(before, at)
	}
	return steps
}
