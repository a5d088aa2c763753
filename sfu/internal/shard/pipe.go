package shard

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/internal/seq"
	"github.com/tolkyn/tolkyn/sfu/internal/ladder"
	"github.com/tolkyn/tolkyn/sfu/internal/uplink"
)

// pipeSize is a power of two: 1,024 parcels are what a shard that is full, at 60,000 packets a second, brings another in
// 17 ms. The other's turns are shorter than that by far.
const pipeSize = 1024

// pipe carries stored packets from one shard to another, each once, whoever waits for them there; and back what is wanted.
// Forward it is a ring with one writer and one reader, who share nothing but two counters; back it is a table of wishes, of
// which the newest hold. What changes a few times a second, what the encodings of a track bring, goes by such a table too.
//
//	from: uplink's history ──► head ▓▓▓▓▓▓▓▓ tail ──► uplink of the same name: to
//	      ladder ───────────────► rates, by track ───► ladder
//	      settle, keyframes ◄──── wishes, by track ◄── settle, keyframes
type pipe struct {
	// Fixed after newPipe.
	from, to *Shard

	// Owned by to: it makes the ring before its first wish, so that shards which have nothing in common hold no memory.
	laid    bool
	learned []ladder.State // scratch

	ring       []parcel
	head, tail atomic.Uint64 // written by from, by to

	// Owned by from.
	poured bool   // in this batch
	runs   uint32 // begun so far

	// Guarded by mu.
	mu       sync.Mutex
	wishes   map[TrackID]*wishes
	news     []TrackID // whose wishes have changed
	brings   map[TrackID][]ladder.State
	measured []TrackID // whose rates have changed

	told  atomic.Bool // there are news
	rated atomic.Bool // there are rates
}

// parcelKind says what a parcel brings.
type parcelKind uint8

const (
	parcelPacket parcelKind = iota
	parcelReport            // a sender report
)

// parcel is one thing on its way. It holds no pointers.
type parcel struct {
	kind     parcelKind
	encoding uint8
	marker   bool
	gap      bool // some before it were dropped
	ext      uplink.Extensions
	run      uint32 // counted up each time any encoding begins to flow through the pipe
	stamp    uint32 // RTP timestamp, of a packet or a report
	track    TrackID
	seq      seq.Extended
	at       time.Duration // a report arrived
	ntp      uint64
	size     uint16 // of the payload, behind the descriptor
	dd       uint8  // of the descriptor
	data     [codec.MaxDescriptor + uplink.MaxPayload]byte
}

// wishes are what a shard wants of another's track. The zero value wants to know its rates, and nothing else.
type wishes struct {
	encodings []encodingWish
	needed    [codec.Count]bool // codecs that slots there show backups in
	missing   [codec.Count]bool // and those that they lack one in
	ended     bool
	listed    bool // among the news
}

type encodingWish struct {
	wanted   bool
	layer    codec.Layer
	keyframe bool    // since it was last looked at
	loss     float64 // likewise: for which in-band FEC is asked of a voice
}

func newPipe(from, to *Shard) *pipe {
	return &pipe{from: from, to: to, wishes: map[TrackID]*wishes{}, brings: map[TrackID][]ladder.State{}}
}

// lay makes the ring. Nothing comes before from has heard of a wish, and so of the ring.
func (p *pipe) lay() {
	if !p.laid {
		p.laid, p.ring = true, make([]parcel, pipeSize)
	}
}

// next is where from writes a parcel that push sends; nil when the ring is full.
func (p *pipe) next() *parcel {
	head := p.head.Load()
	if head-p.tail.Load() == pipeSize {
		return nil
	}
	return &p.ring[head%pipeSize]
}

func (p *pipe) push() { p.head.Add(1) }

// first is the oldest parcel, which to hands back with pop; nil when there is none.
func (p *pipe) first() *parcel {
	tail := p.tail.Load()
	if tail == p.head.Load() {
		return nil
	}
	return &p.ring[tail%pipeSize]
}

func (p *pipe) pop() { p.tail.Add(1) }

// idle says whether there is nothing for to.
func (p *pipe) idle() bool { return p.tail.Load() == p.head.Load() && !p.rated.Load() }

// wish changes what is wanted of a track, by change, and lets from know.
func (p *pipe) wish(id TrackID, encodings int, change func(w *wishes)) {
	p.mu.Lock()
	w := p.wishes[id]
	if w == nil {
		w = &wishes{encodings: make([]encodingWish, encodings)}
		p.wishes[id] = w
	}
	change(w)
	if !w.listed {
		w.listed = true
		p.news = append(p.news, id)
	}
	p.mu.Unlock()
	p.told.Store(true)
	p.from.wake()
}

// heed hands out the wishes that have changed, once each. What is wanted of a track that from does not have yet waits for it.
func (p *pipe) heed(heard func(id TrackID, w wishes)) {
	if !p.told.Swap(false) {
		return
	}
	for {
		p.mu.Lock()
		last := len(p.news) - 1
		if last < 0 {
			p.mu.Unlock()
			return
		}
		id := p.news[last]
		p.news = p.news[:last]
		w, ok := p.read(id)
		p.mu.Unlock()
		if ok {
			heard(id, w)
		}
	}
}

// again returns what is wanted of a track that from has only now; false when nothing is.
func (p *pipe) again(id TrackID) (w wishes, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.read(id)
}

// read copies the wishes about a track. A keyframe is wished for once.
func (p *pipe) read(id TrackID) (wishes, bool) {
	w := p.wishes[id]
	if w == nil {
		return wishes{}, false
	}
	w.listed = false
	read := *w
	read.encodings = slices.Clone(w.encodings)
	for i := range w.encodings {
		w.encodings[i].keyframe, w.encodings[i].loss = false, 0
	}
	if w.ended {
		delete(p.wishes, id)
		delete(p.brings, id)
	}
	return read, true
}

// rate lets to know what the encodings of a track bring.
func (p *pipe) rate(id TrackID, l *ladder.Ladder, encodings int) {
	p.mu.Lock()
	states, listed := p.brings[id], slices.Contains(p.measured, id)
	if states == nil {
		states = make([]ladder.State, encodings)
		p.brings[id] = states
	}
	for i := range states {
		states[i] = l.State(i)
	}
	if !listed {
		p.measured = append(p.measured, id)
	}
	p.mu.Unlock()
	p.rated.Store(true)
}

// learn hands out the rates that have changed. The states are valid until heard returns.
func (p *pipe) learn(heard func(id TrackID, states []ladder.State)) {
	if !p.rated.Swap(false) {
		return
	}
	for {
		p.mu.Lock()
		last := len(p.measured) - 1
		if last < 0 {
			p.mu.Unlock()
			return
		}
		id := p.measured[last]
		p.measured = p.measured[:last]
		p.learned = append(p.learned[:0], p.brings[id]...)
		p.mu.Unlock()
		heard(id, p.learned)
	}
}

// wake ends the loop's sleep, from any goroutine. One wakes it for all that come until it sleeps again.
func (s *Shard) wake() {
	if s.waiting.Load() && s.waiting.CompareAndSwap(true, false) {
		s.sock.Wake()
	}
}

// Connect lays pipes between shards, from each to each. Call it once, before anything else is posted to them; the shards
// must have been made with one Config.Epoch.
func Connect(shards ...*Shard) {
	for _, from := range shards {
		for _, to := range shards {
			if from == to {
				continue
			}
			p := newPipe(from, to)
			from.Post(Query{func(s *Shard) { s.outlets = append(s.outlets, p) }})
			to.Post(Query{func(s *Shard) { s.inlets = append(s.inlets, p) }})
		}
	}
}
