package caller

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/pion/rtp"

	"github.com/tolkyn/tolkyn/bench/measure"
	"github.com/tolkyn/tolkyn/bench/scenario"
	"github.com/tolkyn/tolkyn/bench/source"
	"github.com/tolkyn/tolkyn/internal/clip"
	"github.com/tolkyn/tolkyn/sfu/jitter"
)

const (
	// settled: for 2 s after a slot changes its sender packets of the one before may still be under way (docs/protocol.md,
	// SlotMap). After that a frame of somebody else is a mistake.
	settled = 2 * time.Second
	// askAfter is how long a picture may be missing before a keyframe is asked for; servers ask by themselves sooner.
	askAfter = 500 * time.Millisecond
	askEvery = time.Second
	// forgetAfter is how long a slot may be silent whose stream comes elsewhere by now: nothing of it is under way any more.
	forgetAfter = 10 * time.Second
	// overdue is how long after the warm-up a packet may come that belongs to it: later ones are of no use in a call.
	overdue = 2 * time.Second
)

// receiver is what one full caller hears and sees. It is pure but for the recordings, and owned by its caller's lock. Times
// are on the run's clock.
type receiver struct {
	me     *role
	cast   *cast
	epoch  time.Time
	warmup time.Duration
	ask    func(slot int) // for a keyframe

	slots   map[slotKey]*slot
	streams map[streamKey]*stream
	order   []*stream
	persons map[int]*person // senders by number
	tapes   *recorder       // nil: nothing is kept

	firstPacket, firstFrame time.Duration // 0: not yet
	packets, bytes          int64
	strangers               int64 // packets of nobody in the cast
}

type slotKey struct {
	kind measure.Kind
	slot int
}

type streamKey struct{ sender, track int }

// person is one sender as this receiver has it.
type person struct {
	sync   *measure.LipSync
	behind time.Duration // from being sent to being heard, now; 0: not heard yet
	heard  time.Duration // when
}

// slot is one sequence of packets.
type slot struct {
	key     slotKey
	ssrc    uint32
	claimed *stream       // whose it is by the server's word
	since   time.Duration // of that word
	carries *stream       // whose packet the newest one is
	highest uint16        // its number
	heard   time.Duration // when the last packet came

	// Of sound.
	buffer *jitter.Buffer
	late   uint64    // packets that came while they were concealed, told so far
	coarse [8]*heard // copies of lower quality that were put in last, a ring: a better one may take their place
	next   int       // in it

	// Of pictures.
	order     clip.Reorder
	assembler clip.Assembler
	abandoned uint64         // of the assembler's, told so far
	stamp     uint32         // RTP timestamp of the frame in it
	came      time.Duration  // that frame's last packet so far
	ahead     clip.Assembler // of what has come behind a gap
	newest    uint16         // number of the packet that came last
	wanting   time.Duration
	asked     time.Duration
}

// stream is one track of one sender.
type stream struct {
	key    streamKey
	from   *role
	track  scenario.Track
	person *person
	sound  *measure.AudioMeter // one of the two
	sight  *measure.VideoMeter
	on     *slot // that its packets last came in
	paused bool
	early  bool   // it came during the warm-up too ...
	before uint16 // ... up to this number
	kept   *reel

	// Of pictures.
	evenly evenly
	shown  time.Duration // when the last one was
}

func newReceiver(me *role, c *cast, epoch time.Time, warmup time.Duration, ask func(int)) *receiver {
	return &receiver{
		me: me, cast: c, epoch: epoch, warmup: warmup, ask: ask,
		slots: map[slotKey]*slot{}, streams: map[streamKey]*stream{}, persons: map[int]*person{},
	}
}

// handle takes a packet in order of arrival.
func (r *receiver) handle(at time.Duration, from Source, p *rtp.Packet, came measure.Repair) {
	if r.firstPacket == 0 {
		r.firstPacket = at
	}
	r.packets++
	size := p.MarshalSize()
	r.bytes += int64(size)
	s := r.slotOf(from, p.SSRC)
	s.heard = at
	r.claim(s, at, from)
	if s.key.kind == measure.Audio {
		r.hear(s, at, p, size, came)
	} else {
		r.see(s, at, p, size, came != measure.FirstTry)
	}
}

