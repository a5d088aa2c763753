package browser

import (
	"math"
	"slices"
	"time"

	"github.com/tolkyn/tolkyn/bench/measure"
	"github.com/tolkyn/tolkyn/bench/scenario"
	"github.com/tolkyn/tolkyn/bench/source"
)

const (
	// settled: for 2 s after a slot changes its sender frames of the one before may still come (docs/protocol.md, SlotMap). The
	// page tells of the change with its next take, a second later at most.
	settled = 3 * time.Second
	// holdShown is how long a received picture waits for the news that it was shown: longer than any playout buffer here.
	holdShown = 700 * time.Millisecond
	// piece of sound that is taken as played at one time. Lip-sync interpolates over 200 ms at most.
	piece = 100 * time.Millisecond
	// mostPieces of one take: a page that did not answer for a minute has 600.
	mostPieces = 1000
	// dueFor is how long a stream must have been due before its absence is one.
	dueFor = 3 * time.Second
)

// receiver is what one page heard and saw. It has no clock and one owner. Times are on the run's clock.
type receiver struct {
	// Fixed.
	me     scenario.Caller
	all    []scenario.Caller // of its room
	epoch  time.Time
	warmup time.Duration

	ahead   time.Duration // the page's clock is ahead of ours by so much
	slots   map[int]*slot
	streams map[streamKey]*stream
	order   []*stream
	persons map[int]*measure.LipSync

	end                     time.Duration // of the newest take
	firstPacket, firstFrame time.Duration // 0: not yet
	packets, bytes          int64
	stamped, strangers      int64 // frames with a stamp; frames of nobody in the run
}

type streamKey struct{ number, track int }

// slot is one receive position of one connection.
type slot struct {
	claimed *stream // whose it is by the server's word
	since   time.Duration
	newest  *stream       // whose frame came last
	at      time.Duration // of before; of the first frame, until there is one
	before  counters
	shown   map[uint32]time.Duration // by RTP timestamp
	waiting []frame                  // pictures that may be shown yet
}

// stream is one track of one sender.
type stream struct {
	from  scenario.Caller
	track scenario.Track
	sound *measure.AudioMeter // one of the two
	sight *measure.VideoMeter
	on    *slot // that its frames last came in

	sum     counters // while it was due, after the warmup
	seconds map[int]counters
	began   time.Duration // of sum; 0: not yet
	delays  time.Duration // of sound, since the last reading
	delayed int
}

func newReceiver(me scenario.Caller, all []scenario.Caller, epoch time.Time, warmup time.Duration) *receiver {
	return &receiver{
		me: me, all: all, epoch: epoch, warmup: warmup,
		slots: map[int]*slot{}, streams: map[streamKey]*stream{}, persons: map[int]*measure.LipSync{},
	}
}

// run turns the page's time to the run's clock.
func (r *receiver) run(page float64) time.Duration {
	return time.UnixMicro(int64(page*1000)).Sub(r.epoch) - r.ahead
}

// take takes in what a page told.
func (r *receiver) take(t told) {
	at := r.run(t.At)
	for _, reading := range t.Readings {
		r.claim(reading)
	}
	for _, s := range t.Shown {
		r.slot(s.Slot).shown[s.Timestamp] = r.run(s.At)
	}
	for _, f := range t.Frames {
		r.frame(f)
	}
	for _, reading := range t.Readings {
		r.count(reading)
	}
	for _, s := range r.slots {
		r.look(s, at-holdShown)
	}
	r.end = max(r.end, at)
}

func (r *receiver) slot(i int) *slot {
	s := r.slots[i]
	if s == nil {
		s = &slot{shown: map[uint32]time.Duration{}}
		r.slots[i] = s
	}
	return s
}

// claim notes whose the server says a slot is.
func (r *receiver) claim(told reading) {
	s := r.slot(told.Slot)
	identity := scenario.IdentityOf(r.me.Room, told.Identity)
	who := slices.IndexFunc(r.all, func(c scenario.Caller) bool { return c.Identity == identity })
	if who < 0 {
		return // nobody's now; what comes is of the one before
	}
	track := slices.IndexFunc(r.all[who].Publish, func(t scenario.Track) bool { return string(t.Media) == told.Source })
	if track < 0 {
		return
	}
	if now := r.stream(r.all[who], track); s.claimed != now {
		s.claimed, s.since = now, r.run(told.At)
	}
}

