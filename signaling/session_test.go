package signaling

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/sfu"
	"github.com/tolkyn/tolkyn/signaling/wire"
)

// play drives one session as a server would and writes down what it says: frames as JSON, the rest in words.
//
//	p.attach(); p.client(`{"id":"1","ping":{}}`).want(`{"id":"1","pong":{…}}`)
type play struct {
	t   *testing.T
	s   *session
	now time.Duration
	out output

	conn uint64
}

func newPlay(t *testing.T, edit ...func(*sessionConfig)) *play {
	c := sessionConfig{
		id: "S", secret: []byte("0123456789abcdef"), resumeFor: 60 * time.Second, epoch: time.UnixMilli(1_000_000),
		grants:     Grants{Identity: "aru", Tenant: "t", Room: "r", Publish: true, Subscribe: true},
		audioSlots: 16, videoSlots: 49,
	}
	for _, e := range edit {
		e(&c)
	}
	return &play{t: t, s: newSession(c)}
}

// attached plays Hello; joined also plays a Join whose peer is alone.
func attachedPlay(t *testing.T, edit ...func(*sessionConfig)) *play {
	p := newPlay(t, edit...)
	p.conn = 1
	return p.in(attached{conn: 1, frame: 1})
}

func joinedPlay(t *testing.T, edit ...func(*sessionConfig)) *play {
	p := attachedPlay(t, edit...)
	p.client(join(2)).wantRequest("join 1")
	p.in(answered{result: sfu.Joined{PeerID: "me", Answer: "v=0\r\n"}})
	return p
}

func (p *play) in(in input) *play {
	p.t.Helper()
	p.out = p.s.step(p.now, in)
	return p
}

func (p *play) after(d time.Duration) *play { p.now += d; return p }

func (p *play) client(frame string) *play {
	p.t.Helper()
	f, err := wire.JSON.DecodeClient([]byte(frame))
	require.NoError(p.t, err)
	return p.in(received{conn: p.conn, frame: f})
}

func (p *play) event(join uint64, e sfu.Event) *play {
	p.t.Helper()
	return p.in(happened{join: join, event: e})
}

// resume plays a new connection that has handled events up to seq.
func (p *play) resume(seq uint64) *play {
	p.t.Helper()
	p.conn++
	return p.in(resumed{conn: p.conn, frame: 9, lastSeq: seq})
}

func (p *play) lose() *play {
	p.t.Helper()
	return p.in(lost{conn: p.conn})
}

// want compares all that the last input led to, frame by frame and then the words "request X", "hangup", "end", "displaced N".
func (p *play) want(lines ...string) *play {
	p.t.Helper()
	got := []string{}
	if p.out.displaced != 0 {
		got = append(got, fmt.Sprintf("displaced %d", p.out.displaced))
	}
	for _, f := range p.out.frames {
		b, err := wire.JSON.EncodeServer(f)
		require.NoError(p.t, err)
		got = append(got, string(b))
	}
	if p.out.hangup {
		got = append(got, "hangup")
	}
	if p.out.request != nil {
		got = append(got, "request "+requestName(p.out.request))
	}
	if p.out.end {
		got = append(got, "end")
	}
	if lines == nil {
		lines = []string{}
	}
	require.Equal(p.t, lines, got)
	return p
}

func (p *play) wantRequest(name string) *play {
	p.t.Helper()
	require.NotNil(p.t, p.out.request)
	require.Equal(p.t, name, requestName(p.out.request))
	return p
}

func requestName(r *request) string {
	switch do := r.do.(type) {
	case joinRequest:
		if do.again {
			return fmt.Sprintf("join %d again", do.join)
		}
		return fmt.Sprintf("join %d", do.join)
	case negotiateRequest:
		if do.profile != 0 {
			return fmt.Sprintf("negotiate %q with %d tracks, profile %d", do.offer, len(do.tracks), do.profile)
		}
		return fmt.Sprintf("negotiate %q with %d tracks", do.offer, len(do.tracks))
	case unpublishRequest:
		return "unpublish " + strings.Join(do.ids, ",")
	case subscribeRequest:
		return fmt.Sprintf("subscribe %+v", do.subscription.Wishes)
	case rosterRequest:
		return fmt.Sprintf("roster %s %d", do.after, do.limit)
	case muteRequest:
		return fmt.Sprintf("mute %s %v", do.id, do.muted)
	case stateRequest:
		return "state"
	case leaveRequest:
		return "leave"
	}
	return "?"
}