// slotOf finds a slot, or begins it: anew with another SSRC, whose numbers are others (a new PeerConnection, for instance).
func (r *receiver) slotOf(from Source, ssrc uint32) *slot {
	key := slotKey{from.Kind, from.Slot}
	s := r.slots[key]
	if s == nil || s.ssrc != ssrc {
		s = &slot{key: key, ssrc: ssrc}
		if key.kind == measure.Audio {
			s.buffer, _ = jitter.New(jitter.Config{}) // the defaults are in range
		}
		r.slots[key] = s
	}
	return s
}

// comeAgain: another connection follows, whose slots are others.
func (r *receiver) comeAgain() { clear(r.slots) }

// forget drops the slots whose streams come elsewhere by now: servers that number slots anew would have them grow.
func (r *receiver) forget(at time.Duration) {
	for key, s := range r.slots {
		if at-s.heard > forgetAfter && (s.claimed == nil || s.claimed.on != s) {
			delete(r.slots, key)
		}
	}
}

// claim notes whose the server says a slot's packets are.
func (r *receiver) claim(s *slot, at time.Duration, from Source) {
	who := r.cast.named(r.me.Room, from.Sender)
	if who == nil {
		return // not told yet, or nobody of ours
	}
	i := slices.IndexFunc(who.Publish, func(t scenario.Track) bool {
		return string(t.Media) == from.Track || strings.HasPrefix(from.Track, string(t.Media)+"-") // as the web SDK names them
	})
	if i < 0 {
		// Some servers have names of their own for tracks: the first of the kind.
		i = slices.IndexFunc(who.Publish, func(t scenario.Track) bool {
			return (t.Media == scenario.Microphone) == (from.Kind == measure.Audio)
		})
	}
	if i < 0 {
		return
	}
	now := r.stream(who, i)
	if s.claimed == now {
		return
	}
	s.claimed, s.since = now, at
}

// stream finds or begins one.
func (r *receiver) stream(who *role, track int) *stream {
	key := streamKey{who.Number, track}
	if st := r.streams[key]; st != nil {
		return st
	}
	t := who.Publish[track]
	p := r.persons[who.Number]
	if p == nil {
		p = &person{}
		if audio, video := kinds(who.Publish); audio && video {
			p.sync = measure.NewLipSync()
		}
		r.persons[who.Number] = p
	}
	st := &stream{key: key, from: who, track: t, person: p}
	of := measure.Of{
		Room: r.me.Room, Receiver: r.me.Identity, Sender: who.Identity, Track: string(t.Media),
		Stamp: source.Sender(who.Number, track, 0), Due: max(r.warmup, firstOf(who, r.me)),
	}
	if t.Media == scenario.Microphone {
		of.Codec = "opus"
		profile := profileOf(t.Profile)
		st.sound = measure.NewAudio(measure.AudioConfig{
			Of: of, Packet: profile.PacketTime(), CodecRate: float64(profile.Bitrate()), LipSync: p.sync,
		})
	} else {
		of.Codec = "VP8"
		w, h := layerOf(t.Profile).Size()
		st.sight = measure.NewVideo(measure.VideoConfig{Of: of, FPS: source.FrameRate, Width: w, Height: h, LipSync: p.sync})
	}
	if r.tapes != nil {
		st.kept = r.tapes.track(st)
	}
	r.streams[key] = st
	r.order = append(r.order, st)
	return st
}

func kinds(tracks []scenario.Track) (audio, video bool) {
	for _, t := range tracks {
		audio = audio || t.Media == scenario.Microphone
		video = video || t.Media != scenario.Microphone
	}
	return audio, video
}

// firstOf is when both are in the call.
func firstOf(a, b *role) time.Duration {
	if len(a.there) == 0 || len(b.there) == 0 {
		return 0
	}
	return max(a.there[0].from, b.there[0].from)
}

// take has a meter count a packet; which one is the server's word.
func (r *receiver) take(s *slot, at time.Duration, p *rtp.Packet, size int, repaired bool) {
	st := s.claimed
	if st == nil {
		r.strangers++
		return
	}
	// A packet that was overtaken belongs to the turn before.
	newest := s.carries == nil || int16(p.SequenceNumber-s.highest) > 0
	if st.on != s || newest && s.carries != st {
		// Another's packets had the numbers in between.
		st.newSequence()
		st.on, st.early = s, false
	}
	if newest {
		if before := s.carries; before != nil && before != st && before.on == s && before.sight != nil {
			r.pause(before, at) // its place is another's
		}
		s.carries, s.highest = st, p.SequenceNumber
	}
	if at < r.warmup {
		st.early, st.before = true, s.highest
		return
	}
	if s.carries == st {
		r.wake(st, at)
	}
	if st.early && at < r.warmup+overdue && int16(p.SequenceNumber-st.before) <= 0 {
		return // late or repaired: its neighbours were not counted
	}
	if st.sound != nil {
		st.sound.Packet(at, p.SequenceNumber, size, p.Timestamp, repaired)
	} else {
		st.sight.Packet(at, p.SequenceNumber, size, p.Timestamp, repaired)
	}
}

