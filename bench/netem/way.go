package netem

import (
	"time"

	"github.com/tolkyn/tolkyn/internal/netsim"
)

// Passage is what a link did with one packet. Times count from the network's beginning.
type Passage struct {
	Link      int
	Direction Direction
	Size      int           // bytes of the IP packet
	Sent      time.Duration // when it was taken from the sender
	Fate      netsim.Fate
	Packet    []byte // the IP packet of a Network, valid until Log returns; of a Line nil
}

// way is one direction of a link: the model, and the log of what it said and what came of it.
type way struct {
	initial netsim.LinkConfig
	trace   netsim.Trace
	model   *netsim.Link
	account Account
	loss    float64 // sum of what each packet's was asked to be
	delay   time.Duration
	due     delays
	done    delays
	late    delays
}

// newWays gives link number i its dice: the same for a TUN network, a line and a relay.
func newWays(i int, path Path, seed uint64) [2]*way {
	return [2]*way{
		Up:   newWay(path.Up, path.UpTrace, seed+uint64(2*i)),
		Down: newWay(path.Down, path.DownTrace, seed+uint64(2*i+1)),
	}
}

func newWay(cfg netsim.LinkConfig, trace netsim.Trace, seed uint64) *way {
	w := &way{initial: cfg, trace: trace, model: netsim.NewLink(cfg, seed)}
	w.restart(0)
	return w
}

// restart has the link be as it was in the beginning.
func (w *way) restart(now time.Duration) {
	w.model.Interrupt(false)
	w.set(w.initial, w.trace, now)
}

func (w *way) set(cfg netsim.LinkConfig, trace netsim.Trace, now time.Duration) {
	w.model.Set(cfg)
	w.model.Follow(trace, now)
}

// send asks the model and writes down what it says.
func (w *way) send(now time.Duration, size int, tcp bool) netsim.Fate {
	cfg := w.model.Config(now)
	var fate netsim.Fate
	if tcp {
		fate = w.model.SendTCP(now, size)
	} else {
		fate = w.model.Send(now, size)
	}
	w.account.Did.sent(size, fate)
	switch fate.Verdict {
	case netsim.Dark:
		w.loss++
	case netsim.Lost:
		w.loss += cfg.MeanLoss(tcp)
	case netsim.Arrives:
		w.loss += cfg.MeanLoss(tcp)
		w.delay += cfg.MeanDelay()
		w.due.add(fate.At - now)
	}
	return fate
}

// arrived writes down a packet that was handed over, or refused, at now.
func (w *way) arrived(sent, due, now time.Duration, size int, taken bool) {
	w.late.add(now - due)
	w.done.add(now - sent)
	if !taken {
		w.account.Did.Refused++
		return
	}
	w.account.Did.Arrived++
	w.account.Did.ArrivedBytes += uint64(size)
}

// sum is the account so far.
func (w *way) sum() Account {
	a := w.account
	if passed := a.Did.Sent - a.Did.QueueFull; passed > 0 {
		a.Asked.Loss = w.loss / float64(passed)
		a.Did.Loss = float64(a.Did.Lost+a.Did.Dark) / float64(passed)
	}
	if w.due.count > 0 {
		a.Asked.Delay = w.delay / time.Duration(w.due.count)
	}
	a.Asked.Due, a.Did.Delay, a.Did.Late = w.due.sum(), w.done.sum(), w.late.sum()
	return a
}

// arrival is a packet under way; T says whither.
type arrival[T any] struct {
	sent, at time.Duration
	order    uint64 // of those that arrive at once the first sent is the first
	way      *way
	data     []byte
	to       T
}

// arrivals is a heap: the next to arrive is the first. (container/heap would allocate for each packet.)
type arrivals[T any] []arrival[T]

func (q arrivals[T]) before(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].order < q[j].order
}

func (q *arrivals[T]) push(a arrival[T]) {
	*q = append(*q, a)
	h := *q
	for i := len(h) - 1; i > 0; {
		parent := (i - 1) / 2
		if !h.before(i, parent) {
			return
		}
		h[i], h[parent] = h[parent], h[i]
		i = parent
	}
}

func (q *arrivals[T]) pop() arrival[T] {
	h := *q
	first, last := h[0], len(h)-1
	h[0], h[last] = h[last], arrival[T]{}
	h = h[:last]
	*q = h
	for i := 0; ; {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < last; child++ {
			if h.before(child, least) {
				least = child
			}
		}
		if least == i {
			return first
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
}