// offer is "v=0\r\n", deflated.
const offer = `{"type":"OFFER","deflate":"K7M14OUCAA=="}`

func join(id int) string {
	return fmt.Sprintf(`{"id":"%d","join":{"name":"Aru","offer":%s}}`, id, offer)
}

func refused(id int, code, message string) string {
	return fmt.Sprintf(`{"id":"%d","error":{"code":"%s","message":"%s"}}`, id, code, message)
}

func left(seq int, peer string) string {
	return fmt.Sprintf(`{"seq":"%d","peerUpdate":{"change":"LEFT","peer":{"peerId":"%s"}}}`, seq, peer)
}

func bye(reason, action string) string {
	return fmt.Sprintf(`{"bye":{"reason":"%s","action":"%s"}}`, reason, action)
}

const joinedAlone = `{"id":"2","joined":{"peerId":"me","answer":{"type":"ANSWER","deflate":"KrM14OUCBAAA//8="},"slots":{}}}`

func TestHelloIsWelcomed(t *testing.T) {
	attachedPlay(t).want(`{"id":"1","welcome":{"sessionId":"S","resumeToken":"MDEyMzQ1Njc4OWFiY2RlZg==","resumeMs":60000,` +
		`"limits":{"maxFrameBytes":65536,"maxSdpBytes":262144,"maxAudioSlots":16,"maxVideoSlots":49},` +
		`"identity":"aru","room":"r","publish":true,"subscribe":true,"serverTimeMs":"1000000"}}`)
}

func TestPingTellsTheTime(t *testing.T) {
	attachedPlay(t).after(5 * time.Second).client(`{"id":"7","ping":{"clientTimeMs":"42"}}`).
		want(`{"id":"7","pong":{"clientTimeMs":"42","serverTimeMs":"1005000"}}`)
}

func TestJoin(t *testing.T) {
	p := attachedPlay(t)
	p.client(`{"id":"2","join":{"name":"Aru","offer":` + offer + `,"tracks":[{"trackId":"m","kind":"AUDIO","source":"MICROPHONE","mid":"0","muted":true}]}}`)
	p.want("request join 1")
	do, ok := p.out.request.do.(joinRequest)
	require.True(t, ok)
	require.Equal(t, sfu.JoinRequest{
		Tenant: "t", Room: "r", Identity: "aru", Name: "Aru", Publish: true, Subscribe: true, Offer: "v=0\r\n",
		Tracks: []sfu.Track{{ID: "m", Kind: sfu.Audio, Source: sfu.Microphone, MID: "0", Muted: true}},
	}, do.req)

	p.in(answered{result: sfu.Joined{
		PeerID: "me", Answer: "v=0\r\n",
		Peers: []sfu.PeerInfo{{ID: "b", Identity: "bek", Name: "Bek", Tracks: []sfu.Track{{ID: "c", Kind: sfu.Video, Source: sfu.Camera, MID: "hidden"}}}},
		Slots: []sfu.SlotInfo{{MID: "1"}, {MID: "2", PeerID: "b", TrackID: "c"}},
	}})
	p.want(`{"id":"2","joined":{"peerId":"me","answer":{"type":"ANSWER","deflate":"KrM14OUCBAAA//8="},` +
		`"peers":[{"peerId":"b","identity":"bek","name":"Bek","tracks":[{"trackId":"c","kind":"VIDEO","source":"CAMERA"}]}],` +
		`"slots":{"slots":[{"mid":"1"},{"mid":"2","peerId":"b","trackId":"c"}]}}}`)
}

