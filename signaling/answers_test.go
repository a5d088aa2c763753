package signaling

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/sfu"
	"github.com/tolkyn/tolkyn/signaling/wire"
)

func mute(id int) string { return fmt.Sprintf(`{"id":"%d","mute":{"trackId":"m"}}`, id) }

func ok(id int) string { return fmt.Sprintf(`{"id":"%d","ok":{}}`, id) }

func TestARequestSentAgainWhileUnderWayIsDoneOnce(t *testing.T) {
	p := attachedPlay(t)
	p.client(join(2)).want("request join 1")
	p.client(mute(3)).want()
	p.lose().resume(0).want(`{"id":"9","resumed":{"fromSeq":"1"}}`)
	p.client(join(2)).want()
	p.client(mute(3)).want()
	p.in(answered{result: sfu.Joined{PeerID: "me", Answer: "v=0\r\n"}}).want(joinedAlone, "request mute m false")
	p.in(answered{}).want(ok(3))
}

func TestARequestSentAgainGetsTheAnswerItGot(t *testing.T) {
	p := joinedPlay(t)
	p.client(mute(3)).in(answered{})
	p.client(`{"id":"4","sdp":` + offer + `}`).in(answered{result: "v=0\r\n"})
	p.client(`{"id":"5","unpublish":{"trackIds":["m"]}}`).in(answered{err: sfu.ErrNotFound})
	p.client(`{"id":"6","subscribe":{}}`)
	p.lose()
	p.in(answered{}).want() // nobody hears it
	p.client(`{"id":"7","ping":{}}`).want()
	for range 2 { // a connection may break again
		p.lose().resume(0)
		p.client(mute(3)).want(ok(3))
		p.client(`{"id":"4","sdp":` + offer + `}`).want(`{"id":"4","sdp":{"type":"ANSWER","deflate":"KrM14OUCBAAA//8="}}`)
		p.client(`{"id":"5","unpublish":{"trackIds":["m"]}}`).want(refused(5, "NOT_FOUND", "no such track or peer"))
		p.client(`{"id":"6","subscribe":{}}`).want(ok(6))
	}
	p.client(mute(8)).want("request mute m false")
}

func TestTracksPublishedAheadAreNotTakenTwice(t *testing.T) {
	p := joinedPlay(t)
	publish := `{"id":"3","publish":{"tracks":[{"trackId":"c","kind":"VIDEO","source":"CAMERA","mid":"4"}]}}`
	p.client(publish).want(ok(3))
	p.lose().resume(0).client(publish).want(ok(3))
	p.client(`{"id":"4","sdp":` + offer + `}`).want(`request negotiate "v=0\r\n" with 1 tracks`)
}

func TestARefusalIsAnAnswerToo(t *testing.T) {
	p := attachedPlay(t)
	p.client(mute(3)).want(refused(3, "PROTOCOL", "mute: join first"))
	p.client(join(4)).in(answered{result: sfu.Joined{PeerID: "me"}})
	p.lose().resume(0).client(mute(3)).want(refused(3, "PROTOCOL", "mute: join first"))
}

func TestARefusalForAWhileIsNone(t *testing.T) {
	p := joinedPlay(t)
	for i := range 31 {
		p.client(mute(3 + i)).in(answered{})
	}
	p.after(100 * time.Millisecond).client(mute(33)).want("request mute m false")
}

func TestAnIdIsAnsweredOnceOnAConnection(t *testing.T) {
	p := joinedPlay(t)
	p.client(mute(3)).in(answered{})
	p.client(mute(3)).want()
	p.client(`{"id":"3","sdp":` + offer + `}`).want()
	p.lose().resume(0).client(mute(3)).want(ok(3))
	p.client(mute(3)).want()
}

// Events that came after the first Joined were told already: what the second one says must not undo them.
func TestJoinedIsSaidAgainWithThoseWhoAreThereNow(t *testing.T) {
	p := attachedPlay(t)
	p.client(join(2))
	p.lose()
	p.in(answered{result: sfu.Joined{PeerID: "me", Answer: "v=0\r\n", Peers: []sfu.PeerInfo{{ID: "b"}}}}).want()
	p.event(1, sfu.PeerLeft{PeerID: "b"})
	p.resume(0).want(`{"id":"9","resumed":{"fromSeq":"1"}}`, left(1, "b"))
	p.client(join(2)).want("request state")
	p.client(join(2)).want() // under way
	p.event(1, sfu.PeerLeft{PeerID: "c"}).want()
	p.in(answered{result: sfu.Joined{Peers: []sfu.PeerInfo{{ID: "c"}}, Slots: []sfu.SlotInfo{{MID: "1"}}}}).want(
		`{"id":"2","joined":{"peerId":"me","answer":{"type":"ANSWER","deflate":"KrM14OUCBAAA//8="},`+
			`"peers":[{"peerId":"c"}],"slots":{"slots":[{"mid":"1"}]}}}`, left(2, "c"))
	p.event(1, sfu.PeerLeft{PeerID: "d"}).want(left(3, "d"))
}

