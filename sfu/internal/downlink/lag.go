package downlink

import (
	"time"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/sfu/internal/uplink"
)

const (
	// 150 ms: what a keyframe of five pictures' size takes on a path that carries the stream a tenth faster than it comes. Who
	// is further behind than that gets more than the path carries.
	lagBound = 150 * time.Millisecond

	// 400 ms behind, and no layer is left that could be left out: the picture stands still until a keyframe, rather than show
	// what was said before somebody answered (G.114 §4).
	lagMost = 400 * time.Millisecond

	// 900 ms: the history ends at a second.
	lagEnd = 900 * time.Millisecond

	// 200 ms: who was behind when a keyframe was through has not grown into the path, but the keyframe was large. Leaving all
	// out for another one would show keyframes only; he must fall further behind before that.
	lagGrace = 200 * time.Millisecond

	// 100 ms: leaving out one temporal layer shows by then.
	thinEvery = 100 * time.Millisecond

	// 2 s without having been behind before a layer comes back: the estimate has had twenty feedbacks to grow or to tell.
	thinFor = 2 * time.Second

	// 40 ms, one picture at 25 a second: what has waited longer for its turn does not hold up the source that takes over.
	staleAtSwitch = 40 * time.Millisecond

	// 64 bytes that a packet's payload grows by on the wire: IPv4, UDP, RTP, its extensions, and the tag.
	wireOverhead = 64

	// never is longer than anything waits.
	never = time.Duration(1) << 62
)

// lag is what a slot knows of being behind its source: pacing holds it back, and the cursor stays where it is.
//
//	            cursor                    head
//	source  ──1──2──3──4──5──6──7──K──8──9──┐
//	              ╰── 150 ms behind ────────┘  K has come: on to K
//	                                           no K, but temporal layers: without the highest, and the next
//	              ╰── 400 ms ───────────────┘  neither: on to the next keyframe, which is asked for
type lag struct {
	patience time.Duration // how long the oldest packet may wait; never without an estimate
	since    time.Duration // the segment began: what is older waits from then on
	began    bool          // the slot is behind, or has been since nothing waited
	behind   time.Duration // how far it was when the last keyframe was through

	thinned   bool          // of temporal layers, only those up to temporal are shown
	temporal  uint8         // 0: the base
	thinnedAt time.Duration // behind last
}

// Shed says that the source assigned last takes the place of one that is more than the path carries. While its keyframe is on its way
// that one flows on only as far as nothing of it has to wait: what waits would stand between the path and the keyframe, and its
// pictures are shown out of the bottleneck's queue meanwhile. And nothing of it is sent again. Assign ends it.
func (d *Downlink) Shed() { d.sheds = d.lag.patience != never && d.next != nil && d.next != d.current }

// leaves reports whether the picture goes on at a keyframe of another source because the one before is more than the path carries.
func (d *Downlink) leaves(now time.Duration) bool {
	if !d.sheds || d.current == nil || d.next == nil {
		return d.sheds
	}
	if p := d.current.At(d.cursor); p != nil && d.overtakes(p) {
		return true
	}
	_, ok := d.entrance(now)
	return ok
}

// SetPaused stops the slot's video, or lets it go on: for want of room, which is no fault of its source. A slot that is paused
// forwards nothing, asks for nothing and keeps its stream whole. It goes on where it was when that was 150 ms ago at most, else
// at a keyframe. Audio does not pause.
func (d *Downlink) SetPaused(now time.Duration, paused bool) {
	if paused == d.paused || !d.cfg.Video {
		return
	}
	d.paused = paused
	if _, age := d.backlog(now); !paused && age > lagBound {
		d.awaitKeyframe()
	}
}

// Paused reports whether the slot is paused.
func (d *Downlink) Paused() bool { return d.paused }

// Backlog returns about how many bytes, on the wire, of the source that flows wait to be sent, and how long the first of them
// has waited; zeros when none does, or the slot is paused. Of layers that are left out, what comes next is taken to be left out as what came before.
func (d *Downlink) Backlog(now time.Duration) (bytes int, age time.Duration) {
	if d.paused {
		return 0, 0
	}
	return d.backlog(now)
}

func (d *Downlink) backlog(now time.Duration) (bytes int, age time.Duration) {
	if d.current == nil || d.cursor >= d.current.Head() {
		return 0, 0
	}
	n, bytes := d.current.From(d.cursor)
	if n == 0 {
		return 0, 0
	}
	if d.sifts {
		n -= n * int(d.layers.left) >> 8
		bytes -= bytes * int(d.layers.left) >> 8
	}
	return bytes + n*wireOverhead, d.waited(now, d.current.At(max(d.cursor, d.current.Tail())))
}