func TestAnOfferSaysWhatSoundMayCost(t *testing.T) {
	with := func(profile string) string { return strings.Replace(offer, "}", `,"profile":`+profile+`}`, 1) }
	p := attachedPlay(t).client(`{"id":"2","join":{"offer":` + with(`"SAVER"`) + `}}`)
	do, ok := p.out.request.do.(joinRequest)
	require.True(t, ok)
	require.Equal(t, sfu.SaverProfile, do.req.Profile)
	p.in(answered{result: sfu.Joined{PeerID: "me", Answer: "v=0\r\n"}})
	p.client(`{"id":"3","sdp":` + with(`"FULL"`) + `}`).want(`request negotiate "v=0\r\n" with 0 tracks, profile 1`)
	p.in(answered{result: "v=0\r\n"})
	p.client(`{"id":"4","publish":{"offer":` + with("2") + `}}`).want(`request negotiate "v=0\r\n" with 0 tracks, profile 2`)
	p.in(answered{result: "v=0\r\n"})
	p.client(`{"id":"5","sdp":` + with("77") + `}`).want(`request negotiate "v=0\r\n" with 0 tracks`)
}

func TestEventsAreNumbered(t *testing.T) {
	p := joinedPlay(t).want(joinedAlone)
	p.event(1, sfu.PeerJoined{Peer: sfu.PeerInfo{ID: "b", Identity: "bek"}}).
		want(`{"seq":"1","peerUpdate":{"change":"JOINED","peer":{"peerId":"b","identity":"bek"}}}`)
	track := sfu.Track{ID: "s", Kind: sfu.Audio, Source: sfu.ScreenAudio}
	p.event(1, sfu.TrackPublished{PeerID: "b", Track: track}).
		want(`{"seq":"2","trackUpdate":{"change":"PUBLISHED","peerId":"b","track":{"trackId":"s","kind":"AUDIO","source":"SCREEN_AUDIO"}}}`)
	track.Muted = true
	p.event(1, sfu.TrackMuted{PeerID: "b", Track: track}).
		want(`{"seq":"3","trackUpdate":{"change":"MUTED","peerId":"b","track":{"trackId":"s","kind":"AUDIO","source":"SCREEN_AUDIO","muted":true}}}`)
	track.Muted = false
	p.event(1, sfu.TrackMuted{PeerID: "b", Track: track}).
		want(`{"seq":"4","trackUpdate":{"change":"UNMUTED","peerId":"b","track":{"trackId":"s","kind":"AUDIO","source":"SCREEN_AUDIO"}}}`)
	p.event(1, sfu.TrackUnpublished{PeerID: "b", Track: sfu.Track{ID: "s", Kind: sfu.Video, Source: sfu.Screen}}).
		want(`{"seq":"5","trackUpdate":{"change":"UNPUBLISHED","peerId":"b","track":{"trackId":"s","kind":"VIDEO","source":"SCREEN"}}}`)
	p.event(1, sfu.SlotsChanged{Slots: []sfu.SlotInfo{{MID: "3"}}}).
		want(`{"seq":"6","slotMap":{"slots":[{"mid":"3"}]}}`)
	p.event(1, sfu.PeerLeft{PeerID: "b"}).want(left(7, "b"))
}

func TestRequestsGoToTheSFUOneAtATime(t *testing.T) {
	p := joinedPlay(t)
	p.client(`{"id":"3","mute":{"trackId":"m","muted":true}}`).want("request mute m true")
	p.client(`{"id":"4","unpublish":{"trackIds":["m","c"]}}`).want()
	p.client(`{"id":"5","subscribe":{"wishes":[{"peerId":"b","trackId":"c","hidden":true,"priority":1,"width":2,"height":3}]}}`).want()
	p.client(`{"id":"6","sdp":` + offer + `}`).want()
	p.client(`{"id":"0","mute":{"trackId":"m"}}`).want()
	p.in(answered{}).want(`{"id":"3","ok":{}}`, "request unpublish m,c")
	p.in(answered{err: sfu.ErrNotFound}).want(refused(4, "NOT_FOUND", "no such track or peer"),
		"request subscribe [{PeerID:b TrackID:c Hidden:true Priority:1 Width:2 Height:3}]")
	p.in(answered{}).want(`{"id":"5","ok":{}}`, `request negotiate "v=0\r\n" with 0 tracks`)
	p.in(answered{result: "v=0\r\n"}).want(`{"id":"6","sdp":{"type":"ANSWER","deflate":"KrM14OUCBAAA//8="}}`, "request mute m false")
	p.in(answered{}).want() // id 0: no answer is wanted
}

