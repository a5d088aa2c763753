package signaling

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/sfu"
	"github.com/tolkyn/tolkyn/signaling/wire"
)

// life is the whole life of one session, told by a string of bytes: a client that may be wrong in any way, connections that
// break, a room in which things happen, an SFU that takes its time and fails. What must hold whatever the bytes are is checked
// after each step.
type life struct {
	t      require.TestingT
	script []byte
	s      *session
	now    time.Duration
	wake   time.Duration

	// The room: its n-th event makes its state n. A state is told as the mid of the only slot.
	told int
	peer uint64 // the generation that is in it; 0: none
	runs *request
	took bool // runs is a join that has taken effect
	then int  // the state when it did
	// What it told last of what stands, since the peer came.
	stands map[string]string

	// What the SFU was asked for each id since a peer was lost: what is asked again then is for the next one.
	done map[uint64]int

	// The client.
	conns    uint64
	conn     uint64 // the attached one; 0: none
	wire     []*wire.ServerFrame
	id       uint64
	seq      uint64
	state    int
	joined   bool
	seen     map[string]string            // what it was told last of what stands, since it was told the state
	whole    bool                         // no Resume is unanswered
	asked    map[uint64]*wire.ClientFrame // without an answer
	sent     []*wire.ClientFrame          // all of them, to send one again
	answered map[uint64]bool              // on this connection
	reads    map[uint64]bool              // ids of what may be answered as often as it is asked
	careless bool                         // it joined without an id: then the answer may be lost for good
	bye      *wire.Bye
	over     bool
}

var offered, _ = wire.Offer("v=0\r\n")

// incompressible is an answer that fills what is kept.
var incompressible = func() string {
	random := rand.New(rand.NewPCG(3, 4))
	return strings.Map(func(rune) rune { return rune('!' + random.IntN(90)) }, strings.Repeat("x", 24<<10))
}()

func live(t require.TestingT, script []byte) {
	l := &life{
		t: t, script: script, conns: 1, conn: 1, whole: true, id: 1,
		stands: map[string]string{}, seen: map[string]string{}, reads: map[uint64]bool{},
		done: map[uint64]int{}, asked: map[uint64]*wire.ClientFrame{}, answered: map[uint64]bool{},
	}
	l.s = newSession(sessionConfig{
		id: "S", secret: make([]byte, 16), resumeFor: time.Minute, epoch: time.UnixMilli(1_000_000), audioSlots: 16, videoSlots: 49,
		grants: Grants{Identity: "i", Tenant: "t", Room: "r", Publish: l.next()%8 > 0, Subscribe: true},
	})
	l.step(attached{conn: 1, frame: 1})
	if l.next()%4 > 0 {
		l.ask(0)
	}
	for len(l.script) > 0 && !l.over {
		l.move()
	}
	l.comeBack()
	l.stayAway()
}

// next reads the script; after its end it is 0.
func (l *life) next() int {
	if len(l.script) == 0 {
		return 0
	}
	b := l.script[0]
	l.script = l.script[1:]
	return int(b)
}

func (l *life) move() {
	switch op := l.next(); op % 20 {
	case 0, 1, 2, 3, 4:
		l.ask(l.next())
	case 5:
		if len(l.sent) > 0 {
			again := l.sent[l.next()%len(l.sent)]
			l.careless = l.careless || again.GetJoin() != nil
			l.say(again) // though no connection broke
		}
	case 6:
		l.step(garbled{conn: l.some(), err: wire.ErrBadFrame})
	case 7:
		l.lose()
	case 8, 9:
		l.resume()
	case 10:
		l.displacedSpeaks()
	case 11, 12:
		for range 1 + l.next()%3*l.next() {
			l.happen()
		}
		l.stand(l.next())
	case 13, 14, 15:
		l.answer(l.next())
	case 16:
		l.takeEffect()
	case 17:
		l.wait(time.Duration(l.next()*l.next()) * 4 * time.Millisecond)
	case 18:
		l.read(l.next())
	case 19:
		switch l.next() % 16 {
		case 0:
			l.step(shutdown{})
		case 1, 2, 3:
			l.lostPeer(sfu.GoneSilent)
		case 4:
			l.lostPeer(sfu.GoneFailed)
		case 5:
			l.lostPeer(sfu.GoneReplaced)
		case 6:
			l.lostPeer(sfu.GoneShutdown)
		case 7:
			if l.runs == nil {
				l.step(answered{}) // of nothing
			}
		case 8, 9:
			l.replayedResume()
		case 10:
			l.step(happened{join: uint64(l.next()), event: sfu.PeerLeft{PeerID: "stranger"}}, isStranger)
		default:
			l.step(tick{})
		}
	}
}

