package light

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/tolkyn/tolkyn/bench/measure"
	"github.com/tolkyn/tolkyn/internal/udp"
)

// Result is what a fleet measured.
type Result struct {
	Counts
	measure.Totals
	OpenOneIn int // N of "one packet in N was opened"
}

// measured is one stream, with its distributions in the form that adds up.
type measured struct {
	stream     measure.Stream
	histograms measure.Histograms
}

// Counts are sums over all callers since the start.
type Counts struct {
	SentPackets, SentBytes         int64
	ReceivedPackets, ReceivedBytes int64 // each packet once
	Lost                           int64 // gaps that nothing filled
	Repaired, Duplicates           int64
	Opened                         int64 // authenticated
	Forged                         int64 // failed that
	Stamped                        int64 // of the opened ones, had a stamp
	Strange                        int64 // from elsewhere, or of no known stream
	NACKs                          int64 // numbers asked for
	SignalBytes                    int64 // of frames from the server after the warm-up, without WebSocket's own
	Overflow                       int64 // datagrams our sockets had no room for (SO_RXQ_OVFL)
	SendDrops                      int64 // datagrams our kernel did not take
	Slips                          int64 // times that a loop was held up so long that it put off all its media
}

func (c *Counts) add(o Counts) {
	c.SentPackets += o.SentPackets
	c.SentBytes += o.SentBytes
	c.ReceivedPackets += o.ReceivedPackets
	c.ReceivedBytes += o.ReceivedBytes
	c.Lost += o.Lost
	c.Repaired += o.Repaired
	c.Duplicates += o.Duplicates
	c.Opened += o.Opened
	c.Forged += o.Forged
	c.Stamped += o.Stamped
	c.Strange += o.Strange
	c.NACKs += o.NACKs
	c.SignalBytes += o.SignalBytes
	c.Overflow += o.Overflow
	c.SendDrops += o.SendDrops
	c.Slips += o.Slips
}

// Snapshot is how things stand.
type Snapshot struct {
	At      time.Duration // on the run's clock
	Present int           // callers in the call
	Failing int           // callers that should be and are not: waiting, joining, refused
	GaveUp  int           // callers that were refused for good
	Counts
	// Late is by how much the callers' own timers were late at most, in nine turns of ten since the last Snapshot.
	Late time.Duration
}

// counts are a device's so far. Its loop's goroutine calls it.
func (d *device) counts() Counts {
	c := Counts{
		SentPackets: d.sentPackets, SentBytes: d.sentBytes, ReceivedPackets: d.receivedPackets, ReceivedBytes: d.receivedBytes,
		Opened: d.opened, Forged: d.forged, Stamped: d.stamped, Strange: d.strange, NACKs: d.nacks,
	}
	if d.warm {
		c.SignalBytes = d.session.bytes.Load() - d.told0
	}
	for _, s := range d.streams {
		c.Lost += s.gaps.lost()
		c.Repaired += s.gaps.repaired
		c.Duplicates += s.gaps.duplicates
	}
	if d.path.shared == nil {
		c.addDrops(d.path.socket.Stats())
	}
	return c
}

func (c *Counts) addDrops(s udp.Stats) {
	c.Overflow += int64(s.Overflow)
	c.SendDrops += int64(s.SendAgain + s.SendError)
}

// results are one caller's over all its stays. Its loop adds to them, its seat too.
type results struct {
	// Guarded by mu.
	mu sync.Mutex
	tally
}

// tally is what results are made of.
type tally struct {
	steps   map[measure.Step]float64
	why     string // it failed
	rtt     time.Duration
	counts  Counts // of the stays that are over
	streams []measured
	returns int64
	silent  time.Duration // arrival of the last packet of the stay before; 0: there was none
	gaps    []float64
}

// joined notes how long each step took, the first time.
func (r *results) joined(d *device) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.why = ""
	if r.steps != nil {
		return
	}
	r.steps = map[measure.Step]float64{}
	last := d.steps[""]
	for _, s := range []measure.Step{measure.Connect, measure.Auth, measure.Join, measure.ICE, measure.DTLS} {
		if at, ok := d.steps[s]; ok {
			r.steps[s] = milliseconds(at.Sub(last))
			last = at
		}
	}
}

func (r *results) fail(why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.why = why
}

func (r *results) error() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.why
}

func (r *results) reconnect() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.returns++
}

// add keeps what a stream's meter has measured.
func (r *results) add(m meter, now time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.streams = append(r.streams, measured{m.Stream(now), m.Histograms()})
}