func (st *stream) newSequence() {
	if st.sound != nil {
		st.sound.NewSequence()
	} else {
		st.sight.NewSequence()
	}
}

// wake ends a pause with the first packet.
func (r *receiver) wake(st *stream, at time.Duration) {
	if !st.paused || !st.from.sends(st.track, at) {
		return
	}
	st.paused = false
	if st.sound != nil {
		st.sound.Resume(at)
	} else {
		st.sight.Resume(at)
	}
}

// rest pauses what is not due: its sender has left or is muted, by the schedule, or we are not there.
func (r *receiver) rest(at time.Duration) {
	for _, st := range r.order {
		if st.paused || st.from.sends(st.track, at) && during(r.me.there, at) {
			continue
		}
		r.pause(st, at)
	}
}

func (r *receiver) pause(st *stream, at time.Duration) {
	st.paused = true
	if st.sound != nil {
		st.sound.Pause(at)
	} else {
		st.sight.Pause(at)
	}
}

// sent turns a stamp's moment to the run's clock.
func (r *receiver) sent(s source.Stamp) time.Duration { return time.UnixMicro(s.Sent).Sub(r.epoch) }

// owner is the stream that a stamp names, and whether it is the one the server said, as far as it can be held to its word.
func (r *receiver) owner(s *slot, at time.Duration, stamp source.Stamp) (*stream, bool) {
	who := r.cast.byNumber[stamp.Caller()]
	if who == nil || who.Room != r.me.Room {
		return s.claimed, false
	}
	if _, ok := who.track(stamp.Track()); !ok {
		return s.claimed, false
	}
	told := r.stream(who, stamp.Track())
	if s.claimed == nil || s.claimed == told || at-s.since < settled {
		return told, true
	}
	return s.claimed, false
}

func (r *receiver) expectsPictures() bool {
	_, video := r.cast.tracksOf(r.me)
	return video > 0 && r.me.VideoSlots > 0
}

// awaits says whether anybody's media is due at a moment.
func (r *receiver) awaits(at time.Duration) bool {
	return slices.ContainsFunc(r.cast.byRoom[r.me.Room], func(who *role) bool {
		return who != r.me && slices.ContainsFunc(who.Publish, func(t scenario.Track) bool { return who.sends(t, at) })
	})
}

// listen plays the next 10 ms of all slots; at rises by that with each call.
func (r *receiver) listen(at time.Duration) {
	r.rest(at)
	for _, s := range r.slots {
		if s.buffer != nil {
			r.play(s, at)
		} else {
			r.pull(s, at) // gaps that are given up
		}
	}
	if at%time.Second < jitter.Period {
		r.forget(at)
	}
}

func (st *stream) hearsAt(at, sent time.Duration) {
	if st != nil {
		st.person.behind, st.person.heard = at-sent, at
	}
}

func samplesToTime(n int) time.Duration { return time.Duration(n) * time.Second / 48_000 }

// see puts packets of a picture in order and together.
func (r *receiver) see(s *slot, at time.Duration, p *rtp.Packet, size int, repaired bool) {
	if len(p.Payload) == 0 {
		return // padding, as probes have it
	}
	r.take(s, at, p, size, repaired)
	s.order.Push(at, p)
	if s.leaps(p) {
		s.order.Drain()
	}
	r.pull(s, at)
}

// leaps says whether a whole keyframe has come behind a gap: no decoder waits for the frames before it then.
func (s *slot) leaps(p *rtp.Packet) bool {
	follows := p.SequenceNumber == s.newest+1
	s.newest = p.SequenceNumber
	if _, gap := s.order.Deadline(); !gap || !follows {
		s.ahead.Break()
	}
	frame, whole := s.ahead.Push(p)
	_, gap := s.order.Deadline()
	return gap && whole && frame.Keyframe
}

