package pionbwe

import (
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/cc"

	"github.com/tolkyn/tolkyn/sfu/bwe"
	"github.com/tolkyn/tolkyn/sfu/pace"
)

const (
	defaultOverhead = 28 + 16 // IPv4 and UDP; AES-GCM's tag, the longest of SRTP's

	// 3 s: a path on which nothing is sent needs no timer. Longer than any silence of a sender whose target is above 0.
	idleAfter = 3 * time.Second
)

// ErrClosed is returned by WriteRTCP after Close.
var ErrClosed = errors.New("pionbwe: closed")

// Config of an Estimator. The zero value means the defaults.
type Config struct {
	bwe.Config

	// Overhead is what a packet takes on the wire beside RTP, in bytes; default 44: UDP over IPv4, and AES-GCM's tag.
	Overhead int

	// Priority orders the streams of video: a lower one leaves first. nil: all alike. Audio leaves before any.
	Priority func(*interceptor.StreamInfo) uint8
}

// Estimator paces what one PeerConnection sends and estimates how much that may be. All methods are safe from any goroutine.
type Estimator struct {
	// Fixed after New.
	cfg   Config
	epoch time.Time

	// Guarded by mu.
	mu       sync.Mutex
	core     *bwe.Estimator // nil before the first packet has left
	estimate bwe.Estimate
	wants    bwe.Bitrate
	queue    *pace.Queue[*packet]
	number   uint64 // transport-wide, of the last packet
	lastSent time.Duration
	size     float64 // of a packet on the wire, average
	share    float64 // of the wire, that is RTP; as of the last estimate
	repair   meter
	spared   uint64  // packets that were to be sent again and were not, for the last time was less than a round trip ago
	padded   *stream // sent last of those that take padding
	streams  map[uint32]*stream
	wide     bool // some stream's packets have transport-wide numbers: others have none
	heard    heard
	timer    *time.Timer
	due      time.Duration // of the timer; 0: it does not run
	changed  func(bitrate int)
	told     int // the bitrate that changed was called with
	polled   func()
	fresh    bool // there is an estimate that polled was not called for
	telling  bool // somebody is in tell
	closed   bool
}

var _ cc.BandwidthEstimator = (*Estimator)(nil)

// New returns an estimator for one PeerConnection that has not begun.
func New(cfg Config) *Estimator {
	if cfg.Overhead == 0 {
		cfg.Overhead = defaultOverhead
	}
	if cfg.Start == 0 {
		cfg.Start = 300 * bwe.Kbps
	}
	e := &Estimator{
		cfg: cfg, epoch: time.Now(), queue: pace.NewQueue[*packet](), streams: map[uint32]*stream{}, size: maxPacket,
		estimate: bwe.Estimate{Target: cfg.Start},
	}
	e.weigh()
	e.queue.Dropped = func(_ time.Duration, it pace.Item[*packet]) { it.Value.release() }
	return e
}

// AddStream implements cc.BandwidthEstimator: what is written to the result leaves when the pacer lets it. A write that leaves at
// once returns what writer does; one that waits returns the size of the packet.
func (e *Estimator) AddStream(info *interceptor.StreamInfo, writer interceptor.RTPWriter) interceptor.RTPWriter {
	s := newStream(e, info, writer)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.streams[s.ssrc] = s
	e.wide = e.wide || s.extension != 0
	e.queue.Blind = e.queue.Blind || s.class == pace.Audio && s.extension == 0
	return s
}

// newStream reads what matters of a stream.
func newStream(e *Estimator, info *interceptor.StreamInfo, writer interceptor.RTPWriter) *stream {
	s := &stream{
		estimator: e, writer: writer, class: pace.Video,
		ssrc: info.SSRC, repairSSRC: info.SSRCRetransmission, repairType: info.PayloadTypeRetransmission,
		repairNumber: uint16(rand.Uint32N(1 << 15)), // the lower half, so that no loss at the start hides a wrap (RFC 3711 §3.3.1)
	}
	for _, x := range info.RTPHeaderExtensions {
		if x.URI == transportWideURI {
			s.extension = uint8(x.ID)
		}
	}
	if strings.HasPrefix(strings.ToLower(info.MimeType), "audio/") {
		s.class = pace.Audio
	} else if e.cfg.Priority != nil {
		s.priority = e.cfg.Priority(info)
	}
	for _, f := range info.RTCPFeedback {
		s.remembers = s.remembers || f.Type == "nack" || f.Type == "ack" && f.Parameter == "ccfb"
	}
	return s
}

// GetTargetBitrate implements cc.BandwidthEstimator: bits a second of RTP, headers and payload as pion's own gcc counts them, for
// what is sent the first time. What IP, UDP, SRTP and retransmissions take of the estimate is left out.
func (e *Estimator) GetTargetBitrate() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.target()
}

func (e *Estimator) target() int {
	target := float64(e.estimate.Target)
	return int(max(target-e.repair.rate, target/2) * e.share)
}