// stream finds or begins one.
func (r *receiver) stream(who scenario.Caller, track int) *stream {
	key := streamKey{who.Number, track}
	if st := r.streams[key]; st != nil {
		return st
	}
	t := who.Publish[track]
	if _, known := r.persons[who.Number]; !known && len(who.Publish) > 1 {
		r.persons[who.Number] = measure.NewLipSync()
	}
	of := measure.Of{
		Room: r.me.Room, Receiver: r.me.Identity, Sender: who.Identity, Track: string(t.Media),
		Stamp: source.Sender(who.Number, track, 0), Due: max(r.warmup, first(r.me), first(who)),
	}
	st := &stream{from: who, track: t, seconds: map[int]counters{}}
	if t.Media == scenario.Microphone {
		of.Codec = "opus"
		c := measure.AudioConfig{Of: of, LipSync: r.persons[who.Number]}
		if t.Profile == scenario.Saver || t.Profile == scenario.Lean {
			c.Packet = source.Thin.PacketTime()
		}
		st.sound = measure.NewAudio(c)
	} else {
		of.Codec = "VP8"
		st.sight = measure.NewVideo(measure.VideoConfig{Of: of, Headers: true, FPS: source.FrameRate, LipSync: r.persons[who.Number]})
	}
	r.streams[key] = st
	r.order = append(r.order, st)
	return st
}

// owner is whose frame it is: what the stamp says, unless the server has long said otherwise. Then it is the server's word, and
// the meter counts the frame as wrong.
func (r *receiver) owner(s *slot, at time.Duration, f frame) *stream {
	stamp := source.Stamp{Sender: f.Sender}
	if f.Stamped {
		for _, who := range r.all {
			if who.Number != stamp.Caller() || stamp.Track() >= len(who.Publish) {
				continue
			}
			if said := r.stream(who, stamp.Track()); s.claimed == nil || s.claimed == said || at-s.since < settled {
				return said
			}
		}
	}
	return s.claimed
}

// frame takes one in order of arrival.
func (r *receiver) frame(f frame) {
	at, s := r.run(f.At), r.slot(f.Slot)
	if r.firstPacket == 0 {
		r.firstPacket = at
	}
	if f.Stamped {
		r.stamped++
	}
	sound := f.Sequence >= 0
	if r.firstFrame == 0 && (f.Key || sound && !r.expectsPictures()) {
		r.firstFrame = at
	}
	st := r.owner(s, at, f)
	if st == nil {
		r.strangers++
		return
	}
	if s.newest == nil {
		s.at = at
	}
	s.newest = st
	if at < r.warmup {
		return
	}
	switch {
	case sound && st.sound != nil:
		r.hear(st, s, at, f)
	case !sound && st.sight != nil:
		s.waiting = append(s.waiting, f)
	}
}

func (r *receiver) expectsPictures() bool {
	return r.me.VideoSlots > 0 && slices.ContainsFunc(r.all, func(c scenario.Caller) bool {
		return c.Number != r.me.Number && slices.ContainsFunc(c.Publish, func(t scenario.Track) bool { return t.Media != scenario.Microphone })
	})
}

// hear counts a packet of sound.
func (r *receiver) hear(st *stream, s *slot, at time.Duration, f frame) {
	if st.on != s {
		if st.on != nil {
			st.sound.NewSequence()
		}
		st.on = s
	}
	st.sound.Packet(at, uint16(f.Sequence), headerSize+f.Size, f.Timestamp, false)
	if f.Stamped {
		sent := r.sent(f)
		st.sound.Stamped(at, sent, f.Sender)
		st.delays += at - sent
		st.delayed++
	}
}

// headerSize is RTP's, without extensions: the page sees payloads.
const headerSize = 12

// sent is by our own clock, for stamps are.
func (r *receiver) sent(f frame) time.Duration { return time.UnixMicro(f.Sent).Sub(r.epoch) }

// look hands over the pictures that came until then; by now it is known which were shown.
func (r *receiver) look(s *slot, until time.Duration) {
	done := 0
	for ; done < len(s.waiting); done++ {
		f := s.waiting[done]
		at := r.run(f.At)
		if at > until {
			break
		}
		st := r.owner(s, at, f)
		if st == nil || st.sight == nil {
			continue
		}
		picture := measure.Frame{
			Stamped: f.Stamped, Sender: f.Sender, ID: f.Frame, Keyframe: f.Key, Width: f.Width, Height: f.Height, Bytes: f.Size,
		}
		if f.Stamped {
			stamp := source.Stamp{Sender: f.Sender}
			picture.Sent, picture.Layer = r.sent(f), stamp.Layer()
			picture.Sender = source.Sender(stamp.Caller(), stamp.Track(), 0)
		}
		picture.Shown, picture.Decodable = s.shown[f.Timestamp]
		if f.Stamped && !picture.Decodable {
			st.sight.Stamped(at, picture.Sent, picture.Sender) // its delay is one all the same
		}
		st.sight.Frame(at, picture)
	}
	s.waiting = append(s.waiting[:0], s.waiting[done:]...)
	for timestamp, at := range s.shown {
		if at < until-time.Second {
			delete(s.shown, timestamp)
		}
	}
}

