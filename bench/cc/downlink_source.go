package cc

import (
	"math/rand/v2"
	"time"

	"github.com/tolkyn/tolkyn/sfu/alloc"
	"github.com/tolkyn/tolkyn/sfu/bwe"
)

// The ladder that every publisher sends: three encodings, the upper twice as wide and high as the one below, each of three
// temporal layers. libvpx gives them 40, 20 and 40 % of the bits.
var (
	ladderRates  = [...]float64{150_000, 500_000, 1_500_000} // payload bits a second
	ladderHeight = [...]uint16{180, 360, 720}
	temporal     = [...]int{0, 2, 1, 2} // of four frames
	frameShare   = [...]float64{0.4, 0.2, 0.2}
	layersOf     = len(frameShare)
	layerFrames  = [...]float64{7.5, 7.5, 15} // a second, of each
	frameRates   = [...]int{8, 15, 30}        // a second, with those below
)

// publisher sends one video in all encodings, whoever wants them.
type publisher struct {
	encodings [len(ladderRates)]encoding
}

// encoding is one of them.
type encoding struct {
	random *rand.Rand
	rate   float64
	frames int
	noise  float64 // of this second
	until  time.Duration
	debt   float64 // bytes of a keyframe not paid back yet

	key    time.Duration // when the wished keyframe is captured; 0: none is wished
	asked  time.Duration // the last wish
	layers [len(frameShare)]windows
}

// frame is one that was captured.
type frame struct {
	temporal int
	key      bool
	size     int // bytes of payload
}

func newPublisher(seed uint64) *publisher {
	p := &publisher{}
	for i := range p.encodings {
		p.encodings[i] = encoding{random: rand.New(rand.NewPCG(seed, uint64(i))), rate: ladderRates[i], frames: 1, asked: -time.Hour}
	}
	return p
}

// capture makes the next frame, with the noise of the usual encoder.
func (e *encoding) capture(now time.Duration) frame {
	if now >= e.until {
		e.noise = (2*e.random.Float64() - 1) * rateNoise
		e.until = now + time.Second
	}
	f := frame{temporal: temporal[e.frames%len(temporal)]}
	e.frames++
	mean := float64(e.rate*(1+e.noise)) / 8 * frameInterval.Seconds() * float64(len(temporal))
	size := float64(mean*frameShare[f.temporal]) * (1 + float64((2*e.random.Float64()-1)*frameNoise))
	if e.key != 0 && now >= e.key {
		e.key, f.key, f.temporal = 0, true, 0
		e.frames = 1 // the pattern begins anew
		whole := mean / float64(len(temporal)) * keyframeSize
		e.debt += max(whole-size, 0)
		size = max(whole, size)
	} else {
		back := min(e.debt/paybackFrames, size/2)
		size -= back
		e.debt -= back
	}
	f.size = max(int(size), 1)
	bytes := 0
	split(f.size, func(size int) { bytes += size })
	e.layers[f.temporal].add(now, bytes, 1)
	return f
}

// nominal is what an encoding's layers take on the wire in the mean, for who knows the future.
func nominal(encoding, temporal int) bwe.Bitrate {
	sum := 0.0
	for t := range temporal + 1 {
		size := int(ladderRates[encoding] / 8 * frameInterval.Seconds() * 4 * frameShare[t])
		split(size, func(size int) { sum += float64(size*8) * layerFrames[t] })
	}
	return bwe.Bitrate(sum)
}

// windows counts bytes and frames over the last second, as the SFU measures a layer.
type windows struct {
	at     int64
	bytes  [binsOf1]int
	frames [binsOf1]int
}

func (w *windows) add(now time.Duration, bytes, frames int) {
	w.turn(now)
	w.bytes[w.at%int64(binsOf1)] += bytes
	w.frames[w.at%int64(binsOf1)] += frames
}

func (w *windows) turn(now time.Duration) {
	for at := int64(now / bin); w.at < at; {
		w.at = max(w.at+1, at-int64(binsOf1))
		w.bytes[w.at%int64(binsOf1)], w.frames[w.at%int64(binsOf1)] = 0, 0
	}
}

func (w *windows) rate(now time.Duration) float64 {
	w.turn(now)
	sum := 0
	for _, b := range w.bytes {
		sum += b
	}
	return float64(sum * 8)
}

func (w *windows) fps(now time.Duration) int {
	w.turn(now)
	sum := 0
	for _, f := range w.frames {
		sum += f
	}
	return sum
}

// offer says to the allocator what a slot can have, of what was measured in the last second; before that what is usual.
func (s *slot) offer(now time.Duration, p *publisher, to *alloc.Source) {
	to.Layers = to.Layers[:0]
	for e := range p.encodings {
		if e > 0 && uint32(ladderHeight[e-1]) >= s.Height {
			break // the one below fills the view
		}
		var bits float64
		rate := 0
		for t := range layersOf {
			l := &p.encodings[e].layers[t]
			bits += l.rate(now)
			rate += l.fps(now)
			if now < time.Second {
				bits, rate = float64(nominal(e, t)), frameRates[t]
			}
			to.Layers = append(to.Layers, alloc.Layer{
				Bits: bwe.Bitrate(bits), Width: ladderHeight[e] / 9 * 16, Height: ladderHeight[e], Rate: uint8(rate), Cheap: t > 0,
			})
		}
	}
}
