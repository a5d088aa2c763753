package shard

import (
	"slices"
	"time"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/sfu/alloc"
	"github.com/tolkyn/tolkyn/sfu/internal/downlink"
	"github.com/tolkyn/tolkyn/sfu/internal/ladder"
	"github.com/tolkyn/tolkyn/sfu/pace"
)

// class orders the ready queues: audio leaves before video.
type class int

const (
	audio class = iota
	video
)

// slot is one receive slot of one subscriber. What each packet needs stands in front, in one cache line: a large room has more
// slots than the cache holds.
type slot struct {
	owner   *peer
	down    *downlink.Downlink
	source  *published // the encoding it was last assigned; shown from its switch point on
	old     *published // what flows until then
	class   class
	pending bool // in owner.pending
	// Its packets carry a transport-wide number, or one that RFC 8888 tells of.
	numbered bool
	kind     alloc.Kind
	csrc     uint32 // names the participant of source
	priority uint32 // of the client's wish

	// Fixed.
	index   uint16 // in owner.slots
	cname   string
	decodes [codec.Count]bool
	prefers []codec.Codec // in the client's order

	// What it was assigned, and what of that it shall show.
	track   *track // a primary
	variant *track // the track, or a backup of it that the client can decode; nil: there is none
	view    ladder.View
	since   time.Duration // assigned
	chooser ladder.Chooser
	choice  ladder.Choice
	chosen  bool        // choice holds one
	layer   codec.Layer // asked of down
	flows   codec.Layer // what down gave when last looked at
	told    SlotLayer   // by Config.LayersChanged
	grant   grant       // of its subscriber's bits
	spare   spare

	// What the client tells of its packets.
	reception reception
	own       *[2]ownNumbers // of its SSRC and of RTX; nil where they are not reported by the stream's own numbers
	ear       *ear           // of sound
}

// readyQueue lists the subscribers with packets to send. Going through subscribers, not packets, lays a subscriber's
// packets side by side, so that they leave as one GSO message.
type readyQueue struct {
	peers []*peer
	head  int
}

func (q *readyQueue) push(sl *slot) {
	p, c := sl.owner, sl.class
	if sl.pending {
		return
	}
	sl.pending = true
	p.pending[c] = append(p.pending[c], sl)
	if c == audio || !p.congestion.holds() {
		q.enter(p, c)
	}
}

// enter puts a subscriber in, behind the others.
func (q *readyQueue) enter(p *peer, c class) {
	if !p.queued[c] {
		p.queued[c] = true
		q.peers = append(q.peers, p)
	}
}

func (q *readyQueue) empty() bool { return q.head == len(q.peers) }

// pop takes the first subscriber out; the backing array is used again once the queue has run empty.
func (q *readyQueue) pop(c class) *peer {
	p := q.peers[q.head]
	q.peers[q.head] = nil
	q.head++
	if q.empty() {
		q.peers, q.head = q.peers[:0], 0
	}
	p.queued[c] = false
	return p
}

// back puts a subscriber whose turn ended behind the others.
func (q *readyQueue) back(p *peer, c class) {
	if q.head > 1024 && q.head > len(q.peers)/2 {
		q.peers = append(q.peers[:0], q.peers[q.head:]...)
		q.head = 0
	}
	p.queued[c] = true
	q.peers = append(q.peers, p)
}

func (q *readyQueue) drop(p *peer) {
	kept := q.peers[:q.head]
	for _, other := range q.peers[q.head:] {
		if other != p {
			kept = append(kept, other)
		}
	}
	clear(q.peers[len(kept):])
	q.peers = kept
}

// spread puts every slot that listens to an uplink of this batch into its ready queue, and asks for what the batch showed
// to be missing.
func (s *Shard) spread(now time.Duration) {
	for i, u := range s.touched {
		if u == nil {
			continue // a fault ended the last call half-way
		}
		s.touched[i] = nil
		u.dirty = false
		if u.owner.gone {
			continue
		}
		s.suspect = u.owner
		s.pollUplink(now, u)
		s.pourAll(u)
		if t := u.track; t.ladder != nil && now >= t.measureAt {
			s.tendTrack(now, t)
		}
		for _, sl := range u.subs {
			s.ready[sl.class].push(sl)
		}
	}
	s.touched = s.touched[:0]
	s.flushPipes()
}