// some is a connection, mostly an old one.
func (l *life) some() uint64 {
	n := l.next()
	if n < 32 {
		return l.conn
	}
	return uint64(n) % (l.conns + 1)
}

const isStranger = true

// step feeds the session and checks what it says.
func (l *life) step(in input, stranger ...bool) {
	if h, ok := in.(happened); ok && len(stranger) > 0 && (h.join == l.peer || l.runs != nil) {
		return // it would be no stranger's
	}
	out := l.s.step(l.now, in)
	l.wake = out.wake
	if l.over {
		l.must(len(out.frames) == 0, "after the end")
		l.must(out.request == nil, "after the end")
		l.must(out.wake == 0, "after the end")
		return
	}
	l.must(len(out.frames) <= maxReplay+maxEarly+8, "%d frames at once", len(out.frames))
	if l.conn == 0 {
		l.must(len(out.frames) == 0, "to nobody")
	}
	if _, again := in.(resumed); l.bye != nil && again {
		l.must(len(out.frames) == 1, "who did not hear it hears it now")
		l.must(proto.Equal(l.bye, out.frames[0].GetBye()), "another Bye")
	} else if l.bye != nil {
		l.must(len(out.frames) == 0, "after Bye")
	}
	for _, f := range out.frames {
		if f.GetBye() != nil {
			l.bye = f.GetBye()
			l.must(out.hangup, "after Bye")
		}
		// Encoding may not fail: it would end the connection.
		l.must(proto.Size(f) <= wire.MaxServerFrame, "a frame that cannot be sent")
	}
	l.wire = append(l.wire, out.frames...)
	if out.request != nil {
		l.request(out.request)
	}
	if out.hangup {
		l.conn = 0
	}
	l.over = out.end
	l.check()
}

// must is require.True for a million steps.
func (l *life) must(so bool, format string, args ...any) {
	if !so {
		require.Fail(l.t, fmt.Sprintf(format, args...), fmt.Sprintf("at %v: %s", l.now, l.digest()))
	}
}

func (l *life) check() {
	s := l.s
	l.must(len(s.log.kept) <= maxReplay, "%d events kept", len(s.log.kept))
	l.must(len(s.early) <= maxEarly+2, "%d events early", len(s.early))
	l.must(len(s.standing.places) <= maxStanding && len(s.arriving.places) <= maxStanding, "%d places", len(s.standing.places))
	l.must(len(s.queue) <= maxQueue+2, "%d requests waiting", len(s.queue))
	l.must(len(s.pending) <= maxTracks, "%d tracks waiting", len(s.pending))
	l.must(len(s.answers.kept) <= maxAnswers && s.answers.bytes <= maxAnswerBytes, "%d answers kept", len(s.answers.kept))
	bytes := 0
	for _, a := range s.answers.kept {
		bytes += a.bytes
	}
	l.must(bytes == s.answers.bytes, "%d bytes of answers, %d counted", bytes, s.answers.bytes)
	l.must(s.running == l.runs, "the SFU works on what the session waits for")
	if l.over {
		return
	}
	l.must(l.conn == s.conn, "attached to %d, not %d", s.conn, l.conn)
	if l.conn == 0 && l.runs == nil {
		l.must(l.wake != 0, "nobody would end it")
	}
	if l.wake != 0 {
		l.must(l.wake <= l.now+s.resumeFor, "wakes at %v", l.wake)
	}
}