// waited is how long p of the current source has waited for this slot.
func (d *Downlink) waited(now time.Duration, p *uplink.Packet) time.Duration {
	return now - max(p.Arrival, d.lag.since)
}

// overtakes reports whether the next source need not wait for p of the current one, which came before: that has been held back
// too long to be worth its bytes.
func (d *Downlink) overtakes(p *uplink.Packet) bool {
	return d.lag.patience != never && d.waited(d.lastNow, p) > staleAtSwitch
}

// hurry deals with p, which has waited for longer than patience and is next: true when it need not be sent, as the cursor has
// moved. A picture that was begun is sent to its end: else a path too thin for its size would see no picture whole.
func (d *Downlink) hurry(now time.Duration, p *uplink.Packet) bool {
	g := &d.lag
	age := d.waited(now, p)
	if age <= g.patience || p.Timestamp == d.sequence.source {
		return false
	}
	g.began = true
	k, ok := d.current.LastKeyframe()
	if ok && d.current.At(k).Timestamp == d.sequence.source {
		g.behind = age
	}
	switch {
	case d.next == nil && ok && k > d.cursor && now-d.current.At(k).Arrival <= replayLimit:
		d.skipTo(k)
		return true
	case age > min(max(lagMost, g.behind+lagGrace), lagEnd):
		d.awaitKeyframe()
		return true
	}
	d.thin(now)
	return false
}

// skipTo passes over all that waits before the keyframe at arrival index k of the current source.
func (d *Downlink) skipTo(k uint64) {
	if d.next == nil {
		d.next, d.nextName, d.nextWant = d.current, d.currentName, d.asked
	}
	d.passOver(k)
}

// awaitKeyframe passes over all there is of the current source, and goes on at a keyframe.
func (d *Downlink) awaitKeyframe() { d.skipTo(d.current.Head()) }

// passOver leaves the current source, having passed over its packets up to arrival index end.
func (d *Downlink) passOver(end uint64) {
	d.stats.Stale += end - d.cursor
	d.current = nil
}

// overrun deals with packets that were overwritten before the slot got to them.
func (d *Downlink) overrun() {
	d.stats.Overrun += d.current.Tail() - d.cursor
	d.cursor = d.current.Tail()
	if d.lag.patience != never {
		d.awaitKeyframe() // what follows refers to what is gone
	}
}

// thin leaves out one more temporal layer, when there is one.
func (d *Downlink) thin(now time.Duration) {
	g := &d.lag
	if g.thinned && now-g.thinnedAt < thinEvery {
		return
	}
	top, ok := d.current.Top(now)
	if !ok {
		return
	}
	shown := min(top.Temporal, d.asked.Temporal)
	if g.thinned {
		shown = min(shown, g.temporal)
	}
	g.thinnedAt = now
	if shown == 0 {
		return
	}
	g.thinned, g.temporal = true, shown-1
	d.stats.Thinnings++
	d.showWanted(now)
}

// caughtUp takes note that nothing waits.
func (d *Downlink) caughtUp(now time.Duration) {
	g := &d.lag
	g.behind, g.began = 0, g.thinned
	if g.thinned && now-g.thinnedAt >= thinFor {
		g.thinned, g.began = false, false
		d.showWanted(now)
	}
}

// restart begins with a keyframe of src, what p is of: behind it nothing waits yet. Layers that were too much of the stream
// before still are.
func (d *Downlink) restart(now time.Duration, goesOn bool) {
	g := &d.lag
	*g = lag{patience: g.patience, since: now, began: goesOn && g.thinned, thinned: goesOn && g.thinned, temporal: g.temporal, thinnedAt: g.thinnedAt}
	d.want = d.allowed()
}

// allowed is what of the layer asked for the path allows.
func (d *Downlink) allowed() codec.Layer {
	l := d.asked
	if d.lag.thinned {
		l.Temporal = min(l.Temporal, d.lag.temporal)
	}
	return l
}

// showWanted aims at what was asked for, as far as the path allows.
func (d *Downlink) showWanted(now time.Duration) {
	l := d.allowed()
	if l == d.want {
		return
	}
	d.want, d.wantedSince = l, now
	if d.cfg.Video {
		d.limit()
	}
}