// forward sends up to budget packets, audio first; true when more is waiting.
func (s *Shard) forward(now time.Duration, budget int) bool {
	for c := range s.ready {
		q := &s.ready[c]
		for !q.empty() {
			if budget <= 0 {
				return true
			}
			p := q.pop(class(c))
			sent, more := s.serve(now, p, class(c), budget)
			budget -= sent
			if more {
				q.back(p, class(c))
			}
		}
	}
	return false
}

// serve sends what one subscriber's slots of a class have, and returns how many packets that were and whether it has to be
// served again in this turn or the next: else it has nothing more, or is held.
func (s *Shard) serve(now time.Duration, p *peer, c class, budget int) (sent int, more bool) {
	s.suspect = p
	if !s.mayHear(now, p) {
		for _, sl := range p.pending[c] {
			sl.pending = false
		}
		p.pending[c] = p.pending[c][:0]
		s.restGate(p)
		return 0, false
	}
	paced := c == video && p.congestion.known()
	if paced {
		sent = s.serveRepairs(now, p, budget)
	}
	room := s.mayLeave(now, p, c)
	for len(p.pending[c]) > 0 {
		sl := p.foremost(c, paced)
		for {
			if sent >= budget {
				return sent, true
			}
			if room <= 0 {
				if room = s.mayLeave(now, p, c); room <= 0 {
					s.halt(now, p)
					return sent, false
				}
			}
			dst := s.space(p)
			out, state := sl.down.Next(now, dst, uint16(p.sent))
			if state == downlink.Empty {
				break
			}
			if state == downlink.Dropped {
				continue
			}
			room -= s.seal(now, p, sl, [...]pace.Class{pace.Audio, pace.Video}[c], dst, out)
			sent++
			if out.First {
				s.reportSlot(now, p, sl) // lip sync starts with the new source
			}
			if out.Parity {
				sent += s.protect(now, p, sl)
			}
		}
		sl.pending = false
		p.pending[c] = p.pending[c][:len(p.pending[c])-1]
		s.afterServe(now, sl)
	}
	if paced && p.congestion.waits() {
		if sent += s.pad(now, p, budget-sent); sent >= budget {
			return sent, true
		}
		s.awaken(now, p)
	}
	return sent, false
}

// foremost moves the slot to be served next to the end of the peer's list, and returns it: where bits are counted, that of the
// highest rank.
func (p *peer) foremost(c class, counted bool) *slot {
	list := p.pending[c]
	last := len(list) - 1
	if counted {
		best := last
		for i := range last {
			if list[i].before(list[best]) {
				best = i
			}
		}
		list[best], list[last] = list[last], list[best]
	}
	return list[last]
}

// before says whether a slot's pictures leave before another's.
func (sl *slot) before(o *slot) bool {
	return sl.kind > o.kind || sl.kind == o.kind && sl.priority > o.priority
}

// afterServe follows a switch that has just happened, and passes on the wish for the keyframe it waits for.
func (s *Shard) afterServe(now time.Duration, sl *slot) {
	if sl.old != nil {
		if _, next := sl.down.Sources(); next == nil {
			s.release(now, sl)
			s.mayTell(now, sl.owner)
		}
	}
	if sl.source != nil && sl.source.up != nil && sl.down.WantsKeyframe(now) {
		s.wantKeyframe(now, sl.source)
	}
}

// mayHear says whether media may be sent to a peer: keys, a proved address, and consent that has not run out.
func (s *Shard) mayHear(now time.Duration, p *peer) bool {
	return p.sealer != nil && p.destination.valid() && now-p.consented < consentFor
}

// space is where the next datagram to p is written.
func (s *Shard) space(p *peer) []byte {
	if v := p.destination.via; v != nil {
		return s.spaceBy(v)
	}
	b := s.queue.Next(p.destination.addr)
	if b == nil {
		s.sock.Flush(s.queue)
		b = s.queue.Next(p.destination.addr)
	}
	return b
}

// seal encrypts the packet that stands in dst, once, puts it on its way and returns how many bytes it is there.
func (s *Shard) seal(now time.Duration, p *peer, sl *slot, c pace.Class, dst []byte, out downlink.Out) int {
	size := p.sealer.SealRTP(dst, out.HeaderSize, out.Size, out.Seq)
	if !out.RTX && size > 0 {
		sl.down.StoreSealed(out.Seq, dst[:size])
	}
	s.stats.PacketsOut++
	s.stats.BytesOut += uint64(size)
	if sl.ear != nil {
		s.uttered(now, p, sl, out, size)
	}
	s.left(now, p, sl, c, out, size)
	if sl.own != nil && p.destination.via == nil {
		s.queue.Mark(p.congestion.ecn.next())
	}
	s.send(p, dst, size)
	return size
}

