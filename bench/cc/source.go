package cc

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/tolkyn/tolkyn/sfu/bwe"
)

// What packets are made of. 20 B: RTP's header and the extension with the transport-wide number; 28 B: IPv4 and UDP.
const (
	overhead   = 20 + 28
	maxPayload = 1200
	maxPacket  = maxPayload + overhead
	minPadding = 256 // a packet of padding is not worth its headers below that

	frameInterval = time.Second / 30
	audioInterval = 20 * time.Millisecond
	audioPayload  = 50 // bytes: 20 kbit/s
	audioPacket   = audioPayload + overhead
	audioRate     = float64(audioPacket * 8 * 50)
)

// Noise of the encoder. Its rate is off by up to 5 % for a second each (RFC 8867 section 4.4), each frame by up to 15 %
// more, and a keyframe is four frames long, about twice a minute, which the next second's frames pay back.
const (
	rateNoise     = 0.05
	frameNoise    = 0.15
	keyframeSize  = 4
	keyframeEvery = 30 // s, mean
	paybackFrames = 30
)

// encoder is the video source of one flow.
type encoder struct {
	source  Source
	random  *rand.Rand
	targets []command // in order of time; the first holds
	rate    float64   // payload bits a second, now
	noise   float64   // of this second
	until   time.Duration
	debt    float64 // bytes of a keyframe not paid back yet
	key     time.Duration
}

// command is a target and when the encoder follows it.
type command struct {
	at      time.Duration
	payload float64
}

func newEncoder(s Source, now time.Duration, seed uint64) encoder {
	e := encoder{source: s, random: rand.New(rand.NewPCG(seed, 0x736f75726365)), rate: float64(s.Start), key: now}
	return e
}

// retarget has the encoder follow a target of everything on the wire, Respond later.
func (e *encoder) retarget(now time.Duration, target bwe.Bitrate) {
	wire := float64(target)
	if !e.source.NoAudio {
		wire -= audioRate
	}
	// Of what the wire carries, each packet takes its headers.
	frame := max(wire, 0) / 8 * frameInterval.Seconds()
	packets := max(math.Ceil(frame/maxPacket), 1)
	payload := (frame - float64(packets*overhead)) * 8 / frameInterval.Seconds()
	payload = min(max(payload, float64(e.source.Min)), float64(e.source.Max))
	if n := len(e.targets); n > 0 && e.targets[n-1].payload == payload || n == 0 && e.rate == payload {
		return
	}
	e.targets = append(e.targets, command{now + e.source.Respond, payload})
}

// frame is the size of the frame that is captured now, in bytes of payload.
func (e *encoder) frame(now time.Duration) int {
	for len(e.targets) > 0 && e.targets[0].at <= now {
		e.rate, e.targets = e.targets[0].payload, e.targets[1:]
	}
	if now >= e.until {
		e.noise = (2*e.random.Float64() - 1) * rateNoise
		e.until = now + time.Second
	}
	mean := float64(e.rate*(1+e.noise)) / 8 * frameInterval.Seconds()
	size := mean * (1 + float64((2*e.random.Float64()-1)*frameNoise))
	back := min(e.debt/paybackFrames, size/2)
	if e.debt < mean/10 {
		back = e.debt
	}
	if now >= e.key {
		e.key = now + time.Duration(float64(e.random.ExpFloat64()*keyframeEvery)*float64(time.Second))
		e.debt += (keyframeSize - 1) * size
		size *= keyframeSize
	} else {
		size -= back
		e.debt -= back
	}
	return max(int(size), 1)
}

// most is what the source would send if nothing held it back, on the wire.
func (e *encoder) most() bwe.Bitrate {
	rate := 0.0
	if !e.source.NoVideo {
		frame := float64(e.source.Max) / 8 * frameInterval.Seconds()
		rate = (frame + float64(math.Ceil(frame/maxPayload)*overhead)) * 8 / frameInterval.Seconds()
	}
	if !e.source.NoAudio {
		rate += audioRate
	}
	return bwe.Bitrate(rate)
}

// split cuts a frame into packets of nearly equal size, as libwebrtc does, and calls send with the size of each on the wire.
func split(frame int, send func(size int)) {
	packets := (frame + maxPayload - 1) / maxPayload
	for i := range packets {
		send(frame*(i+1)/packets - frame*i/packets + overhead)
	}
}