func TestAJoinSentAgainThatWaitsIsForItsConnection(t *testing.T) {
	p := joinedPlay(t)
	p.lose().resume(0).client(join(2)).want("request state")
	p.lose().resume(0).want(`{"id":"9","resumed":{"fromSeq":"1"}}`)
	p.client(join(2)).want() // behind the one that nobody waits for
	p.in(answered{result: sfu.Joined{}}).want("request state")
	p.in(answered{result: sfu.Joined{}}).want(joinedAlone)
}

func TestAJoinWhosePeerIsLostIsDoneAgain(t *testing.T) {
	p := attachedPlay(t)
	p.client(join(2))
	p.client(mute(3))
	p.lose()
	p.in(answered{result: sfu.Joined{PeerID: "me"}}).in(answered{})
	p.event(1, sfu.Gone{Reason: sfu.GoneSilent})
	p.resume(0).want(`{"id":"9","resumed":{"fromSeq":"1"}}`, `{"seq":"1","snapshot":{"seq":"1"}}`)
	p.client(join(2)).want("request join 2")
	p.client(mute(3)).want()
	p.in(answered{result: sfu.Joined{PeerID: "me", Answer: "v=0\r\n"}}).want(joinedAlone, "request mute m false")
}

func TestAJoinThatALaterOneReplacedIsOver(t *testing.T) {
	p := joinedPlay(t)
	p.client(join(3)).in(answered{result: sfu.Joined{PeerID: "me2", Answer: "v=0\r\n"}})
	p.lose().resume(0)
	p.client(join(2)).want(refused(2, "NOT_FOUND", "join: a later one of this session took its place"))
	p.client(join(3)).want("request state")
	p.in(answered{err: sfu.ErrGone}).want(refused(3, "NOT_FOUND", "this session is no longer in the room: join again"))
}

func TestOldAnswersAreLetGo(t *testing.T) {
	p := joinedPlay(t)
	for i := range maxAnswers {
		p.after(time.Second).client(mute(3 + i)).in(answered{}).want(ok(3 + i))
	}
	require.Len(t, p.s.answers.kept, maxAnswers)
	p.lose().resume(0)
	p.client(join(2)).want(refused(2, "PROTOCOL", "id: 2 is too old, its answer is no longer kept; ask again with a new id"))
	p.client(mute(4)).want(ok(4))
}

func TestLargeAnswersAreLetGo(t *testing.T) {
	p := joinedPlay(t)
	random := rand.New(rand.NewPCG(1, 2))
	large := func(n int) string { // deflates badly
		return strings.Map(func(rune) rune { return rune('!' + random.IntN(90)) }, strings.Repeat("x", n))
	}
	for i := range 4 {
		p.after(time.Second).client(fmt.Sprintf(`{"id":"%d","sdp":%s}`, 3+i, offer)).in(answered{result: large(16 << 10)})
		require.LessOrEqual(t, p.s.answers.bytes, maxAnswerBytes)
	}
	require.Len(t, p.s.answers.kept, 2)
	p.client(`{"id":"7","sdp":` + offer + `}`).in(answered{result: large(80 << 10)})
	require.Empty(t, p.s.answers.kept, "one that is too large for all of the space")
	require.Zero(t, p.s.answers.bytes)
	require.NotEmpty(t, p.out.frames)
}

func TestAnswersThatTheClientHasAreLetGo(t *testing.T) {
	p := joinedPlay(t)
	p.event(1, sfu.PeerLeft{PeerID: "a"})
	p.client(`{"id":"3","ack":"1","mute":{}}`).in(answered{}) // joined came before the event, so it is there
	require.Len(t, p.s.answers.kept, 1)
	p.client(`{"id":"4","ack":"1","ping":{}}`)
	require.Len(t, p.s.answers.kept, 1, "the event came before the answer")
	p.event(1, sfu.PeerLeft{PeerID: "b"})

	p.lose().resume(1).want(`{"id":"9","resumed":{"fromSeq":"2"}}`, left(2, "b")) // neither came
	p.client(`{"id":"5","ack":"2","ping":{}}`)
	require.Len(t, p.s.answers.kept, 1, "the event came again, the answer did not")
	p.client(`{"id":"3","ack":"2","mute":{}}`).want(ok(3))
	p.event(1, sfu.PeerLeft{PeerID: "c"})
	p.lose().resume(3)
	require.Empty(t, p.s.answers.kept, "the event after the answer came")
}