// count takes what getStats has added.
func (r *receiver) count(told reading) {
	s, at := r.slot(told.Slot), r.run(told.At)
	st := s.newest
	if st == nil {
		return
	}
	since, added := s.at, told.since(s.before)
	s.before, s.at = told.counters, at
	r.packets += int64(added.PacketsReceived)
	r.bytes += int64(added.BytesReceived + added.HeaderBytesReceived)
	delays, delayed := st.delays, st.delayed
	st.delays, st.delayed = 0, 0
	if since < r.warmup || at <= since {
		return
	}
	due := sends(st.from, st.track, since) && sends(st.from, st.track, at)
	if !due {
		added = added.network() // what was made up or stood still meanwhile is nobody's fault
	}
	if st.began == 0 {
		st.began = since
	}
	st.sum.add(added)
	second := st.seconds[int(at.Seconds())]
	second.add(added)
	st.seconds[int(at.Seconds())] = second
	if st.sound == nil || !due {
		return
	}
	var behind, waited time.Duration
	if added.JitterBufferEmitted > 0 {
		waited = seconds(added.JitterBufferDelay / added.JitterBufferEmitted)
	}
	if delayed > 0 {
		behind = delays/time.Duration(delayed) + waited
	}
	st.played(since, at, added, behind, waited)
}

// played tells the meter of all sound between two readings, in pieces: what was concealed in as many as there were events. behind
// is from being sent to being played, 0 where it is not known.
func (st *stream) played(from, to time.Duration, c counters, behind, waited time.Duration) {
	concealed := max(0, c.ConcealedSamples-c.SilentConcealedSamples)
	events := int(min(max(0, c.ConcealmentEvents), mostPieces))
	if concealed > 0 {
		events = max(events, 1)
	}
	n := max(events, int(min((to-from)/piece, mostPieces)), 1)
	for i := range n {
		at := from + (to-from)*time.Duration(i+1)/time.Duration(n)
		if i < events {
			made := share(concealed, i, events)
			st.sound.Played(at, measure.Played{Samples: made, Concealed: made})
		}
		st.sound.Played(at, measure.Played{
			Samples: share(max(0, c.TotalSamples-concealed), i, n), Silent: share(c.SilentConcealedSamples, i, n),
			Expanded: share(c.InsertedSamples, i, n), Accelerated: share(c.RemovedSamples, i, n),
			Stamped: behind > 0, Sent: at - behind, Waited: waited,
		})
	}
}