// request takes a call to the SFU: none for an id that it was asked before.
func (l *life) request(r *request) {
	l.must(l.runs == nil, "one at a time")
	l.runs, l.took = r, false
	if _, reads := r.do.(stateRequest); reads || r.frame == 0 || l.reads[r.frame] {
		return
	}
	l.done[r.frame]++
	l.must(l.done[r.frame] <= 1, "request %d is done twice: %T", r.frame, r.do)
}

// takeEffect lets a join come true before its answer is there: from then on events are the new peer's.
func (l *life) takeEffect() {
	if l.runs == nil || l.took {
		return
	}
	do, ok := l.runs.do.(joinRequest)
	if !ok {
		return
	}
	l.took, l.then = true, l.told
	before := l.peer
	l.peer = do.join
	clear(l.stands)
	if before != 0 {
		l.step(happened{join: before, event: sfu.Gone{Reason: sfu.GoneReplaced}})
	}
}

var failures = []error{
	sfu.ErrNotFound, sfu.ErrRoomFull, sfu.ErrBadOffer, sfu.ErrClosed, sfu.ErrGone, &sfu.BusyError{RetryAfter: time.Second}, errors.New("?"),
}

// answer is the SFU's; how says whether it fails.
func (l *life) answer(how int) {
	r := l.runs
	if r == nil {
		return
	}
	failed := how%4 == 1 && !l.took
	done := answered{}
	switch do := r.do.(type) {
	case joinRequest:
		if !failed {
			l.takeEffect()
			done.result = sfu.Joined{PeerID: "me", Answer: "v=0\r\n", Slots: room(l.then)}
		}
	case leaveRequest:
		failed, l.peer = false, 0
	case negotiateRequest:
		done.result = "v=0\r\n"
		if how > 250 {
			done.result = incompressible
		}
	case stateRequest:
		done.result = sfu.Joined{Slots: room(l.told)}
	case rosterRequest:
		done.result = sfu.RosterPage{Peers: []sfu.PeerInfo{{ID: do.after}}, Size: l.told, More: true}
	case unpublishRequest:
		for _, id := range do.ids {
			delete(l.stands, "layers "+id)
			delete(l.stands, "codec H264 "+id)
		}
	}
	if l.peer == 0 && !failed {
		if _, leaves := r.do.(leaveRequest); !leaves {
			done = answered{err: sfu.ErrGone}
		}
	}
	if failed {
		done = answered{err: failures[how/4%len(failures)]}
		if _, reads := r.do.(stateRequest); reads && l.peer != 0 && wireError(done.err).GetCode() != wire.Error_INTERNAL {
			done = answered{err: context.DeadlineExceeded} // of a peer that is there it can only take too long
		}
	}
	l.runs = nil
	l.step(done)
}

func room(state int) []sfu.SlotInfo { return []sfu.SlotInfo{{MID: strconv.Itoa(state)}} }

func (l *life) happen() {
	l.told++
	if l.peer != 0 {
		l.step(happened{join: l.peer, event: sfu.PeerLeft{PeerID: strconv.Itoa(l.told)}})
	}
}

// stand tells something of which only the newest counts.
func (l *life) stand(what int) {
	if l.peer == 0 {
		return
	}
	tell := func(event sfu.Event, of string, as any) {
		l.stands[of] = fmt.Sprint(as)
		l.step(happened{join: l.peer, event: event})
	}
	n, track := what/8+l.told, string("mn"[what/8%2])
	switch what % 8 {
	case 0:
		tell(sfu.SpeakersChanged{Speakers: []sfu.Speaker{{PeerID: strconv.Itoa(n)}}}, "speakers", n)
	case 1:
		tell(sfu.RosterChanged{Size: n}, "roster", n)
	case 2:
		tell(sfu.LayersWanted{TrackID: track, Encodings: []sfu.EncodingWanted{{RID: strconv.Itoa(n)}}}, "layers "+track, n)
	case 3:
		tell(sfu.CodecWanted{TrackID: track, Codec: codec.H264, Wanted: n%2 == 0}, "codec H264 "+track, n%2 == 0)
	case 4:
		l.stands["slot "+track] = strconv.Itoa(n)
		tell(sfu.LayersChanged{Slots: []sfu.SlotLayer{{MID: "0", Width: n}, {MID: track, Width: n}}}, "slot 0", n)
	}
}