func TestWhatNobodyComesBackForIsLetGo(t *testing.T) {
	p := joinedPlay(t)
	p.event(1, sfu.PeerLeft{PeerID: "a"})
	require.Equal(t, time.Minute, p.out.wake)
	p.after(time.Minute).in(tick{}).want()
	require.Len(t, p.s.answers.kept, 1)
	p.event(1, sfu.PeerLeft{PeerID: "b"})
	require.Equal(t, 2*time.Minute, p.out.wake)
	p.after(time.Minute).in(tick{}).want()
	require.Empty(t, p.s.answers.kept)
	require.Len(t, p.s.log.kept, 1)
	p.after(time.Minute).in(tick{}).want()
	require.Zero(t, p.out.wake)
	require.Nil(t, p.s.log.kept)
	require.Nil(t, p.s.answers.kept)
	p.lose().resume(0).wantRequest("state")
	p.in(answered{result: sfu.Joined{}})
	p.client(join(2)).want(refused(2, "PROTOCOL", "id: 2 is too old, its answer is no longer kept; ask again with a new id"))
}

// A client waits for the answer to its Resume before it listens for others.
func TestTheAnswerToResumeComesFirst(t *testing.T) {
	p := joinedPlay(t)
	p.event(1, sfu.PeerLeft{PeerID: "a"})
	p.client(`{"id":"3","ack":"1","mute":{}}`).want("request mute  false")
	p.client(`{"id":"4","subscribe":{}}`)
	p.lose().resume(0).want() // a Snapshot, behind the two
	p.in(answered{}).want("request subscribe []")
	p.client(`{"id":"3","mute":{}}`).want()
	p.client(`{"id":"5","publish":{}}`).want()
	p.client(`{"id":"6","ping":{}}`).want(`{"id":"6","pong":{"serverTimeMs":"1000000"}}`) // it does not matter where
	p.in(answered{err: sfu.ErrNotFound}).want("request state")
	p.event(1, sfu.PeerLeft{PeerID: "b"}).want()
	p.in(answered{result: sfu.Joined{}}).want(`{"id":"9","snapshot":{"seq":"1","slots":{},"joined":true}}`,
		ok(3), ok(5), refused(4, "NOT_FOUND", "no such track or peer"), left(2, "b"))
	p.client(`{"id":"7","ack":"1","ping":{}}`)
	require.Len(t, p.s.answers.kept, 3, "they came after the snapshot")
}

func TestAJoinedAnswersTheResumeBeforeIt(t *testing.T) {
	p := joinedPlay(t)
	p.event(1, sfu.PeerLeft{PeerID: "a"})
	p.client(`{"id":"3","ack":"1","ping":{}}`)
	p.client(join(4)).want("request join 2 again")
	p.lose().resume(0).want()
	p.event(2, sfu.PeerLeft{PeerID: "b"}).want()
	p.in(answered{result: sfu.Joined{PeerID: "me2", Answer: "v=0\r\n"}}).want(
		`{"id":"9","snapshot":{"seq":"1","slots":{},"joined":true}}`,
		strings.NewReplacer(`"2"`, `"4"`, `"me"`, `"me2"`).Replace(joinedAlone), left(2, "b"))
}

func TestAnswersThatWaitForASnapshotAreBounded(t *testing.T) {
	p := joinedPlay(t)
	p.event(1, sfu.PeerLeft{PeerID: "a"})
	p.client(`{"id":"3","ack":"1","ping":{}}`)
	p.lose().resume(0).want("request state")
	for i := range maxAnswers {
		p.after(time.Second).client(fmt.Sprintf(`{"id":"%d","publish":{}}`, 10+i)).want()
	}
	p.client(`{"id":"100","publish":{}}`).want(
		`{"id":"100","error":{"code":"RATE","message":"requests: too many answers are waiting for the room's state","retryAfterMs":1000}}`)
	p.in(answered{result: sfu.Joined{}})
	require.Len(t, p.out.frames, 1+maxAnswers)
}

func TestWithoutAnIdNothingIsKept(t *testing.T) {
	p := joinedPlay(t)
	p.client(mute(0)).in(answered{})
	p.client(mute(0)).want("request mute m false")
	p.in(answered{err: sfu.ErrNotFound})
	require.Equal(t, wire.Error_NOT_FOUND, p.out.frames[0].GetError().GetCode())
	require.Len(t, p.s.answers.kept, 1, "of the join")
}
