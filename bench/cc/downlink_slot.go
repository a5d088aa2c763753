package cc

import (
	"time"

	"github.com/tolkyn/tolkyn/sfu/alloc"
)

// What sfu/internal/downlink does with what waits for its turn.
const (
	lagBound      = 150 * ms
	lagMost       = 400 * ms
	thinEvery     = 100 * ms
	thinFor       = 2 * second
	staleAtSwitch = 40 * ms
)

// layer is what a slot shows of its publisher.
type layer struct{ encoding, temporal int }

// paused shows nothing.
var paused = layer{-1, -1}

func layerAt(index int) layer {
	if index == alloc.Paused {
		return paused
	}
	return layer{index / layersOf, index % layersOf}
}

// slot is one video of the subscriber.
type slot struct {
	Slot
	index int
	want  layer // chosen
	flows layer // sent
	queue []dlPacket
	bytes int

	thinned   int // temporal layers above are left out
	thinnedAt time.Duration

	frames []dlFrame
	head   int // the first frame that the receiver has not shown or given up
	broken bool
}

// dlFrame is one that was sent or waits.
type dlFrame struct {
	layer
	key     bool
	packets int // not yet arrived
	sent    time.Duration
	began   bool
	skipped bool
}

func newSlot(index int, s Slot) *slot {
	return &slot{Slot: s, index: index, want: paused, flows: paused, thinned: layersOf - 1}
}

// rank orders slots: screens, speakers, then by priority and size.
func (s *slot) rank() int { return int(s.Kind)<<20 + int(s.Priority)<<12 + int(s.Height) }

func (s *slot) choose(index int) {
	s.want = layerAt(index)
}

// switchAtOnce does what needs no keyframe: to stop, to leave temporal layers out, and while the keyframe of a lower encoding
// is on its way, to send no more of the higher one than must be.
func (s *slot) switchAtOnce(p *publisher) {
	switch {
	case s.want == paused:
		s.flows = paused
	case s.flows.encoding == s.want.encoding:
		if s.want.temporal < s.flows.temporal {
			s.flows.temporal = s.want.temporal
		}
	case s.flows.encoding > s.want.encoding:
		s.flows.temporal = 0
	}
}

func (s *slot) askKeyframe(d *downlink, p *publisher) {
	if s.want == paused || s.want.encoding == s.flows.encoding && !s.broken {
		return
	}
	e := &p.encodings[s.want.encoding]
	if e.key == 0 && d.now >= e.asked+keyframesEvery {
		e.asked = d.now
		e.key = d.now + publisherRTT
		d.seen.wished++
	}
}

// takes says whether a frame is sent, and goes over to its encoding with a keyframe.
func (s *slot) takes(d *downlink, encoding int, f frame) bool {
	if encoding == s.want.encoding && f.key {
		s.flows = s.want
		s.broken = false
	}
	if encoding != s.flows.encoding {
		return false
	}
	if f.temporal == 0 && s.flows.encoding == s.want.encoding {
		s.flows.temporal = max(s.flows.temporal, s.want.temporal)
	}
	if s.broken {
		return false
	}
	if s.thinned < layersOf-1 && d.now-s.thinnedAt >= thinFor {
		s.thinned = layersOf - 1
	}
	return f.temporal <= s.allowed()
}

func (s *slot) enqueue(d *downlink, encoding int, f frame) {
	record := dlFrame{layer: layer{encoding, f.temporal}, key: f.key}
	split(f.size, func(size int) {
		record.packets++
		s.queue = append(s.queue, dlPacket{slot: s.index, frame: len(s.frames), size: size, came: d.now})
		s.bytes += size
	})
	s.frames = append(s.frames, record)
}

// next is the packet that the slot would send now. What has waited too long is left out as sfu/internal/downlink does it: when
// a keyframe has come, all before it that has waited for 40 ms, a frame that was begun too; at 150 ms the highest temporal
// layer, for two seconds; at 400 ms all, for a keyframe that is asked for. Else a frame that was begun is sent to its end.
func (s *slot) next(d *downlink) (dlPacket, bool) {
	for len(s.queue) > 0 {
		p := s.queue[0]
		f := &s.frames[p.frame]
		age := d.now - p.came
		key := s.keyframeBehind(p.frame)
		switch {
		case s.flows == paused:
			s.skipTo(len(s.frames))
			continue
		case key > 0 && age > staleAtSwitch:
			s.skipTo(key)
			continue
		case f.began:
			return p, true
		case f.temporal > s.allowed():
		case age > lagMost:
			s.broken = true
		case age > lagBound && s.thin(d.now, f):
		default:
			return p, true
		}
		f.skipped = true
		s.drop()
	}
	return dlPacket{}, false
}

// keyframeBehind is the first keyframe that waits behind a frame; 0: none does.
func (s *slot) keyframeBehind(frame int) int {
	for i := frame + 1; i < len(s.frames); i++ {
		if s.frames[i].key {
			return i
		}
	}
	return 0
}

// skipTo leaves out all that waits before a frame.
func (s *slot) skipTo(frame int) {
	for len(s.queue) > 0 && s.queue[0].frame < frame {
		s.frames[s.queue[0].frame].skipped = true
		s.drop()
	}
}

// thin leaves one more temporal layer out, and says whether the frame is of it.
func (s *slot) thin(now time.Duration, f *dlFrame) bool {
	if top := s.allowed(); top > 0 && now-s.thinnedAt >= thinEvery {
		s.thinned, s.thinnedAt = top-1, now
	}
	return f.temporal > s.allowed()
}

// allowed is the highest temporal layer that the slot keeps up with.
func (s *slot) allowed() int {
	return min(s.flows.temporal, s.thinned)
}

func (s *slot) pop() {
	f := &s.frames[s.queue[0].frame]
	f.began = true
	s.drop()
}

func (s *slot) drop() {
	s.bytes -= s.queue[0].size
	s.queue = s.queue[1:]
}

// arrive counts a packet of a frame and shows what can be shown.
func (s *slot) arrive(d *downlink, frame int) {
	f := &s.frames[frame]
	f.packets--
	f.sent = d.now
	s.show(d)
}

// show shows all frames that have come, in order. One of an upper temporal layer that is not there is passed over as soon as
// the next one is; what the others refer to is waited for half a second, and then asked for as a keyframe.
func (s *slot) show(d *downlink) {
	for s.head < len(s.frames) {
		f := &s.frames[s.head]
		switch {
		case f.skipped:
		case s.broken && !f.key:
		case f.packets == 0:
			d.seen.shown(d.now, s.index, f.layer)
		case f.began && f.temporal > 0 && s.later(s.head+1):
		case f.began && s.later(s.head+1) && s.lateBy(d.now) > 500*ms:
			s.broken = true
		default:
			return
		}
		s.head++
	}
}

// later says whether a frame behind one has come whole.
func (s *slot) later(from int) bool {
	for i := from; i < len(s.frames); i++ {
		if s.frames[i].packets == 0 && s.frames[i].temporal == 0 {
			return true
		}
	}
	return false
}

// lateBy is how long the head has been waited for since the first whole frame behind it.
func (s *slot) lateBy(now time.Duration) time.Duration {
	for i := s.head + 1; i < len(s.frames); i++ {
		if s.frames[i].packets == 0 {
			return now - s.frames[i].sent
		}
	}
	return 0
}