// hearStanding takes what stands.
func (l *life) hearStanding(f *wire.ServerFrame) {
	switch m := f.GetMessage().(type) {
	case *wire.ServerFrame_Speakers:
		l.seen["speakers"] = m.Speakers.GetSpeakers()[0].GetPeerId()
	case *wire.ServerFrame_RosterUpdate:
		l.seen["roster"] = fmt.Sprint(m.RosterUpdate.GetSize())
	case *wire.ServerFrame_LayersWanted:
		l.seen["layers "+m.LayersWanted.GetTrackId()] = m.LayersWanted.GetEncodings()[0].GetRid()
	case *wire.ServerFrame_CodecWanted:
		l.seen["codec H264 "+m.CodecWanted.GetTrackId()] = fmt.Sprint(m.CodecWanted.GetWanted())
	case *wire.ServerFrame_LayerState:
		for _, slot := range m.LayerState.GetSlots() {
			l.seen["slot "+slot.GetMid()] = fmt.Sprint(slot.GetWidth())
		}
	default:
		return
	}
	l.must(l.whole, "an event before Resumed or Snapshot")
	l.must(l.seq+1 == f.GetSeq(), "exactly once, in order")
	l.seq = f.GetSeq()
}

func (l *life) lostPeer(why sfu.GoneReason) {
	if l.peer == 0 {
		return
	}
	join := l.peer
	l.peer = 0
	clear(l.done)
	clear(l.stands)
	l.step(happened{join: join, event: sfu.Gone{Reason: why}})
}

// wait lets time pass as the server does: with a tick whenever the session wants one.
func (l *life) wait(d time.Duration) {
	end := l.now + d
	for ticks := 0; l.wake != 0 && l.wake <= end && !l.over; ticks++ {
		l.must(ticks < 50, "it wakes up all the time")
		l.now = max(l.now, l.wake)
		l.step(tick{})
	}
	l.now = end
}

// read takes n frames off the connection.
func (l *life) read(n int) {
	n = min(n, len(l.wire))
	for _, f := range l.wire[:n] {
		l.hear(f)
	}
	l.wire = l.wire[n:]
}

func (l *life) hear(f *wire.ServerFrame) {
	if id := f.GetId(); id != 0 && f.GetPong() == nil && f.GetError().GetCode() != wire.Error_RATE {
		if question, is := l.asked[id]; is && question != nil {
			delete(l.asked, id)
		}
		if strings.Contains(f.GetError().GetMessage(), "too old") {
			l.careless = true // it came back too late for its answer, and knows that
		}
		refused := f.GetError().GetCode() == wire.Error_PROTOCOL // a frame that could be no request
		l.must(refused || l.reads[id] || !l.answered[id], "%d is answered twice on one connection: %v", id, f)
		l.answered[id] = true
	}
	l.hearStanding(f)
	switch m := f.GetMessage().(type) {
	case *wire.ServerFrame_Ok, *wire.ServerFrame_Sdp, *wire.ServerFrame_RosterPage:
		l.must(l.whole || l.bye != nil, "an answer before Resumed or Snapshot")
	case *wire.ServerFrame_Snapshot:
		if f.GetSeq() != 0 {
			clear(l.answered) // what is asked again is for the next peer
			l.must(l.seq+1 == f.GetSeq(), "exactly once, in order")
		}
		l.whole, l.seq, l.joined = true, m.Snapshot.GetSeq(), m.Snapshot.GetJoined()
		clear(l.seen) // what stands follows
		if l.joined {
			l.state = l.stateOf(m.Snapshot.GetSlots())
		}
	case *wire.ServerFrame_Resumed:
		l.must(l.seq+1 == m.Resumed.GetFromSeq(), "resumed from %d, has %d", m.Resumed.GetFromSeq(), l.seq)
		l.whole = true
	case *wire.ServerFrame_Joined:
		l.must(l.whole, "an answer before Resumed or Snapshot")
		l.joined, l.state = true, l.stateOf(m.Joined.GetSlots())
		clear(l.seen)
	case *wire.ServerFrame_PeerUpdate:
		l.must(l.whole, "an event before Resumed or Snapshot")
		l.must(l.seq+1 == f.GetSeq(), "exactly once, in order")
		l.seq = f.GetSeq()
		n, err := strconv.Atoi(m.PeerUpdate.GetPeer().GetPeerId())
		l.must(err == nil, "no number: %v", err)
		if l.joined {
			l.must(l.state+1 >= n || l.joins(), "no event is missing")
			l.state = max(l.state, n)
		}
	}
}