func TestPublishWaitsForItsOffer(t *testing.T) {
	p := joinedPlay(t)
	track := `{"trackId":"c","kind":"VIDEO","source":"CAMERA","mid":"4"}`
	p.client(`{"id":"3","publish":{"tracks":[` + track + `]}}`).want(`{"id":"3","ok":{}}`)
	p.client(`{"id":"4","sdp":` + offer + `}`).want(`request negotiate "v=0\r\n" with 1 tracks`)
	p.in(answered{result: "v=0\r\n"})
	p.client(`{"id":"5","publish":{"tracks":[` + track + `],"offer":` + offer + `}}`).want(`request negotiate "v=0\r\n" with 1 tracks`)
	p.in(answered{err: fmt.Errorf("m-line 3: %w", sfu.ErrUnsupportedCodec)}).
		want(refused(5, "UNSUPPORTED_CODEC", "m-line 3: no codec in common"))
}

func TestLeave(t *testing.T) {
	p := joinedPlay(t)
	p.client(`{"id":"3","leave":{}}`).want("request leave")
	p.in(answered{}).want(`{"id":"3","ok":{}}`, bye("LEFT", "STOP"), "hangup", "end")
	p.client(`{"id":"4","ping":{}}`).want()
}

func TestLeaveWithoutHavingJoined(t *testing.T) {
	attachedPlay(t).client(`{"id":"2","leave":{}}`).want(`{"id":"2","ok":{}}`, bye("LEFT", "STOP"), "hangup", "end")
}

