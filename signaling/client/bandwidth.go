package client

import (
	"time"

	"github.com/pion/webrtc/v4"

	"github.com/tolkyn/tolkyn/sfu/bwe"
)

const (
	// 200 ms: six pictures.
	measureEvery = 200 * time.Millisecond
	// Half of the news counts: what is sent is known within half a second.
	measureNew = 0.5
	// A quarter of what was: whose encoder sends less while it is paused has been switched off, not turned down.
	measureOff = 0.25

	// 15 % more than is sent is asked of the path: an encoding that returns needs headroom.
	wantsMore = 1.15

	// 5 %: targets that differ by less are the same to an encoder.
	tellFrom = 0.05
)

// TargetBitrate says how much an encoding may take of our uplink.
type TargetBitrate struct {
	RID     string // empty: the track has only one
	Bitrate int    // of RTP packets, headers included, in bits a second
	// Paused encodings do not fit: what is written to them does not go out, so that they need not be encoded. When one fits
	// again, a keyframe is asked for.
	Paused bool
}

// measured is how much is written to a gate. Guarded by the gate's mu.
type measured struct {
	bytes int
	since time.Time
	last  [2]float64 // bits a second, of the two spans before
	rate  float64    // bits a second; 0: nothing is known
}

// read returns the rate in bits a second; of one that is held back, what it was when its encoder has stopped.
func (m *measured) read(now time.Time, paused bool) bwe.Bitrate {
	d := now.Sub(m.since)
	if m.since.IsZero() || d > 10*measureEvery { // nobody has asked for long
		m.since, m.bytes = now, 0
		return bwe.Bitrate(m.rate)
	}
	if d < measureEvery {
		return bwe.Bitrate(m.rate)
	}
	rate := float64(m.bytes) * 8 / d.Seconds()
	m.since, m.bytes = now, 0
	if paused && rate < measureOff*m.rate {
		return bwe.Bitrate(m.rate)
	}
	// The middle one of three: a keyframe is ten pictures in one, and would pause what fits. Where most spans are empty it is
	// slides that are sent, and all count.
	usual := rate
	if middle := max(min(m.last[0], m.last[1]), min(max(m.last[0], m.last[1]), rate)); middle > 0 {
		usual = middle
	}
	m.last = [2]float64{m.last[1], rate}
	if m.rate == 0 {
		m.rate = usual
	}
	m.rate += (usual - m.rate) * measureNew
	return bwe.Bitrate(m.rate)
}

// shareUplink divides a new estimate of our uplink among the encodings that are sent: audio first, then the lowest of each
// video, and the highest are paused when they do not fit. It is called from pion's goroutines and from timers, one at a time.
func (r *Room) shareUplink(m *media) {
	estimate, target := m.bwe.Estimate(), bwe.Bitrate(m.bwe.GetTargetBitrate())
	now := time.Now()
	wire := float64(estimate.Target) / float64(max(target, 1)) // what a bit of RTP takes
	lasts := bwe.Bitrate(float64(max(estimate.Lasts, estimate.Target)) / wire)

	r.mu.Lock()
	if r.media != m || m.closed {
		r.mu.Unlock()
		return
	}
	audio, shares := r.claims(now)
	m.sharing.step(now.Sub(m.made), target-audio, lasts-audio, shares)
	var tell []func()
	for _, p := range r.published {
		tell = append(tell, p.apply()...)
	}
	wanted := float64(wants(shares)+audio) * wire * wantsMore
	r.mu.Unlock()

	m.bwe.Wants(bwe.Bitrate(max(wanted, 1))) // 0 would be all there is
	for _, f := range tell {
		f()
	}
}

// claims returns what audio takes, and the shares of all video that may be sent, the lowest encodings of all tracks first. The
// Room's mu is held, here and below.
func (r *Room) claims(now time.Time) (audio bwe.Bitrate, shares []*share) {
	for level := 0; ; level++ {
		more := false
		for _, p := range r.published {
			first := true
			for i, g := range p.gates {
				open, rate := g.measure(now)
				switch {
				case !open:
					continue
				case g.Kind() == webrtc.RTPCodecTypeAudio && level == 0:
					audio += rate
				case g.Kind() == webrtc.RTPCodecTypeVideo && i == level:
					g.share.first, g.share.demand = first, rate
					g.share.follows = p.local.OnTargetBitrate != nil
					g.share.least, g.share.most = p.bounds(i)
					shares = append(shares, &g.share)
				}
				first = false
				more = more || i > level
			}
		}
		if !more {
			return audio, shares
		}
	}
}

// unshare forgets what an estimate has given: another PeerConnection begins with one of its own.
func (p *publication) unshare() {
	for _, g := range p.gates {
		g.set(starved, false)
		g.share, g.told = share{}, TargetBitrate{}
	}
}

// bounds are what the owner says of an encoding.
func (p *publication) bounds(encoding int) (least, most bwe.Bitrate) {
	if encoding < len(p.local.Encodings) {
		e := p.local.Encodings[encoding]
		return bwe.Bitrate(e.MinBitrate), bwe.Bitrate(e.MaxBitrate)
	}
	return bwe.Bitrate(p.local.MinBitrate), bwe.Bitrate(p.local.MaxBitrate)
}

// apply opens and shuts gates as the shares say, and returns what is to be called when mu is free.
func (p *publication) apply() (tell []func()) {
	changed := false
	targets := make([]TargetBitrate, 0, len(p.gates))
	for i, g := range p.gates {
		s := &g.share
		g.set(starved, s.paused)
		if s.resuming {
			s.resuming = false
			if asked := p.onKeyframeRequest(i); asked != nil {
				tell = append(tell, asked)
			}
		}
		now := TargetBitrate{RID: g.rid, Bitrate: int(s.target), Paused: s.paused}
		changed = changed || now.Paused != g.told.Paused || differ(now.Bitrate, g.told.Bitrate)
		targets = append(targets, now)
	}
	if told := p.local.OnTargetBitrate; changed && told != nil {
		for i, g := range p.gates {
			g.told = targets[i]
		}
		// Targets before pictures: an encoder that begins anew begins at its rate.
		return append([]func(){func() { told(targets) }}, tell...)
	}
	return tell
}

func differ(a, b int) bool {
	return float64(max(a-b, b-a)) > tellFrom*float64(max(a, b))
}

// measure returns how much is written, and false when none of it goes out for another reason than our uplink.
func (g *gate) measure(now time.Time) (open bool, rate bwe.Bitrate) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut&^starved != 0 {
		return false, 0
	}
	return true, g.written.read(now, g.shut&starved != 0)
}