// joins: a Join has no answer yet, which will tell the whole state. Before it the client may not know what came between two
// peers of its own.
func (l *life) joins() bool {
	for _, f := range l.asked {
		if f.GetJoin() != nil {
			return true
		}
	}
	return l.careless
}

func (l *life) stateOf(m *wire.SlotMap) int {
	n, err := strconv.Atoi(m.GetSlots()[0].GetMid())
	l.must(err == nil, "no number: %v", err)
	return n
}

// lose breaks the connection somewhere in what was sent.
func (l *life) lose() {
	if l.conn == 0 {
		l.step(lost{conn: l.some()})
		return
	}
	l.read(l.next())
	conn := l.conn
	l.drop()
	l.step(lost{conn: conn})
}

func (l *life) drop() {
	l.conn, l.wire = 0, nil
	clear(l.answered)
}

// resume comes back on a new connection and asks again what has no answer; the last of it may not leave the client.
func (l *life) resume() {
	l.read(l.next())
	l.drop()
	l.conns += 1 + uint64(l.next())
	l.conn, l.whole = l.conns, false
	l.id++
	l.step(resumed{conn: l.conn, frame: l.id, lastSeq: l.seq})
	all := 3 + l.next()
	for id := uint64(1); id < l.id && all > 0 && l.conn != 0; id++ {
		if f := l.asked[id]; f != nil {
			l.say(f)
			all--
		}
	}
}

// replayedResume is a stranger who sends once more what a client sent; he can neither read nor say anything else.
func (l *life) replayedResume() {
	seq := l.seq
	if seq > 0 {
		seq -= uint64(l.next()) % seq
	}
	l.drop()
	l.conns++
	l.conn = l.conns
	l.step(resumed{conn: l.conn, frame: 1, lastSeq: seq})
	l.wire = nil
	conn := l.conn
	l.drop()
	l.step(lost{conn: conn})
}

// displacedSpeaks: whatever comes from a connection that is no more changes nothing.
func (l *life) displacedSpeaks() {
	old := uint64(l.next()) % (l.conns + 1)
	if old == l.conn {
		return
	}
	before := l.digest()
	for _, in := range []input{
		received{conn: old, frame: l.frame(l.next(), l.id)},
		garbled{conn: old, err: wire.ErrFrameTooLarge},
		lost{conn: old},
	} {
		out := l.s.step(l.now, in)
		l.must(len(out.frames) == 0, "frames")
		l.must(out.request == nil, "a request")
		l.must(out.displaced == 0, "displaced")
		l.must(!out.hangup, "hangup")
		if !l.over {
			l.must(l.wake == out.wake, "wakes at %v, not %v", out.wake, l.wake)
		}
	}
	l.must(before == l.digest(), "a displaced connection changed %s", before)
}