func TestWhatIsRefused(t *testing.T) {
	noGrants := func(c *sessionConfig) { c.grants.Publish, c.grants.Subscribe = false, false }
	track := `{"trackId":"c","kind":"VIDEO","source":"CAMERA","mid":"4"}`
	joinWith := func(what string) string { return `{"id":"5","join":{"offer":` + offer + `,"tracks":[` + what + `]}}` }
	many := strings.TrimSuffix(strings.Repeat(track+",", maxTracks+1), ",")
	for _, c := range []struct {
		name  string
		play  *play
		frame string
		want  string
	}{
		{"hello twice", attachedPlay(t), `{"id":"5","hello":{}}`, refused(5, "PROTOCOL", "hello, resume: only the first frame of a connection may be one")},
		{"resume in a session", attachedPlay(t), `{"id":"5","resume":{}}`, refused(5, "PROTOCOL", "hello, resume: only the first frame of a connection may be one")},
		{"no message", attachedPlay(t), `{"id":"5"}`, refused(5, "PROTOCOL", "message: none that this server knows; it speaks version 1")},
		{"sdp before join", attachedPlay(t), `{"id":"5","sdp":` + offer + `}`, refused(5, "PROTOCOL", "sdp: join first")},
		{"mute before join", attachedPlay(t), `{"id":"5","mute":{}}`, refused(5, "PROTOCOL", "mute: join first")},
		{"publish before join", attachedPlay(t), `{"id":"5","publish":{}}`, refused(5, "PROTOCOL", "publish: join first")},
		{"unpublish before join", attachedPlay(t), `{"id":"5","unpublish":{}}`, refused(5, "PROTOCOL", "unpublish: join first")},
		{"subscribe before join", attachedPlay(t), `{"id":"5","subscribe":{}}`, refused(5, "PROTOCOL", "subscribe: join first")},
		{"join without an offer", attachedPlay(t), `{"id":"5","join":{}}`, refused(5, "PROTOCOL", "join.offer.type: want OFFER, the client always offers")},
		{"an answer from a client", joinedPlay(t), `{"id":"5","sdp":{"type":"ANSWER","deflate":"AwA="}}`, refused(5, "PROTOCOL", "sdp.type: want OFFER, the client always offers")},
		{"an offer that is not deflated", joinedPlay(t), `{"id":"5","sdp":{"type":"OFFER","deflate":"dj0w"}}`, refused(5, "BAD_SDP", "sdp.deflate: not a deflated session description: flate: corrupt input before offset 1; send raw DEFLATE (RFC 1951)")},
		{"a name too long", attachedPlay(t), `{"id":"5","join":{"name":"` + strings.Repeat("x", 129) + `"}}`, refused(5, "PROTOCOL", "join.name: has 129 bytes, at most 128")},
		{"a name that moves the cursor", attachedPlay(t), `{"id":"5","join":{"name":"\u001b[2J"}}`, refused(5, "PROTOCOL", "join.name: holds characters that cannot be printed")},
		{"a track without an id", attachedPlay(t), joinWith(`{}`), refused(5, "PROTOCOL", "join.tracks[0].track_id: is missing, choose one")},
		{"a track with a long id", attachedPlay(t), joinWith(track + `,{"trackId":"` + strings.Repeat("x", 65) + `"}`), refused(5, "PROTOCOL", "join.tracks[1].track_id: has 65 bytes, at most 64")},
		{"a track without a kind", attachedPlay(t), joinWith(`{"trackId":"a"}`), refused(5, "PROTOCOL", "join.tracks[0].kind: want AUDIO or VIDEO")},
		{"a track without a source", attachedPlay(t), joinWith(`{"trackId":"a","kind":"AUDIO"}`), refused(5, "PROTOCOL", "join.tracks[0].source: want MICROPHONE, CAMERA, SCREEN or SCREEN_AUDIO")},
		{"a track without a mid", attachedPlay(t), joinWith(`{"trackId":"a","kind":"AUDIO","source":"MICROPHONE"}`), refused(5, "PROTOCOL", "join.tracks[0].mid: want the a=mid of the m-line that carries the track")},
		{"too many tracks", attachedPlay(t), joinWith(many), refused(5, "TOO_LARGE", "join.tracks: more than 64")},
		{"too many wishes", joinedPlay(t), `{"id":"5","subscribe":{"wishes":[` + strings.TrimSuffix(strings.Repeat("{},", maxWishes+1), ",") + `]}}`, refused(5, "TOO_LARGE", "subscribe.wishes: more than 512")},
		{"too many ids", joinedPlay(t), `{"id":"5","unpublish":{"trackIds":[` + strings.TrimSuffix(strings.Repeat(`"a",`, maxTracks+1), ",") + `]}}`, refused(5, "TOO_LARGE", "unpublish.track_ids: more than 64")},
		{"join with tracks, not granted", attachedPlay(t, noGrants), joinWith(track), refused(5, "FORBIDDEN", "join.tracks: the token does not allow to publish")},
		{"publish, not granted", joinedPlay(t, noGrants), `{"id":"5","publish":{"tracks":[` + track + `]}}`, refused(5, "FORBIDDEN", "publish: the token does not allow it")},
		{"subscribe, not granted", joinedPlay(t, noGrants), `{"id":"5","subscribe":{}}`, refused(5, "FORBIDDEN", "subscribe: the token does not allow it")},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.play.t = t
			c.play.client(c.frame).want(c.want)
			c.play.client(`{"id":"6","ping":{}}`).want(`{"id":"6","pong":{"serverTimeMs":"1000000"}}`) // life goes on
		})
	}
}

func TestWhatTheSFUSaysAboutAJoin(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{sfu.ErrRoomFull, `{"id":"2","error":{"code":"ROOM_FULL","message":"the room is full","retryAfterMs":5000}}`},
		{sfu.ErrForbidden, refused(2, "FORBIDDEN", "token does not allow this")},
		{fmt.Errorf("m-line 7: no fingerprint: %w", sfu.ErrBadOffer), refused(2, "BAD_SDP", "m-line 7: no fingerprint: bad SDP offer")},
		{fmt.Errorf("%w: \xff", sfu.ErrBadOffer), refused(2, "BAD_SDP", "bad SDP offer: �")},
		{sfu.ErrUnsupportedCodec, refused(2, "UNSUPPORTED_CODEC", "no codec in common")},
		{&sfu.BusyError{RetryAfter: 1500 * time.Millisecond}, `{"id":"2","error":{"code":"BUSY","message":"this node is full, try again later","retryAfterMs":1500}}`},
		{sfu.ErrClosed, `{"id":"2","error":{"code":"BUSY","message":"this node cannot answer now, try again","retryAfterMs":1000}}`},
		{errors.New("secret detail"), refused(2, "INTERNAL", "the server failed, and has logged why")},
	} {
		p := attachedPlay(t)
		p.client(join(2))
		p.in(answered{err: c.err}).want(c.want)
		p.client(join(3)).want("request join 2") // and may try again
	}
}

