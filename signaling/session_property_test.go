package signaling

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tolkyn/tolkyn/sfu"
	"github.com/tolkyn/tolkyn/signaling/wire"
)

// world is a session, the SFU behind it and a client before it, with a connection that may lose its tail.
type world struct {
	t   *rapid.T
	s   *session
	now time.Duration

	// The SFU: a room whose whole state is how many events it has told.
	told    int
	spoke   int // who spoke last, of which nobody needs to hear but the newest
	running *request

	// The client: it holds what it believes the state to be.
	conn      uint64
	connected bool
	lostAt    time.Duration
	wire      []*wire.ServerFrame // sent, not yet read
	seq       uint64              // last event handled
	state     int                 // the room's state as far as the client knows
	heard     int                 // who spoke last, likewise; 0: not told since the last Snapshot
	whole     bool                // no Resume is unanswered: events may come
}

// The room's n-th event makes the room's state n; in a Snapshot the state is the number of peers.
func (w *world) happen() {
	w.told++
	w.take(w.s.step(w.now, happened{join: 1, event: sfu.PeerLeft{PeerID: strconv.Itoa(w.told)}}))
}

func (w *world) take(out output) {
	if w.connected {
		w.wire = append(w.wire, out.frames...)
	}
	if out.request != nil {
		require.Nil(w.t, w.running, "one request at a time")
		w.running = out.request
	}
	require.False(w.t, out.end)
}

func (w *world) read(n int) {
	for _, f := range w.wire[:n] {
		if s := f.GetSnapshot(); s != nil {
			w.whole = true
			w.seq, w.state, w.heard = s.GetSeq(), len(s.GetPeers()), 0
			continue
		}
		if f.GetResumed() != nil {
			require.Equal(w.t, w.seq+1, f.GetResumed().GetFromSeq())
			w.whole = true
			continue
		}
		if f.GetPeerUpdate() == nil && f.GetSpeakers() == nil {
			continue
		}
		require.True(w.t, w.whole, "an event before Resumed or Snapshot")
		require.Equal(w.t, w.seq+1, f.GetSeq(), "exactly once, in order")
		if s := f.GetSpeakers(); s != nil {
			who, err := strconv.Atoi(s.GetSpeakers()[0].GetPeerId())
			require.NoError(w.t, err)
			require.GreaterOrEqual(w.t, who, w.heard, "older news after newer")
			w.seq, w.heard = f.GetSeq(), who
			continue
		}
		n, err := strconv.Atoi(f.GetPeerUpdate().GetPeer().GetPeerId())
		require.NoError(w.t, err)
		// A snapshot may be ahead of the events that follow it, and they lead to the same state.
		require.GreaterOrEqual(w.t, w.state+1, n, "no event is missing")
		w.seq, w.state = f.GetSeq(), max(w.state, n)
	}
	w.wire = w.wire[n:]
}

// Over any interleaving of events, acknowledgements, disconnects, resumes and slow answers, every event reaches the client
// exactly once and in order, or a snapshot stands for it, or newer news of the same; in the end the client knows what the room
// knows.
func TestEveryEventArrivesOnceOrASnapshotStandsForIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{t: t, conn: 1, connected: true, whole: true}
		w.s = newSession(sessionConfig{id: "S", resumeFor: 60 * time.Second, grants: Grants{Subscribe: true}})
		w.take(w.s.step(0, attached{conn: 1}))
		packed, err := wire.Offer("v=0\r\n")
		require.NoError(t, err)
		w.take(w.s.step(0, received{conn: 1, frame: &wire.ClientFrame{
			Message: &wire.ClientFrame_Join{Join: &wire.Join{Offer: packed}},
		}}))
		w.running = nil
		w.take(w.s.step(0, answered{result: sfu.Joined{}}))

		answer := func(*rapid.T) {
			if w.running == nil {
				return
			}
			w.running = nil
			w.take(w.s.step(w.now, answered{result: sfu.Joined{Peers: make([]sfu.PeerInfo, w.told)}}))
		}
		resume := func(*rapid.T) {
			w.conn++
			w.connected, w.wire, w.whole = true, nil, false // what was on the old connection is lost
			w.take(w.s.step(w.now, resumed{conn: w.conn, frame: 1, lastSeq: w.seq}))
		}
		lose := func(t *rapid.T) {
			w.read(rapid.IntRange(0, len(w.wire)).Draw(t, "arrived"))
			if w.connected {
				w.lostAt = w.now
			}
			w.connected, w.wire = false, nil
			w.take(w.s.step(w.now, lost{conn: w.conn}))
		}
		t.Repeat(map[string]func(*rapid.T){
			"event": func(*rapid.T) { w.happen() },
			"speech": func(*rapid.T) {
				w.spoke++
				who := []sfu.Speaker{{PeerID: strconv.Itoa(w.spoke)}}
				w.take(w.s.step(w.now, happened{join: 1, event: sfu.SpeakersChanged{Speakers: who}}))
			},
			"read": func(t *rapid.T) { w.read(rapid.IntRange(0, len(w.wire)).Draw(t, "n")) },
			"ack": func(*rapid.T) {
				w.take(w.s.step(w.now, received{conn: w.conn, frame: &wire.ClientFrame{
					Ack: w.seq, Message: &wire.ClientFrame_Ping{Ping: &wire.Ping{}},
				}}))
			},
			"lose": lose,
			"be away for long": func(t *rapid.T) {
				lose(t)
				for range rapid.SampledFrom([]int{1, maxReplay - 1, maxReplay, maxReplay + 1, 2 * maxReplay}).Draw(t, "n") {
					w.happen()
				}
				resume(t)
			},
			"resume": resume,
			"wait": func(t *rapid.T) {
				d := time.Duration(rapid.IntRange(0, 50_000).Draw(t, "ms")) * time.Millisecond
				if w.connected || w.now+d < w.lostAt+w.s.resumeFor { // how a session expires is told elsewhere
					w.now += d
				}
				w.take(w.s.step(w.now, tick{}))
			},
			"answer": answer,
			"": func(*rapid.T) {
				require.LessOrEqual(t, len(w.s.log.kept), maxReplay)
				require.LessOrEqual(t, len(w.s.queue), 1)
			},
		})
		resume(t)
		for w.running != nil {
			answer(t)
		}
		w.read(len(w.wire))
		require.True(t, w.whole)
		require.Equal(t, w.told, w.state, "the client knows what the room knows")
		require.Equal(t, w.spoke, w.heard, "and who spoke last")
	})
}