func (l *life) digest() string {
	s := l.s
	tokens := 0.0
	if s.frames != nil {
		tokens = s.frames.TokensAt(s.epoch.Add(l.now))
	}
	return fmt.Sprint(s.conn, s.detachedAt, tokens, s.breaches, s.log.last, len(s.log.kept), s.sent, s.hold, s.answers, s.joins, s.peer,
		len(s.early), s.standing, s.arriving, s.silent, len(s.pending), s.running, len(s.queue), s.bye, s.gone, s.joining)
}

// ask says something for the first time.
func (l *life) ask(what int) {
	id := uint64(0)
	if what < 250 {
		l.id++
		id = l.id
	}
	f := l.frame(what, id)
	if id != 0 && f.GetPing() == nil && f.GetHello() == nil && f.GetResume() == nil && f.GetMessage() != nil {
		l.asked[id] = f
	}
	if id != 0 {
		l.sent = append(l.sent, f)
	}
	l.careless = l.careless || id == 0 && f.GetJoin() != nil
	l.say(f)
}

func (l *life) say(f *wire.ClientFrame) {
	if l.conn != 0 {
		l.step(received{conn: l.conn, frame: &wire.ClientFrame{Id: f.GetId(), Ack: l.seq, Message: f.GetMessage()}})
	}
}

func (l *life) frame(what int, id uint64) *wire.ClientFrame {
	f := &wire.ClientFrame{Id: id}
	tracks := []*wire.Track{{TrackId: "m", Kind: wire.Track_AUDIO, Source: wire.Track_MICROPHONE, Mid: "0"}}
	switch what % 25 {
	case 0, 1:
		f.Message = &wire.ClientFrame_Join{Join: &wire.Join{Offer: offered}}
	case 2:
		f.Message = &wire.ClientFrame_Join{Join: &wire.Join{Name: "n", Offer: offered, Tracks: tracks}}
	case 3:
		f.Message = &wire.ClientFrame_Join{Join: &wire.Join{Name: "\x00", Offer: offered}}
	case 4, 5:
		f.Message = &wire.ClientFrame_Publish{Publish: &wire.Publish{Tracks: tracks}}
	case 6:
		f.Message = &wire.ClientFrame_Publish{Publish: &wire.Publish{Tracks: tracks, Offer: offered}}
	case 7:
		f.Message = &wire.ClientFrame_Publish{Publish: &wire.Publish{Tracks: make([]*wire.Track, maxTracks+1)}}
	case 8:
		f.Message = &wire.ClientFrame_Publish{Publish: &wire.Publish{Tracks: make([]*wire.Track, 1)}}
	case 9:
		f.Message = &wire.ClientFrame_Unpublish{Unpublish: &wire.Unpublish{TrackIds: []string{"m"}}}
	case 10:
		f.Message = &wire.ClientFrame_Unpublish{Unpublish: &wire.Unpublish{TrackIds: make([]string, maxTracks+1)}}
	case 11, 12:
		f.Message = &wire.ClientFrame_Subscribe{Subscribe: &wire.Subscribe{
			Wishes: []*wire.Wish{{PeerId: "p"}}, VideoPaused: what%2 > 0, LastN: uint32(what) << 24,
		}}
	case 13:
		f.Message = &wire.ClientFrame_Subscribe{Subscribe: &wire.Subscribe{Wishes: make([]*wire.Wish, maxWishes+1)}}
	case 14, 15:
		f.Message = &wire.ClientFrame_Sdp{Sdp: offered}
	case 16:
		f.Message = &wire.ClientFrame_Sdp{Sdp: &wire.Sdp{Type: wire.Sdp_OFFER, Deflate: []byte("?")}}
	case 17:
		f.Message = &wire.ClientFrame_Roster{Roster: &wire.Roster{After: "x", Limit: uint32(what) << 24}}
		l.reads[id] = true
	case 18, 19:
		f.Message = &wire.ClientFrame_Mute{Mute: &wire.Mute{TrackId: "m", Muted: true}}
	case 20:
		f.Message = &wire.ClientFrame_Ping{Ping: &wire.Ping{ClientTimeMs: 1}}
	case 21:
		f.Message = &wire.ClientFrame_Hello{Hello: &wire.Hello{}}
	case 22:
		f.Message = &wire.ClientFrame_Resume{Resume: &wire.Resume{}}
	case 23:
		f.Message = &wire.ClientFrame_Leave{Leave: &wire.Leave{}}
	}
	return f
}