func TestABrokenFrameEndsTheSession(t *testing.T) {
	p := joinedPlay(t)
	_, err := wire.JSON.DecodeClient([]byte(`{`))
	p.in(garbled{conn: 1, err: err})
	require.Len(t, p.out.frames, 2)
	e := p.out.frames[0].GetError()
	require.Equal(t, wire.Error_PROTOCOL, e.GetCode())
	require.True(t, e.GetFatal())
	require.Equal(t, wire.Bye_PROTOCOL_ERROR, p.out.frames[1].GetBye().GetReason())
	require.True(t, p.out.hangup)
	p.wantRequest("leave")
	p.in(answered{}).want("end")
}

func TestATooLargeFrameEndsTheSession(t *testing.T) {
	_, err := wire.Binary.DecodeClient(make([]byte, wire.MaxClientFrame+1))
	attachedPlay(t).in(garbled{conn: 1, err: err}).want(
		`{"error":{"code":"TOO_LARGE","message":"frame: frame is too large: 65537 bytes, at most 65536","fatal":true}}`,
		bye("PROTOCOL_ERROR", "STOP"), "hangup", "end")
}

func TestResumeReplaysWhatWasMissed(t *testing.T) {
	p := joinedPlay(t)
	for i := range 3 {
		p.event(1, sfu.PeerLeft{PeerID: fmt.Sprint(i)})
	}
	p.lose().want()
	require.Equal(t, 60*time.Second, p.out.wake)
	p.after(time.Second).event(1, sfu.PeerLeft{PeerID: "3"}).want()
	p.resume(1).want(`{"id":"9","resumed":{"fromSeq":"2"}}`, left(2, "1"), left(3, "2"), left(4, "3"))
	p.event(1, sfu.PeerLeft{PeerID: "4"}).want(left(5, "4"))
	p.lose().resume(5).want(`{"id":"9","resumed":{"fromSeq":"6"}}`)
}

func TestResumeDisplacesTheOldConnection(t *testing.T) {
	p := joinedPlay(t)
	p.event(1, sfu.PeerLeft{PeerID: "a"})
	p.resume(0).want("displaced 1", `{"id":"9","resumed":{"fromSeq":"1"}}`, left(1, "a"))
	p.in(lost{conn: 1}).want() // the old one ends later
	f, err := wire.JSON.DecodeClient([]byte(`{"id":"3","ping":{}}`))
	require.NoError(t, err)
	p.in(received{conn: 1, frame: f}).want() // and has nothing more to say
	p.in(garbled{conn: 1, err: wire.ErrBadFrame}).want()
	p.event(1, sfu.PeerLeft{PeerID: "b"}).want(left(2, "b"))
}

func TestOnlyTheSecretResumes(t *testing.T) {
	s := newPlay(t).s
	require.True(t, s.mayResume([]byte("0123456789abcdef")))
	for _, wrong := range []string{"", "0123456789abcdeg", "0123456789abcde", "0123456789abcdef0"} {
		require.False(t, s.mayResume([]byte(wrong)))
	}
}

