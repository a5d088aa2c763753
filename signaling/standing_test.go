package signaling

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/sfu"
	"github.com/tolkyn/tolkyn/signaling/wire"
)

func speaks(who string) happened {
	return happened{join: 1, event: sfu.SpeakersChanged{Speakers: []sfu.Speaker{{PeerID: who, Level: 90}}}}
}

func TestWhatStandsIsAnEventWhileSomebodyListens(t *testing.T) {
	p := joinedPlay(t)
	p.in(speaks("b")).want(`{"seq":"1","speakers":{"speakers":[{"peerId":"b","level":90}]}}`)
	p.in(happened{join: 1, event: sfu.RosterChanged{Size: 400}}).want(`{"seq":"2","rosterUpdate":{"size":400}}`)
	p.in(happened{join: 1, event: sfu.LayersWanted{TrackID: "cam", Encodings: []sfu.EncodingWanted{
		{RID: "q", Wanted: true, Layer: codec.Layer{Temporal: 2}}, {RID: "f"},
	}}}).want(`{"seq":"3","layersWanted":{"trackId":"cam","encodings":[{"rid":"q","wanted":true,"temporal":2},{"rid":"f"}]}}`)
	p.in(happened{join: 1, event: sfu.CodecWanted{TrackID: "cam", Codec: codec.H264, Wanted: true}}).want(
		`{"seq":"4","codecWanted":{"trackId":"cam","codec":"H264","wanted":true}}`)
	p.in(happened{join: 1, event: sfu.LayersChanged{Slots: []sfu.SlotLayer{
		{MID: "3", Width: 640, Height: 360, Encoding: 1, Bitrate: 500_000, Limit: sfu.WishLimit}, {MID: "4", Limit: sfu.CodecLimit},
	}}}).want(`{"seq":"5","layerState":{"slots":[` +
		`{"mid":"3","width":640,"height":360,"encoding":1,"bitrate":500000,"limit":"WISH"},{"mid":"4","limit":"CODEC"}]}}`)
	p.in(happened{join: 1, event: sfu.ProfileWanted{Profile: sfu.SaverProfile}}).want(`{"seq":"6","profileWanted":{"profile":"SAVER"}}`)
}

func TestWhatStandsWaitsInOnePlace(t *testing.T) {
	p := joinedPlay(t)
	p.in(lost{conn: 1})
	for i := range 300 {
		p.in(speaks(fmt.Sprint("p", i))).want()
		p.in(happened{join: 1, event: sfu.LayersChanged{Slots: []sfu.SlotLayer{{MID: fmt.Sprint(i % 2), Width: i, Limit: sfu.NoLimit}}}})
	}
	require.Zero(t, p.s.log.last, "nothing of it is in the replay")
	p.in(resumed{conn: 2, frame: 9}).want(`{"id":"9","resumed":{"fromSeq":"1"}}`,
		`{"seq":"1","speakers":{"speakers":[{"peerId":"p299","level":90}]}}`,
		`{"seq":"2","layerState":{"slots":[{"mid":"0","width":298,"limit":"NONE"},{"mid":"1","width":299,"limit":"NONE"}]}}`)
}

func TestASnapshotIsFollowedByWhatStands(t *testing.T) {
	p := joinedPlay(t)
	p.in(speaks("b")).want(`{"seq":"1","speakers":{"speakers":[{"peerId":"b","level":90}]}}`)
	p.in(lost{conn: 1})
	p.in(resumed{conn: 2, frame: 9, lastSeq: 99}).want("request state")
	p.in(speaks("c")).want()
	p.in(answered{result: sfu.Joined{Size: 3}}).want(`{"id":"9","snapshot":{"seq":"1","slots":{},"joined":true,"rosterSize":3}}`,
		`{"seq":"2","speakers":{"speakers":[{"peerId":"c","level":90}]}}`)
}

func TestWhatStoodEndsWithThePeer(t *testing.T) {
	p := joinedPlay(t)
	p.in(lost{conn: 1})
	p.in(speaks("b"))
	p.in(happened{join: 1, event: sfu.Gone{Reason: sfu.GoneSilent}})
	p.in(resumed{conn: 2, frame: 9}).want(`{"id":"9","resumed":{"fromSeq":"1"}}`, `{"seq":"1","snapshot":{"seq":"1"}}`)
	require.Empty(t, p.s.standing.places)
}

func TestStandingEventsAreBounded(t *testing.T) {
	var s standing
	for i := range 2 * maxStanding {
		s.set(fmt.Sprint(i), wire.Event(&wire.ServerFrame_Speakers{Speakers: &wire.Speakers{}}))
	}
	require.Len(t, s.places, maxStanding)
	require.Len(t, s.due(), maxStanding)
	require.Empty(t, s.due())
}

func TestARosterIsAsked(t *testing.T) {
	p := joinedPlay(t)
	p.client(`{"id":"5","roster":{"after":"x","limit":10}}`).wantRequest("roster x 10")
	p.in(answered{result: sfu.RosterPage{Peers: []sfu.PeerInfo{{ID: "y"}}, Size: 400, More: true}}).want(
		`{"id":"5","rosterPage":{"peers":[{"peerId":"y"}],"size":400,"more":true}}`)
	p.client(`{"id":"6","roster":{}}`).wantRequest("roster  0")
	p.in(answered{err: sfu.ErrNotFound}).want(refused(6, "NOT_FOUND", "no such track or peer"))
}