// comeBack: a client that keeps to the rules in the end gets all its answers, and knows what the room knows.
func (l *life) comeBack() {
	if l.over || l.bye != nil || l.s.bye != nil {
		return
	}
	l.wait(20 * time.Second) // breaches are forgiven, the SFU answers
	for l.runs != nil {
		l.answer(0)
	}
	l.resume()
	for range 500 {
		l.read(len(l.wire))
		for l.runs != nil {
			l.answer(0)
			l.read(len(l.wire))
		}
		if len(l.asked) == 0 || l.conn == 0 {
			break
		}
		for id := uint64(1); id < l.id; id++ {
			if f := l.asked[id]; f != nil {
				l.wait(300 * time.Millisecond) // as fast as offers may come
				l.say(f)
				break
			}
		}
	}
	if l.s.bye != nil {
		return
	}
	l.must(l.whole, "resume has no answer")
	l.must(len(l.asked) == 0, "without an answer: %v", l.asked)
	if l.joined && l.peer != 0 && !l.careless {
		l.must(l.told == l.state, "the room is at %d, the client at %d", l.told, l.state)
		for of, as := range l.stands {
			l.must(l.seen[of] == as, "%s stands at %s, the client has %q", of, as, l.seen[of])
		}
	}
	l.must(l.careless || l.joined == (l.s.peer != 0), "the client knows whether it is in the room")
}

// stayAway: without a connection the session ends in time, and then nothing is left of it.
func (l *life) stayAway() {
	if !l.over && l.conn != 0 {
		conn := l.conn
		l.drop()
		l.step(lost{conn: conn})
	}
	for range 4 {
		for l.runs != nil && !l.over {
			l.answer(0)
		}
		if !l.over {
			l.wait(l.s.resumeFor)
		}
	}
	l.must(l.over, "it does not end")
	for _, in := range []input{
		tick{},
		shutdown{},
		answered{},
		attached{conn: 1},
		resumed{conn: l.conns + 1, frame: 1},
		lost{},
		garbled{err: wire.ErrBadFrame},
		received{conn: l.conns + 1, frame: l.frame(0, 1)},
		happened{join: 1, event: sfu.PeerLeft{}},
	} {
		l.step(in)
	}
}

// FuzzSession plays whole lives. What is asserted stands in the methods of life.
func FuzzSession(f *testing.F) {
	f.Add([]byte{1, 0, 0, 13, 0, 0, 17, 13, 0, 11, 7, 3, 8, 0, 0})
	f.Add([]byte{1, 0, 0, 16, 11, 1, 200, 8, 0, 0, 9, 13, 0, 19, 1, 8, 1, 1, 9})
	f.Add([]byte{1, 0, 0, 16, 11, 0, 9, 11, 0, 0, 10, 12, 13, 0, 7, 255, 12, 0, 4, 8, 0, 0})
	f.Add([]byte{1, 0, 0, 13, 0, 11, 2, 255, 7, 255, 11, 2, 255, 8, 0, 0, 0})
	f.Fuzz(func(t *testing.T, script []byte) { live(t, script[:min(len(script), 600)]) })
}

func TestWholeLives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		live(t, rapid.SliceOfN(rapid.Byte(), 0, 400).Draw(t, "script"))
	})
	for seed := range uint64(1000) { // longer ones, that nobody makes shorter
		random := rand.New(rand.NewPCG(seed, 1))
		script := make([]byte, random.IntN(600))
		for i := range script {
			script[i] = byte(random.Uint32())
		}
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) { live(t, script) })
	}
}