func TestASnapshotStandsForEventsThatAreGone(t *testing.T) {
	whole := sfu.Joined{Peers: []sfu.PeerInfo{{ID: "b"}}, Slots: []sfu.SlotInfo{{MID: "1"}}}
	for name, gone := range map[string]func(p *play) uint64{
		"too many": func(p *play) uint64 {
			p.lose()
			for range maxReplay + 1 {
				p.event(1, sfu.PeerLeft{PeerID: "x"})
			}
			return maxReplay + 1
		},
		"too old": func(p *play) uint64 {
			p.event(1, sfu.PeerLeft{PeerID: "x"})
			p.after(50 * time.Second).lose()
			p.after(11 * time.Second)
			return 1
		},
		"acknowledged": func(p *play) uint64 {
			p.event(1, sfu.PeerLeft{PeerID: "x"})
			p.client(`{"id":"3","ack":"1","ping":{}}`)
			return 1
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := joinedPlay(t)
			seq := gone(p)
			p.resume(0).wantRequest("state")
			// What happens before the SFU answers is told after the snapshot, even if that shows it already.
			p.event(1, sfu.PeerLeft{PeerID: "y"}).want()
			p.in(answered{result: whole}).want(
				fmt.Sprintf(`{"id":"9","snapshot":{"seq":"%d","peers":[{"peerId":"b"}],"slots":{"slots":[{"mid":"1"}]},"joined":true}}`, seq),
				left(int(seq)+1, "y"))
			p.event(1, sfu.PeerLeft{PeerID: "z"}).want(left(int(seq)+2, "z"))
		})
	}
}

func TestANumberThatWasNeverGivenGetsASnapshot(t *testing.T) {
	attachedPlay(t).resume(7).want("displaced 1", `{"id":"9","snapshot":{}}`)
}

func TestASnapshotGoesToWhoAskedForIt(t *testing.T) {
	p := joinedPlay(t)
	p.event(1, sfu.PeerLeft{PeerID: "x"})
	p.client(`{"id":"3","ack":"1","ping":{}}`)
	p.resume(0).wantRequest("state")
	p.resume(1).want("displaced 2", `{"id":"9","resumed":{"fromSeq":"2"}}`)
	p.in(answered{result: sfu.Joined{}}).want()
	p.event(1, sfu.PeerLeft{PeerID: "y"}).want(left(2, "y"))
}

func TestADetachedSessionEndsAndItsPeerLeaves(t *testing.T) {
	p := joinedPlay(t)
	p.lose()
	p.after(60*time.Second - 1).in(tick{}).want()
	p.after(1).in(tick{}).want("request leave")
	p.in(answered{}).want("end")
}

func TestAJoinThatEndsAfterItsSessionLeavesAgain(t *testing.T) {
	p := attachedPlay(t)
	p.client(join(2)).want("request join 1")
	p.lose()
	p.after(time.Minute).in(tick{}).want()
	p.in(answered{result: sfu.Joined{PeerID: "me"}}).want("request leave")
	p.in(answered{}).want("end")
}

func TestEventsOfAJoinComeAfterJoined(t *testing.T) {
	p := attachedPlay(t)
	p.client(join(2))
	p.event(1, sfu.PeerLeft{PeerID: "a"}).want()
	p.event(1, sfu.PeerLeft{PeerID: "b"}).want()
	p.in(answered{result: sfu.Joined{PeerID: "me", Answer: "v=0\r\n"}}).want(joinedAlone, left(1, "a"), left(2, "b"))
}

func TestTooManyEventsBeforeJoinedBecomeASnapshot(t *testing.T) {
	p := attachedPlay(t)
	p.client(join(2))
	for range maxEarly + 1 {
		p.event(1, sfu.PeerLeft{PeerID: "x"})
	}
	p.in(answered{result: sfu.Joined{PeerID: "me", Answer: "v=0\r\n"}}).want(joinedAlone, "request state")
	p.in(answered{result: sfu.Joined{}}).want(`{"snapshot":{"seq":"1","slots":{},"joined":true}}`)
	p.event(1, sfu.PeerLeft{PeerID: "y"}).want(left(2, "y"))
}

func TestTooManyEventsBeforeJoinedAreMissedByWhoResumes(t *testing.T) {
	p := attachedPlay(t)
	p.client(join(2))
	p.lose()
	for range maxEarly + 1 {
		p.event(1, sfu.PeerLeft{PeerID: "x"})
	}
	p.in(answered{result: sfu.Joined{PeerID: "me", Answer: "v=0\r\n"}}).want()
	p.resume(0).want("request state")
}