// pull gives the assembler what is in order by now.
func (r *receiver) pull(s *slot, at time.Duration) {
	for {
		a, ok := s.order.Pop(at)
		if !ok {
			break
		}
		if a.Lost > 0 || a.Fresh {
			s.assembler.Break()
		}
		if a.Packet.Timestamp != s.stamp {
			s.stamp, s.came = a.Packet.Timestamp, 0
		}
		s.came = max(s.came, a.At)
		frame, whole := s.assembler.Push(a.Packet)
		if n := s.assembler.Abandoned; n != s.abandoned {
			if st := s.claimed; st != nil && st.sight != nil && at >= r.warmup {
				for range n - s.abandoned {
					st.sight.Frame(at, measure.Frame{})
				}
			}
			s.abandoned = n
		}
		if whole {
			r.show(s, at, frame)
		}
	}
	r.want(s, at)
}

// show decides when a frame appears: at once, or with its sound.
func (r *receiver) show(s *slot, at time.Duration, f clip.Frame) {
	if r.firstFrame == 0 {
		r.firstFrame = at
	}
	shown := measure.Frame{
		Keyframe: f.Keyframe, Width: f.Width, Height: f.Height, Bytes: len(f.Data), Decodable: true, Arrived: s.came,
	}
	st := s.claimed
	if stamp, ok := source.ReadVP8(f.Data); ok {
		st, _ = r.owner(s, at, stamp)
		shown.Stamped, shown.Sent, shown.ID = true, r.sent(stamp), stamp.Frame
		shown.Sender, shown.Layer = source.Sender(stamp.Caller(), stamp.Track(), 0), stamp.Layer()
	}
	if st == nil || st.sight == nil {
		return
	}
	if shown.Stamped {
		when := st.evenly.shown(at, shown.Sent)
		if at-st.person.heard < time.Second {
			when = max(when, min(shown.Sent+st.person.behind, at+holdMost))
		}
		st.shown = max(st.shown, when) // in their order
		shown.Shown = st.shown
	}
	if st.kept != nil {
		st.kept.picture(cmp.Or(shown.Shown, at), f)
	}
	if at >= r.warmup {
		st.sight.Frame(at, shown)
		if st.paused {
			st.sight.Pause(at) // it was under way when its sender left: nothing has to follow
		}
	}
}

// want asks for a keyframe where one is missing for too long.
func (r *receiver) want(s *slot, at time.Duration) {
	st := s.claimed
	_, gap := s.order.Deadline()
	if !gap && !s.assembler.WantsKeyframe() || st == nil || st.sight == nil || st.paused {
		s.wanting = 0
		return
	}
	if s.wanting == 0 {
		s.wanting = at
	}
	if s.assembler.WantsKeyframe() && at >= r.warmup {
		st.sight.NeedKeyframe(at)
	}
	if at-s.wanting < askAfter || s.asked > 0 && at-s.asked < askEvery {
		return
	}
	s.asked = at
	r.ask(s.key.slot)
}

// results adds all that was due to the totals. Streams of which nothing came are in them too, where there was room for all.
func (r *receiver) results(end time.Duration, to *measure.Totals) {
	r.expect(end)
	for _, st := range r.order {
		if st.sound != nil {
			to.AddStream(st.sound.Stream(end), st.sound.Histograms())
		} else {
			to.AddStream(st.sight.Stream(end), st.sight.Histograms())
		}
	}
}

// dueFor is how long a stream must have been due before its absence is one.
const dueFor = 3 * time.Second

// expect begins the streams that never came, so that they are counted.
func (r *receiver) expect(end time.Duration) {
	audio, video := r.cast.tracksOf(r.me)
	for _, who := range r.cast.byRoom[r.me.Room] {
		if who == r.me {
			continue
		}
		for i, t := range who.Publish {
			room := audio <= r.me.AudioSlots
			if t.Media != scenario.Microphone {
				room = video <= r.me.VideoSlots
			}
			if room && r.dueUntil(who, t, end) >= dueFor {
				r.stream(who, i)
			}
		}
	}
}

// dueUntil is how long both were there and the track was sent, before end.
func (r *receiver) dueUntil(who *role, t scenario.Track, end time.Duration) time.Duration {
	spans := who.there
	if t.Media == scenario.Microphone {
		spans = who.talks
	}
	var sum time.Duration
	for _, a := range spans {
		for _, b := range r.me.there {
			sum += max(0, min(a.to, b.to, end)-max(a.from, b.from, r.warmup))
		}
	}
	return sum
}
