package uplink

import (
	"time"

	"github.com/tolkyn/tolkyn/codec"
)

const (
	// A second in steps of 100 ms, and the step that is running: what has ended is noticed within the last of them.
	rateStep  = 100 * time.Millisecond
	rateSteps = 10 + 1
	rateSpan  = time.Second

	// 200 ms: what a stream has brought before is mostly its keyframe, and says little of a second.
	rateLeast = 200 * time.Millisecond

	// 3 s: what keyframes bring counts as spread over that. One that was asked for is ten pictures large, and for a second the layer
	// would be a third more than it is: a slot that had just risen to it fell for that.
	keySpan  = 3 * time.Second
	keySteps = int(keySpan/rateStep) + 1

	// 4 spatial and 4 temporal layers: more than any browser makes. Higher ones count as the highest.
	rateSpatial, rateTemporal = 4, 4
)

// LayerRate is what one layer of an encoding brings, without the layers below.
type LayerRate struct {
	Layer         codec.Layer
	Bits          uint32 // a second, payload
	Frames        uint16 // a second
	Width, Height uint16 // of the spatial layer; 0 unknown

	// Own are those of Bits that higher spatial layers do not need, by dependency descriptors: whoever shows one of them does
	// not get these.
	Own uint32
}

// rates counts what came by layer and step.
type rates struct {
	step        int64 // number of the running step
	index       int   // its place in steps
	since, last time.Duration
	any         bool
	steps       [rateSteps][rateSpatial][rateTemporal]layerCount
	keys        [keySteps][rateSpatial]uint32            // bytes of keyframes that are in bytes, of the base temporal layer, by number of the step
	heard       [rateSpatial][rateTemporal]time.Duration // when a packet of the layer came last, plus 1; 0: never

	width, height uint16 // as the payload tells, of the highest spatial layer
	highest       uint8  // that layer: the highest seen since
}

type layerCount struct {
	bytes, own uint32
	frames     uint16
}

// add counts one packet; key: it is of a keyframe; own: no higher spatial layer needs it.
func (r *rates) add(now time.Duration, m *codec.Meta, size int, key, own bool) {
	if step := int64(now / rateStep); step != r.step {
		r.turn(step)
	}
	if !r.any || now-r.last >= rateSpan {
		r.any, r.since = true, now
		r.keys = [keySteps][rateSpatial]uint32{}
	}
	r.last = now
	s, t := min(m.Layer.Spatial, rateSpatial-1), min(m.Layer.Temporal, rateTemporal-1)
	c := &r.steps[r.index][s][t]
	c.bytes += uint32(size)
	switch {
	case own:
		c.own += uint32(size)
	case key && t == 0:
		r.keys[r.step%int64(keySteps)][s] += uint32(size)
	}
	if m.Start {
		c.frames++
	}
	r.heard[s][t] = now + 1
	if m.Width != 0 {
		r.width, r.height, r.highest = m.Width, m.Height, s
	}
	r.highest = max(r.highest, s)
}

// turn makes step the running one and empties those that nothing came in.
func (r *rates) turn(step int64) {
	for range min(step-r.step, rateSteps) {
		if r.index++; r.index == rateSteps {
			r.index = 0
		}
		r.steps[r.index] = [rateSpatial][rateTemporal]layerCount{}
	}
	for n := max(r.step+1, step-int64(keySteps)+1); n <= step; n++ {
		r.keys[n%int64(keySteps)] = [rateSpatial]uint32{}
	}
	r.step = max(r.step, step)
}

// keyed is what keyframes of a spatial layer brought of late: within the last second, which is among what was counted, and in all.
func (r *rates) keyed(spatial uint8) (lately, all uint64) {
	for i := range int64(keySteps) {
		n := uint64(r.keys[(r.step+int64(keySteps)-i)%int64(keySteps)][spatial])
		if all += n; i < rateSteps {
			lately += n
		}
	}
	return lately, all
}

// Rates appends what each layer that sends brought within the last second, base first; nothing when none does. Of a stream that began
// later, or again after a second of silence, it is what has come since, taken for at least 200 ms. Keyframes count as spread over the
// last three seconds. Where only the highest spatial layer's size is told, those below count as half as wide and high each. For decisions that come a few
// times a second.
func (u *Uplink) Rates(now time.Duration, dst []LayerRate) []LayerRate {
	r := u.rates
	if r == nil || !r.any || now-r.last >= rateSpan {
		return dst
	}
	r.turn(int64(now / rateStep))
	span := max(min(now-r.since, rateSpan+now%rateStep), rateLeast)
	keys := max(min(now-r.since, keySpan+now%rateStep), rateLeast)
	for s := range uint8(rateSpatial) {
		width, height := u.size(s)
		for t := range uint8(rateTemporal) {
			var bytes, own, frames uint64
			for i := range r.steps {
				bytes += uint64(r.steps[i][s][t].bytes)
				own += uint64(r.steps[i][s][t].own)
				frames += uint64(r.steps[i][s][t].frames)
			}
			if bytes == 0 {
				continue
			}
			if t == 0 {
				lately, all := r.keyed(s)
				bytes += all*uint64(span)/uint64(keys) - lately
			}
			dst = append(dst, LayerRate{
				Layer:  codec.Layer{Spatial: s, Temporal: t},
				Bits:   uint32(min(bytes*8*uint64(time.Second)/uint64(span), 1<<32-1)),
				Own:    uint32(min(own*8*uint64(time.Second)/uint64(span), 1<<32-1)),
				Frames: uint16(min((frames*uint64(time.Second)+uint64(span)/2)/uint64(span), 1<<16-1)),
				Width:  width, Height: height,
			})
		}
	}
	return dst
}

// size is that of a spatial layer's pictures, 0 unknown.
func (u *Uplink) size(spatial uint8) (width, height uint16) {
	if s := u.structures; s != nil && s.number != 0 {
		if width, height = s.current.Resolution(spatial); width != 0 {
			return width, height
		}
	}
	r := u.rates
	if spatial > r.highest {
		return r.width, r.height
	}
	below := r.highest - spatial
	return r.width >> below, r.height >> below
}

// Top returns the highest spatial and the highest temporal layer of which anything came within the last second; ok is
// false when nothing did.
func (u *Uplink) Top(now time.Duration) (l codec.Layer, ok bool) {
	r := u.rates
	if r == nil {
		return l, false
	}
	for s := range r.heard {
		for t := range r.heard[s] {
			if at := r.heard[s][t]; at != 0 && now-(at-1) < rateSpan {
				l.Spatial, l.Temporal, ok = max(l.Spatial, uint8(s)), max(l.Temporal, uint8(t)), true
			}
		}
	}
	return l, ok
}