func TestADeviceIsTold(t *testing.T) {
	for in, want := range map[*wire.Device]sfu.Device{
		nil: {},
		{Class: wire.Device_LOW, Decoders: 2, Cores: 4, SavingPower: true, Thermal: wire.Device_CRITICAL, HardwareEncoders: []string{"h264", "H265"}}: {
			Class: sfu.LowDevice, Decoders: 2, Cores: 4, SavingPower: true, Hot: true, HardwareEncoders: []codec.Codec{codec.H264},
		},
		{Class: 77, Cores: 1 << 31, Thermal: wire.Device_FAIR}: {Cores: 1024},
	} {
		require.Equal(t, want, deviceOf(in))
	}
}

func TestSubscriptionsCarryTheirBounds(t *testing.T) {
	p := joinedPlay(t).after(time.Second)
	p.client(`{"id":"5","subscribe":{"videoPaused":true,"lastN":3}}`)
	require.Equal(t, subscribeRequest{sfu.Subscription{Wishes: []sfu.Wish{}, VideoPaused: true, LastN: 3}}, p.out.request.do)
}

// However much happens while a Join is under way: the Snapshot that stands for what was too much does not say what stands.
func TestWhatStandsSurvivesACrowdAtTheDoor(t *testing.T) {
	p := attachedPlay(t)
	p.client(join(2)).wantRequest("join 1")
	p.in(speaks("a"))
	for range maxEarly + 1 {
		p.event(1, sfu.PeerLeft{PeerID: "x"})
	}
	p.in(speaks("b"))
	p.in(happened{join: 1, event: sfu.LayersWanted{TrackID: "cam", Encodings: []sfu.EncodingWanted{{RID: "f"}}}})
	p.in(answered{result: sfu.Joined{PeerID: "me", Answer: "v=0\r\n"}}).wantRequest("state")
	p.in(answered{result: sfu.Joined{}}).want(`{"snapshot":{"seq":"1","slots":{},"joined":true}}`,
		`{"seq":"2","speakers":{"speakers":[{"peerId":"b","level":90}]}}`,
		`{"seq":"3","layersWanted":{"trackId":"cam","encodings":[{"rid":"f"}]}}`)
}

func TestWhatStoodAtTheDoorOfAJoinThatFailedIsForgotten(t *testing.T) {
	p := attachedPlay(t)
	p.client(join(2)).wantRequest("join 1")
	p.in(speaks("a"))
	p.in(answered{err: sfu.ErrRoomFull})
	p.client(join(3)).wantRequest("join 2")
	p.in(answered{result: sfu.Joined{PeerID: "me", Answer: "v=0\r\n"}})
	require.Empty(t, p.s.standing.places)
}

func TestWhatIsWantedOfATrackEndsWithIt(t *testing.T) {
	p := joinedPlay(t)
	p.in(speaks("b"))
	for _, track := range []string{"cam", "screen"} {
		p.in(happened{join: 1, event: sfu.LayersWanted{TrackID: track}})
		p.in(happened{join: 1, event: sfu.CodecWanted{TrackID: track, Codec: codec.H264, Wanted: true}})
	}
	p.client(`{"id":"5","unpublish":{"trackIds":["cam","unknown",""]}}`).wantRequest("unpublish cam,unknown,")
	p.in(answered{err: sfu.ErrNotFound})
	require.Len(t, p.s.standing.places, 3)
	p.resume(99).wantRequest("state")
	p.in(answered{result: sfu.Joined{}}).want(`{"id":"9","snapshot":{"seq":"5","slots":{},"joined":true}}`,
		`{"seq":"6","speakers":{"speakers":[{"peerId":"b","level":90}]}}`,
		`{"seq":"7","layersWanted":{"trackId":"screen"}}`,
		`{"seq":"8","codecWanted":{"trackId":"screen","codec":"H264","wanted":true}}`)
}

// A page is not kept, so that it must be given anew to who did not get it, even when answers to later requests were let go.
func TestARosterIsAskedAgain(t *testing.T) {
	p := joinedPlay(t)
	p.client(`{"id":"5","roster":{}}`).wantRequest("roster  0")
	p.client(`{"id":"6","subscribe":{"wishes":[]}}`).want()
	p.client(`{"id":"7","mute":{"trackId":"m"}}`).want()
	p.client(`{"id":"8","publish":{"tracks":[{}]}}`).want(refused(8, "PROTOCOL", "publish.tracks[0].track_id: is missing, choose one"))
	p.in(speaks("b"))
	p.client(`{"id":"9","ack":"1","ping":{}}`) // the client has the answer to 8
	p.lose()
	p.in(answered{result: sfu.RosterPage{Size: 1}}) // to nobody
	p.resume(1)
	p.in(answered{})
	p.in(answered{})
	p.conn = 2
	p.client(`{"id":"5","roster":{}}`).wantRequest("roster  0")
	p.in(answered{result: sfu.RosterPage{Size: 2}}).want(`{"id":"5","rosterPage":{"size":2}}`)
}