// share is the i-th of n whole parts of a sum.
func share(sum float64, i, n int) int {
	return int(sum*float64(i+1)/float64(n)) - int(sum*float64(i)/float64(n))
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// first is when a caller comes.
func first(c scenario.Caller) time.Duration {
	if len(c.Events) == 0 {
		return 0
	}
	return c.Events[0].At
}

// sends says whether a caller sends a track at a moment, by the schedule.
func sends(c scenario.Caller, t scenario.Track, at time.Duration) bool {
	there, open := false, false
	for _, e := range c.Events {
		if e.At > at {
			break
		}
		switch e.Do {
		case scenario.Join, scenario.Rejoin:
			there, open = true, true
		case scenario.Leave:
			there = false
		case scenario.Mute:
			open = false
		case scenario.Unmute:
			open = true
		}
	}
	return there && (open || t.Media != scenario.Microphone)
}

// results adds every stream to the totals. Those of which nothing came are in them too, where there was room for all.
func (r *receiver) results(to *measure.Totals) {
	for _, s := range r.slots {
		r.look(s, math.MaxInt64)
	}
	r.expect()
	for _, st := range r.order {
		if st.sound != nil {
			to.AddStream(st.heard(r.end), st.sound.Histograms())
		} else {
			to.AddStream(st.seen(r.end), st.sight.Histograms())
		}
	}
}

// expect begins the streams that never came.
func (r *receiver) expect() {
	var audio, video int
	for _, c := range r.all {
		for _, t := range c.Publish {
			switch {
			case c.Number == r.me.Number:
			case t.Media == scenario.Microphone:
				audio++
			default:
				video++
			}
		}
	}
	for _, c := range r.all {
		for i, t := range c.Publish {
			room := video <= r.me.VideoSlots
			if t.Media == scenario.Microphone {
				room = audio <= r.me.AudioSlots
			}
			from := max(r.warmup, first(r.me), first(c))
			if c.Number != r.me.Number && room && r.end-from >= dueFor && sends(c, t, from) && sends(c, t, r.end) {
				r.stream(c, i)
			}
		}
	}
}

// heard is a sound's result: the meter's, but for what only Chromium knows.
func (st *stream) heard(end time.Duration) measure.Stream {
	s := st.sound.Stream(end)
	if got := st.sum.PacketsReceived; got > 0 {
		s.Sound.Late = st.sum.PacketsDiscarded / got
	}
	return s
}

// seen is a picture's result: delays are the meter's, all else Chromium's.
func (st *stream) seen(end time.Duration) measure.Stream {
	s, c := st.sight.Stream(end), st.sum
	if st.began == 0 {
		return s
	}
	s.Seconds = (end - st.began).Seconds()
	s.Packets, s.Bytes = int64(c.PacketsReceived), int64(c.BytesReceived+c.HeaderBytesReceived)
	s.Jitter = c.Jitter * 1000
	s.Loss = lossOf(c)
	if s.Seconds > 0 {
		s.Bitrate = float64(s.Bytes) * 8 / s.Seconds
	}
	p := &measure.Picture{
		Frames: int64(c.FramesDecoded), Undecodable: int64(max(0, c.FramesReceived-c.FramesDecoded)), Freezes: int64(c.FreezeCount),
		FrozenSeconds: c.TotalFreezesDuration, Width: int(c.FrameWidth), Height: int(c.FrameHeight),
	}
	if c.TotalSquaredInterFrameDelay > 0 {
		p.FPS = c.TotalInterFrameDelay / c.TotalSquaredInterFrameDelay
	}
	p.Score = st.look(s, p).Score()
	s.Picture = p
	for i := range s.Slices {
		slice := &s.Slices[i]
		second := st.seconds[int(math.Round(slice.At))]
		slice.Packets = int64(second.PacketsReceived)
		slice.Bitrate = (second.BytesReceived + second.HeaderBytesReceived) * 8
		slice.LossShare = lossOf(second).After
		slice.Frozen = min(1, second.TotalFreezesDuration)
	}
	return s
}

// lossOf reads Chromium's counts of a picture. What came again came under another SSRC: packetsLost goes on counting what it was,
// and packetsReceived counts it as well.
func lossOf(c counters) measure.Loss {
	l := measure.Loss{
		Expected: int64(c.PacketsReceived - c.RetransmittedPackets + c.PacketsLost), Repaired: int64(c.RetransmittedPackets),
	}
	if l.Expected > 0 {
		l.Before = max(0, c.PacketsLost) / float64(l.Expected)
		l.After = max(0, c.PacketsLost-c.RetransmittedPackets) / float64(l.Expected)
	}
	return l
}

// look is what the score is made of.
func (st *stream) look(s measure.Stream, p *measure.Picture) measure.Look {
	l := measure.Look{Codec: s.Codec, WantFPS: source.FrameRate, Pixels: float64(p.Width * p.Height)}
	w, h := size(st.track)
	l.WantPixels = float64(w * h)
	if all := p.Frames + p.Undecodable; all > 0 && p.Frames > 0 && l.Pixels > 0 {
		l.Undecodable = float64(p.Undecodable) / float64(all)
		l.BitsPerPixel = float64(s.Bytes) * 8 / float64(p.Frames) / l.Pixels
	}
	if s.Seconds > 0 {
		l.Frozen, l.FreezesPerMinute = min(1, p.FrozenSeconds/s.Seconds), float64(p.Freezes)/s.Seconds*60
		if moving := s.Seconds - p.FrozenSeconds; moving > 0 {
			l.FPS = float64(p.Frames) / moving
		}
	}
	return l
}

// size of a picture in pixels.
func size(t scenario.Track) (w, h int) { return layer(t).Size() }

func layer(t scenario.Track) source.Layer {
	switch t.Profile {
	case scenario.P180:
		return source.Low
	case scenario.P360:
		return source.Mid
	}
	return source.High
}