// OnTargetBitrateChange implements cc.BandwidthEstimator. f is called from timers and from goroutines that read RTCP, one call at a
// time, never from within a write; it must not block, nor Close.
func (e *Estimator) OnTargetBitrateChange(f func(bitrate int)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.changed = f
}

// OnEstimate has f called after each new estimate, in the way of OnTargetBitrateChange: each 50 ms or so while something is sent.
func (e *Estimator) OnEstimate(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.polled = f
}

// Estimate returns all that the estimator says now, on the wire.
func (e *Estimator) Estimate() bwe.Estimate {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.estimate
}

// Wants says what the application would send if it could, on the wire; 0, as before the first call: all there is. What is not
// wanted is not probed for.
func (e *Estimator) Wants(b bwe.Bitrate) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.wants = b
	if e.core != nil {
		e.core.Wants(e.now(), b)
	}
}

// NewPath says that packets take another way now, as after an ICE restart.
func (e *Estimator) NewPath() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.core != nil {
		e.core.NewPath(e.now())
	}
}

// Spared counts retransmissions that were asked for too early: the last one of the same packet may still have been under way.
func (e *Estimator) Spared() uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.spared
}

// QueueStats are counters of the pacer's queue; what leaves without waiting is not in them.
func (e *Estimator) QueueStats() pace.Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.queue.Stats()
}

// GetStats implements cc.BandwidthEstimator.
func (e *Estimator) GetStats() map[string]any {
	x := e.Estimate()
	return map[string]any{
		"targetBitrate": int(x.Target), "pacingBitrate": int(x.Pacing), "deliveredBitrate": int(x.Delivered),
		"averageLoss": x.Loss, "inherentLoss": x.Inherent,
		"queueDelay": milliseconds(x.Queue), "roundTripTime": milliseconds(x.RTT),
		"congested": x.Congested, "appLimited": x.AppLimited,
	}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// Close implements cc.BandwidthEstimator: what waits is dropped, and what is written from now on leaves at once.
func (e *Estimator) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	if e.timer != nil {
		e.timer.Stop()
	}
	return nil
}

// now is the time of the core, never 0.
func (e *Estimator) now() time.Duration { return time.Since(e.epoch) + time.Millisecond }

// poll takes what the core says now.
func (e *Estimator) poll(now time.Duration) {
	if e.core != nil {
		e.estimate = e.core.Poll(now)
		e.queue.SetEstimate(now, e.estimate)
		e.weigh()
		e.repair.read(now)
		e.fresh = true
	}
}

// weigh finds what share of the wire is RTP: half at least, or the smallest of sounds would leave nothing.
func (e *Estimator) weigh() { e.share = max(1-float64(e.cfg.Overhead)/e.size, 0.5) }

// unlock frees mu, and tells of a new estimate.
func (e *Estimator) unlock() {
	if e.telling {
		e.mu.Unlock() // whoever tells comes round to it: calls stay in order
		return
	}
	e.telling = true
	for e.core != nil && !e.closed {
		tell := e.news()
		if tell == nil {
			break
		}
		e.mu.Unlock()
		tell()
		e.mu.Lock()
	}
	e.telling = false
	e.mu.Unlock()
}

// news returns what is to be called; nil: nobody has to know anything.
func (e *Estimator) news() func() {
	if target, changed := e.target(), e.changed; changed != nil && target != e.told {
		e.told = target
		return func() { changed(target) }
	}
	if e.fresh && e.polled != nil {
		e.fresh = false
		return e.polled
	}
	return nil
}

// arm has the timer end when something is to be done next.
func (e *Estimator) arm(now time.Duration) {
	if e.core == nil || e.closed {
		return
	}
	due := e.queue.Next(now)
	if e.queue.Probing() && e.padded != nil {
		due = earlier(due, e.queue.Bucket.Next(now, pace.Padding))
	}
	if now-e.lastSent < idleAfter {
		due = earlier(due, e.estimate.Next)
	}
	if due == 0 || e.due != 0 && e.due <= due {
		return
	}
	due = max(due, now+time.Millisecond) // who says "now" and means it has been asked already
	e.due = due
	if e.timer == nil {
		e.timer = time.AfterFunc(due-now, e.tick)
		return
	}
	e.timer.Reset(due - now)
}

// earlier of two times of which 0 is none.
func earlier(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// tick is the timer's.
func (e *Estimator) tick() {
	e.mu.Lock()
	defer e.unlock()
	if e.closed {
		return
	}
	now := e.now()
	e.due = 0
	if now >= e.estimate.Next {
		e.poll(now)
	}
	e.drain(now)
	e.arm(now)
}

// meter is a rate of bytes that come now and then.
type meter struct {
	bytes int
	since time.Duration
	rate  float64 // bits a second
}

// read makes the rate of what has come, at most each 50 ms, over half a second.
func (m *meter) read(now time.Duration) {
	d := now - m.since
	if d < 50*time.Millisecond {
		return
	}
	m.rate += (float64(m.bytes)*8/d.Seconds() - m.rate) * min(d.Seconds()/0.5, 1)
	m.bytes, m.since = 0, now
}
