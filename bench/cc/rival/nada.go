package rival

import (
	"math"
	"time"

	"github.com/tolkyn/tolkyn/bench/cc"
	"github.com/tolkyn/tolkyn/sfu/bwe"
)

// NADA models RFC 8698: its sender, its receiver's part done on the sender's side from feedback by packets. RMAX is what the source wants.
// Its rate shaping buffer is the case's pacer, of whose length it does not know.
var NADA = cc.Maker{
	Name: "nada-model",
	New: func(_ time.Duration, cfg bwe.Config) cc.Controller {
		cfg = withDefaults(cfg)
		return &nada{cfg: cfg, rate: float64(cfg.Start), most: float64(cfg.Max)}
	},
}

// RFC 8698, figure 3.
const (
	nadaXRef     = 10 * time.Millisecond
	nadaKappa    = 0.5
	nadaEta      = 2.0
	nadaTau      = 500 * time.Millisecond
	nadaDelta    = 100 * time.Millisecond
	nadaWindow   = 500 * time.Millisecond // LOGWIN
	nadaQEps     = 10 * time.Millisecond
	nadaDFilt    = 120 * time.Millisecond
	nadaGammaMax = 0.5
	nadaQBound   = 50 * time.Millisecond
	nadaMulti    = 7 // MULTILOSS
	nadaQTh      = 50 * time.Millisecond
	nadaLambda   = 0.5
	nadaPLRRef   = 0.01
	nadaPMRRef   = 0.01
	nadaDLoss    = 10 * time.Millisecond
	nadaDMark    = 2 * time.Millisecond
	nadaAlpha    = 0.1
	// Of one update. The RFC has no such bounds, but the square of a loss of tens of percent would throw the rate from one end to
	// the other and back: without them a drop of RFC 8867 5.1 ends in full queues and pauses by turns.
	nadaMostDown = 0.5
	nadaMostUp   = 0.1

	nadaTaps = 15 // packets of the minimum filter of delay, section 5.1.1
)

type nada struct {
	cfg     bwe.Config
	most    float64
	history history

	rate     float64
	before   float64 // x_prev, ms
	last     time.Duration
	window   []outcome // of LOGWIN by sending
	delays   []time.Duration
	base     time.Duration
	based    bool
	lossRate float64
	markRate float64

	sinceLoss    int     // packets since the last loss
	lossInterval float64 // average packets between two; 0: none yet
	roundTrip    time.Duration
}

func (n *nada) Sent(now time.Duration, p bwe.Packet) { n.history.add(now, p) }

func (n *nada) Wants(_ time.Duration, b bwe.Bitrate) {
	if b > 0 {
		n.most = min(float64(b), float64(n.cfg.Max))
	}
}

func (n *nada) Feedback(now time.Duration, results []bwe.Result) {
	told := n.history.take(results)
	if len(told) == 0 {
		return
	}
	if sent, ok := newestSent(told); ok {
		n.roundTrip = now - sent
	}
	for _, o := range told {
		n.note(o)
	}
	d := clampTime(now-n.last, 10*time.Millisecond, nadaTau)
	n.last = now
	x := n.signal()
	if n.mayRampUp() {
		gamma := min(nadaGammaMax, seconds(nadaQBound)/seconds(n.roundTrip+nadaDelta+nadaDFilt))
		n.rate = max(n.rate, (1+gamma)*n.received())
	} else {
		offset := x - milliseconds(nadaXRef)*n.most/n.rate
		change := x - n.before
		tau := milliseconds(nadaTau)
		less := nadaKappa*(milliseconds(d)/tau)*(offset/tau) + nadaKappa*nadaEta*(change/tau)
		n.rate *= 1 - clamp(less, -nadaMostUp, nadaMostDown)
	}
	n.before = x
	n.rate = clamp(n.rate, float64(n.cfg.Min), n.most)
}

func (n *nada) note(o outcome) {
	n.window = append(n.window, o)
	for o.sent-n.window[0].sent > nadaWindow {
		n.window = n.window[1:]
	}
	n.sinceLoss++
	if !o.received {
		if n.lossInterval == 0 {
			n.lossInterval = float64(n.sinceLoss)
		}
		n.lossInterval += (float64(n.sinceLoss) - n.lossInterval) / 8 // TFRC's average, about (section 4.2)
		n.sinceLoss = 0
		return
	}
	delay := o.arrival - o.sent
	if !n.based || delay < n.base {
		n.base, n.based = delay, true
	}
	n.delays = append(n.delays, delay)
	n.delays = n.delays[max(len(n.delays)-nadaTaps, 0):]
}

// signal is x_curr: queueing delay, bent where loss says that the queue is full, and what loss and marks count, in ms.
func (n *nada) signal() float64 {
	lost, marked := 0.0, 0.0
	for _, o := range n.window {
		if !o.received {
			lost++
		}
		if o.marked {
			marked++
		}
	}
	n.lossRate += nadaAlpha * (lost/float64(len(n.window)) - n.lossRate)
	n.markRate += nadaAlpha * (marked/float64(len(n.window)) - n.markRate)

	queue := n.queue()
	if n.lossInterval > 0 && float64(n.sinceLoss) < nadaMulti*n.lossInterval && queue > nadaQTh {
		bent := math.Exp(-nadaLambda * seconds(queue-nadaQTh) / seconds(nadaQTh))
		queue = time.Duration(float64(nadaQTh) * bent)
	}
	square := func(x float64) float64 { return x * x }
	return milliseconds(queue) + milliseconds(nadaDLoss)*square(n.lossRate/nadaPLRRef) +
		milliseconds(nadaDMark)*square(n.markRate/nadaPMRRef)
}

func (n *nada) queue() time.Duration {
	if len(n.delays) == 0 {
		return 0
	}
	least := n.delays[0]
	for _, d := range n.delays {
		least = min(least, d)
	}
	return least - n.base
}

// mayRampUp: nothing was lost and no queue stood, all of LOGWIN.
func (n *nada) mayRampUp() bool {
	for _, o := range n.window {
		if !o.received || o.arrival-o.sent-n.base >= nadaQEps {
			return false
		}
	}
	return true
}

// received is r_recv.
func (n *nada) received() float64 {
	bytes := 0
	for _, o := range n.window {
		if o.received {
			bytes += o.size
		}
	}
	d := max(n.window[len(n.window)-1].sent-n.window[0].sent, 50*time.Millisecond)
	return float64(bytes) * 8 / seconds(d)
}

func (n *nada) Poll(time.Duration) bwe.Estimate {
	return bwe.Estimate{Target: bwe.Bitrate(n.rate), RTT: n.roundTrip}
}