func TestJoinAgainReplacesOnesOwnPeer(t *testing.T) {
	p := joinedPlay(t)
	p.client(join(3)).want("request join 2 again")
	p.event(1, sfu.PeerLeft{PeerID: "a"}).want(left(1, "a")) // still in the room as the first peer
	p.event(1, sfu.Gone{Reason: sfu.GoneReplaced}).want()    // by ourselves
	p.event(1, sfu.PeerLeft{PeerID: "b"}).want(left(2, "b"))
	p.event(2, sfu.PeerLeft{PeerID: "c"}).want() // of the second peer: after Joined
	again := strings.NewReplacer(`"2"`, `"3"`, `"me"`, `"me2"`).Replace(joinedAlone)
	p.in(answered{result: sfu.Joined{PeerID: "me2", Answer: "v=0\r\n"}}).want(again, left(3, "c"))
	p.event(1, sfu.PeerLeft{PeerID: "d"}).want() // an echo of the first
	p.event(2, sfu.PeerLeft{PeerID: "e"}).want(left(4, "e"))
}

func TestJoinAgainThatFailsLeavesTheFirstPeerAsItIs(t *testing.T) {
	p := joinedPlay(t)
	p.client(join(3))
	p.in(answered{err: sfu.ErrBadOffer}).want(refused(3, "BAD_SDP", "bad SDP offer"))
	p.event(1, sfu.PeerLeft{PeerID: "a"}).want(left(1, "a"))

	p.client(join(4))
	p.event(1, sfu.Gone{Reason: sfu.GoneReplaced}).want() // by another device, as it turns out
	p.in(answered{err: sfu.ErrRoomFull}).want(`{"id":"4","error":{"code":"ROOM_FULL","message":"the room is full","retryAfterMs":5000}}`, bye("REPLACED", "STOP"), "hangup")
}

func TestAnotherDeviceTakesOver(t *testing.T) {
	p := joinedPlay(t)
	p.event(1, sfu.Gone{Reason: sfu.GoneReplaced}).want(bye("REPLACED", "STOP"), "hangup")
	// A device that did not hear it must not join anew and throw the other one out.
	p.after(30*time.Second).resume(0).want(bye("REPLACED", "STOP"), "hangup")
	p.after(30 * time.Second).in(tick{}).want("end")
}

func TestASilentPeerMayJoinAgain(t *testing.T) {
	for _, reason := range []sfu.GoneReason{sfu.GoneSilent, sfu.GoneFailed} {
		p := joinedPlay(t)
		p.event(1, sfu.PeerLeft{PeerID: "a"})
		p.event(1, sfu.Gone{Reason: reason}).want(`{"seq":"2","snapshot":{"seq":"2"}}`)
		require.Equal(t, 60*time.Second, p.out.wake)
		p.client(`{"id":"3","mute":{}}`).want(refused(3, "PROTOCOL", "mute: join first"))
		p.lose().resume(1).want(`{"id":"9","resumed":{"fromSeq":"2"}}`, `{"seq":"2","snapshot":{"seq":"2"}}`)
		p.after(59 * time.Second).client(join(4)).want("request join 2")
		p.after(2 * time.Second).in(tick{}).want() // not while it joins
		p.in(answered{result: sfu.Joined{PeerID: "me"}})
		require.Len(t, p.out.frames, 1)
		p.after(time.Hour).in(tick{}).want()
	}
}

func TestASilentPeerThatDoesNotComeBackIsLetGo(t *testing.T) {
	p := joinedPlay(t)
	p.event(1, sfu.Gone{Reason: sfu.GoneSilent})
	p.after(60*time.Second).in(tick{}).want(bye("TIMEOUT", "REJOIN"), "hangup", "end")
}

func TestShutdown(t *testing.T) {
	attachedPlay(t).in(shutdown{}).want(bye("SHUTDOWN", "REJOIN"), "hangup", "end")
	joinedPlay(t).in(shutdown{}).want(bye("SHUTDOWN", "REJOIN"), "hangup", "end")
	joinedPlay(t).event(1, sfu.Gone{Reason: sfu.GoneShutdown}).want(bye("SHUTDOWN", "REJOIN"), "hangup", "end")
	p := joinedPlay(t)
	p.lose().in(shutdown{}).want("end")
}