func (s *Shard) send(p *peer, dst []byte, size int) {
	if size == 0 { // not sealed: the keys have been used up
		s.stats.Drops.Unsealed++
		return
	}
	if v := p.destination.via; v != nil {
		s.sendBy(v, dst[:size])
		return
	}
	s.queue.Commit(size)
}

// assign makes a slot show an uplink; nil empties it.
func (s *Shard) assign(now time.Duration, sl *slot, u *published, csrc uint32) {
	if sl.source == u {
		return
	}
	s.suspect = sl.owner
	sl.csrc = csrc
	switch {
	case u != nil && sl.old == u: // back to what still flows
		s.unwatch(now, sl)
		sl.source, sl.old = u, nil
	case sl.old != nil: // a switch still waited for its keyframe: the newest wish replaces it, the oldest source flows on
		s.unwatch(now, sl)
		sl.source = u
	default:
		sl.source, sl.old = u, sl.source
	}
	if u != nil && !slices.Contains(u.subs, sl) {
		u.subs = append(u.subs, sl)
	}
	if u == nil || u.up == nil { // nobody's media under the new name
		sl.down.Assign(now, nil, 0)
		s.release(now, sl)
		return
	}
	sl.show(s, now, u)
}

// release takes a slot off what flowed until its switch.
func (s *Shard) release(now time.Duration, sl *slot) {
	old := sl.old
	if old == nil {
		return
	}
	old.unsubscribe(sl)
	sl.old = nil
	s.tendSoon(now, old.track) // perhaps nobody watches it any more
}

// show starts the switch to an uplink whose SSRC is known.
func (sl *slot) show(s *Shard, now time.Duration, u *published) {
	if sl.source != u {
		return
	}
	sl.begin(now)
	if sl.down.WantsKeyframe(now) {
		s.wantKeyframe(now, u)
	}
	s.ready[sl.class].push(sl)
}

// begin hands the slot's source to its downlink, with what it shall show of it.
func (sl *slot) begin(now time.Duration) {
	if sl.source == nil || sl.source.up == nil {
		return
	}
	sl.down.Assign(now, sl.source.up, sl.csrc)
	if sl.class == video {
		sl.down.SetLayer(now, sl.layer)
	}
}

func (u *published) unsubscribe(sl *slot) {
	if u == nil {
		return
	}
	for i, other := range u.subs {
		if other == sl {
			last := len(u.subs) - 1
			u.subs[i] = u.subs[last]
			u.subs[last] = nil
			u.subs = u.subs[:last]
			return
		}
	}
}

// unwatch takes a slot off the source that it waits for.
func (s *Shard) unwatch(now time.Duration, sl *slot) {
	if sl.source != nil {
		sl.source.unsubscribe(sl)
		s.tendSoon(now, sl.source.track)
	}
}

// leave takes a slot off all it listens to, without a word to its downlink.
func (s *Shard) leave(now time.Duration, sl *slot) {
	for _, t := range sl.leaveTrack() {
		if t != nil {
			s.tendSoon(now, t)
			t.byCodec(s, now)
		}
	}
	s.unwatch(now, sl)
	s.release(now, sl)
	sl.source = nil
}

// wantKeyframe passes a wish to the publisher; the uplink merges them.
func (s *Shard) wantKeyframe(now time.Duration, u *published) {
	if u.owner.from != nil {
		s.wishKeyframe(now, u)
		return
	}
	u.up.RequestKeyframe(now)
	s.wheel.arm(&u.owner.timer, now)
}

// resend answers one NACK; true when a packet went out.
func (s *Shard) resend(now time.Duration, p *peer, sl *slot, seq uint16) bool {
	if !s.mayHear(now, p) {
		return false
	}
	dst := s.space(p)
	if sealed := sl.down.Sealed(now, seq); sealed != nil {
		s.stats.Resent++
		s.stats.VoicesResent++
		s.leftAgain(now, p, len(sealed))
		s.send(p, dst, copy(dst, sealed))
		return true
	}
	out, ok := sl.down.Resend(now, seq, dst, uint16(p.sent))
	if !ok {
		s.stats.ResendMissed++
		return false
	}
	s.stats.Resent++
	s.stats.RepairBytes += uint64(s.seal(now, p, sl, pace.Repair, dst, out))
	return true
}
