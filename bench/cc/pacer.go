package cc

import (
	"time"

	"github.com/tolkyn/tolkyn/sfu/bwe"
	"github.com/tolkyn/tolkyn/sfu/pace"
)

// pacer is a leaky bucket behind the calls of pace.Queue.
type pacer struct {
	audio, video []pace.Item[media]
	free         time.Duration // when what has left is paid for
	rate         bwe.Bitrate
	probe        bwe.Probe // running; ID 0: none
	left         int
	last         uint32
}

// media is what waits in the sender's queue.
type media struct{ came time.Duration }

const burst = 5 * time.Millisecond

func (p *pacer) SetEstimate(_ time.Duration, e bwe.Estimate) {
	p.rate = e.Pacing
	if e.Probe.ID != 0 && e.Probe.ID != p.last && p.probe.ID == 0 {
		p.probe, p.left, p.last = e.Probe, e.Probe.Bytes, e.Probe.ID
	}
}

func (p *pacer) Push(_ time.Duration, it pace.Item[media]) {
	if it.Class == pace.Audio {
		p.audio = append(p.audio, it)
	} else {
		p.video = append(p.video, it)
	}
}

func (p *pacer) Pop(now time.Duration) (it pace.Item[media], probe uint32, ok bool) {
	switch {
	case len(p.audio) > 0:
		it, p.audio = p.audio[0], p.audio[1:]
	case len(p.video) > 0 && p.free <= now+burst:
		it, p.video = p.video[0], p.video[1:]
	default:
		return it, 0, false
	}
	return it, p.charge(now, it.Size), true
}

func (p *pacer) charge(now time.Duration, size int) uint32 {
	rate, id := p.rate, p.probe.ID
	if id != 0 {
		rate = p.probe.Rate
		if p.left -= size; p.left <= 0 {
			p.probe = bwe.Probe{}
		}
	}
	p.free = max(p.free, now) + rate.Time(size)
	return id
}

func (p *pacer) Padding(now time.Duration) int {
	if p.probe.ID == 0 || len(p.video) > 0 || p.free > now+burst {
		return 0
	}
	return p.left
}

func (p *pacer) Take(now time.Duration, _ pace.Class, size int) (uint32, bool) {
	return p.charge(now, size), true
}

func (p *pacer) Next(now time.Duration) time.Duration {
	if len(p.audio) > 0 {
		return now
	}
	if len(p.video) > 0 || p.probe.ID != 0 {
		return max(p.free-burst, now)
	}
	return 0
}