// leave keeps what a stay brought.
func (r *results) leave(d *device) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tally = r.with(d)
}

// with adds a stay, but for its streams. It changes nothing that the original has.
func (t tally) with(d *device) tally {
	t.counts.add(d.counts())
	t.rtt = d.rtt
	if !d.flows {
		return t
	}
	if t.silent > 0 {
		t.gaps = append(slices.Clone(t.gaps), milliseconds(d.firstPacket-t.silent))
	}
	t.silent = d.lastPacket
	if _, known := t.steps[measure.FirstPacket]; !known && t.steps != nil {
		t.steps = maps.Clone(t.steps)
		ready := d.steps[measure.DTLS].Sub(d.env.cfg.Epoch)
		first := max(d.firstPacket-ready, 0)
		t.steps[measure.FirstPacket] = milliseconds(first)
		t.steps[measure.Total] = milliseconds(d.steps[measure.DTLS].Sub(d.steps[""]) + first)
	}
	return t
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// Snapshot returns how things stand now.
func (f *Fleet) Snapshot() Snapshot {
	out := Snapshot{
		At: time.Since(f.env.cfg.Epoch), Present: int(f.present.Load()), Failing: int(f.failing.Load()),
	}
	f.each(func(l *loop, s *seat, t tally, d *device, _ time.Duration) {
		out.add(t.counts)
		if d == nil && t.why != "" {
			out.GaveUp++
		}
	})
	for _, l := range f.loops {
		l.do(func(time.Duration) {
			out.Late = max(out.Late, time.Duration(l.late.Percentile(90)*float64(time.Millisecond)))
			l.late = measure.Histogram{}
		})
	}
	f.addShared(&out.Counts)
	return out
}

// Result returns what was measured until now, of calls that go on too.
func (f *Fleet) Result() Result {
	out := Result{OpenOneIn: f.env.cfg.OpenOneIn}
	f.each(func(_ *loop, s *seat, t tally, d *device, now time.Duration) {
		out.add(t.counts)
		for _, m := range t.streams {
			out.AddStream(m.stream, m.histograms)
		}
		if d != nil {
			for _, m := range d.present(now) {
				out.AddStream(m.Stream(now), m.Histograms())
			}
		}
		out.AddCaller(measure.Caller{
			Room: s.plan.Room, Identity: s.plan.Identity, Kind: "light", Steps: t.steps, Error: t.why, Path: "udp", Signal: "websocket",
			RTT: milliseconds(t.rtt), SentPackets: t.counts.SentPackets, SentBytes: t.counts.SentBytes,
			ReceivedPackets: t.counts.ReceivedPackets, ReceivedBytes: t.counts.ReceivedBytes,
			Checked: t.counts.Opened, Forged: t.counts.Forged, Reconnects: t.returns, Gaps: t.gaps, SignalBytes: t.counts.SignalBytes,
		})
	})
	f.addShared(&out.Counts)
	return out
}

// present are the meters of a stay that goes on, but for those of which nothing had to come yet.
func (d *device) present(now time.Duration) []meter {
	absent := map[flow]bool{}
	for _, s := range d.streams {
		if s.meter != nil && d.absent(s, now) {
			absent[s.from] = true
		}
	}
	var all []meter
	for _, f := range d.measured() {
		if !absent[f] {
			all = append(all, d.meters[f])
		}
	}
	return all
}

// addShared adds what is the loops' own: what their sockets had no room for, and how often they were held up.
func (f *Fleet) addShared(c *Counts) {
	for _, l := range f.loops {
		c.Slips += l.slips.Load()
		if l.shared != nil {
			c.addDrops(l.shared.Stats())
		}
	}
}

// each visits every seat on its loop's goroutine, where nothing of it moves: with all its stays, and the device of the one that
// goes on, nil when it is away. The times are on the run's clock.
func (f *Fleet) each(visit func(l *loop, s *seat, t tally, d *device, now time.Duration)) {
	for _, l := range f.loops {
		look := func(now time.Duration) {
			here := make(map[*results]*device, len(l.devices))
			for d := range l.devices {
				here[d.results] = d
			}
			for _, s := range f.seats {
				if s.loop != l {
					continue
				}
				s.results.mu.Lock()
				t, d := s.results.tally, here[&s.results]
				if d != nil {
					t = t.with(d)
				}
				visit(l, s, t, d, now)
				s.results.mu.Unlock()
			}
		}
		if !l.do(look) {
			look(l.now()) // it has ended
		}
	}
}
