package client

import (
	"context"
	"fmt"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tolkyn/tolkyn/signaling/wire"
)

func TestASlowReaderLearnsHowMuchItMissed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newMailbox()
		put, read, missed := 0, 0, 0
		see := func(e Event) {
			switch e := e.(type) {
			case SlotsChanged:
				read++
			case Missed:
				missed += e.Count
			}
		}
		for range rapid.IntRange(1, 10).Draw(t, "rounds") {
			for range rapid.IntRange(0, 2*maxEvents).Draw(t, "put") {
				b.put(SlotsChanged{})
				put++
			}
			for range rapid.IntRange(0, len(b.events)).Draw(t, "read") {
				see(<-b.events)
			}
		}
		b.end(Ended{}) // never blocks
		var last Event
		for e := range b.events {
			see(e)
			last = e
		}
		require.Equal(t, Ended{}, last)
		require.Equal(t, put, read+missed)
	})
}

// sent keeps the sequence numbers that pass.
type sent struct{ numbers []uint16 }

func (s *sent) WriteRTP(h *rtp.Header, _ []byte) (int, error) {
	s.numbers = append(s.numbers, h.SequenceNumber)
	return h.MarshalSize() + 1, nil
}

func (s *sent) Write([]byte) (int, error) { return 0, nil }

func TestSilenceDoesNotLookLikeLoss(t *testing.T) {
	var out sent
	w := gatedWriter{&out, &gate{}}
	for i := range uint16(9) {
		w.gate.set(muted, i >= 3 && i < 6)
		p := rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: 65532 + i}, Payload: []byte{1}}
		if i%2 == 0 {
			_, err := w.WriteRTP(&p.Header, p.Payload)
			require.NoError(t, err)
		} else {
			b, err := p.Marshal()
			require.NoError(t, err)
			_, err = w.Write(b)
			require.NoError(t, err)
		}
		require.Equal(t, 65532+i, p.SequenceNumber, "the writer's own packet stays as it was")
	}
	require.Equal(t, []uint16{65532, 65533, 65534, 65535, 0, 1}, out.numbers)
	require.Equal(t, PublishedStats{Packets: 6, Bytes: 6 * 13}, w.gate.stats)
}

// What is not wanted stays held back when it is unmuted, and the other way round.
func TestAGateOpensWhenNoReasonIsLeft(t *testing.T) {
	var out sent
	w := gatedWriter{&out, &gate{}}
	write := func() int {
		before := len(out.numbers)
		_, err := w.WriteRTP(&rtp.Header{Version: 2}, []byte{1})
		require.NoError(t, err)
		return len(out.numbers) - before
	}
	w.gate.set(muted, true)
	w.gate.set(unwanted, true)
	w.gate.set(muted, false)
	require.Zero(t, write())
	w.gate.set(unwanted, false)
	require.Equal(t, 1, write())
	w.gate.set(refused, true)
	require.Zero(t, write())
}

// kept is the writer under names.
type kept struct{ headers []rtp.Header }

func (k *kept) Write(h *rtp.Header, _ []byte, _ interceptor.Attributes) (int, error) {
	k.headers = append(k.headers, *h)
	return 1, nil
}

// A packet carries its names until a report shows that they are known; what is sent again always says whose repair it is.
func TestPacketsOfASimulcastAreNamed(t *testing.T) {
	n := &names{bySSRC: map[uint32]*name{7: {mid: "1", rid: "q", midID: 3, ridID: 4, repairedID: 5}}}
	var k kept
	w := n.BindLocalStream(&interceptor.StreamInfo{SSRC: 7, SSRCRetransmission: 8}, &k)
	write := func(ssrc uint32) (mid, rid, repaired string) {
		h := &rtp.Header{Version: 2, SSRC: ssrc}
		_, err := w.Write(h, nil, nil)
		require.NoError(t, err)
		require.False(t, h.Extension, "the writer's own stays as it was")
		out := k.headers[len(k.headers)-1]
		return string(out.GetExtension(3)), string(out.GetExtension(4)), string(out.GetExtension(5))
	}
	check := func(ssrc uint32, wantMID, wantRID, wantRepaired string) {
		t.Helper()
		mid, rid, repaired := write(ssrc)
		require.Equal(t, []string{wantMID, wantRID, wantRepaired}, []string{mid, rid, repaired})
	}
	check(7, "1", "q", "")
	check(8, "1", "", "q")
	n.reported(9)
	check(7, "1", "q", "")
	n.reported(7)
	check(7, "", "", "")
	check(8, "1", "", "q")
	require.Equal(t, interceptor.RTPWriter(&k), n.BindLocalStream(&interceptor.StreamInfo{SSRC: 9}, &k), "not of a simulcast")
}

// Sound that may be asked for again has no transport-wide number, which would be another one then; pictures have RTX.
func TestSoundThatIsSentAgainIsNotNumbered(t *testing.T) {
	number := []interceptor.RTPHeaderExtension{{URI: "urn:ietf:params:rtp-hdrext:sdes:mid", ID: 1}, {URI: "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01", ID: 2}}
	for _, test := range []struct {
		mime     string
		feedback string
		left     int
	}{{"audio/opus", "nack", 1}, {"audio/opus", "transport-cc", 2}, {"video/VP8", "nack", 2}} {
		info := &interceptor.StreamInfo{MimeType: test.mime, RTCPFeedback: []interceptor.RTCPFeedback{{Type: test.feedback}}, RTPHeaderExtensions: number}
		n := &names{bySSRC: map[uint32]*name{}}
		n.BindLocalStream(info, &kept{})
		require.Len(t, info.RTPHeaderExtensions, test.left, test.mime)
		require.Len(t, number, 2)
	}
}

func TestWhichEncodingsAnAnswerTakes(t *testing.T) {
	p, err := newPublication(LocalTrack{Encodings: []Encoding{{RID: "q", Track: picture(t)}, {RID: "h", Track: picture(t)}, {RID: "f", Track: picture(t)}}})
	require.NoError(t, err)
	p.transceiver = &webrtc.RTPTransceiver{}
	require.NoError(t, p.transceiver.SetMid("1"))
	open := func() (rids string) {
		for _, g := range p.gates {
			if g.shut == 0 {
				rids += g.rid
			}
		}
		return rids
	}
	for answer, want := range map[string]string{
		"a=mid:0\r\na=simulcast:recv q\r\na=mid:1\r\na=simulcast:recv q;h\r\n": "qh",
		"a=mid:1\r\na=rid:f recv\r\na=simulcast:recv f\r\n":                    "f",
		"a=mid:0\r\na=simulcast:recv q;h;f\r\na=mid:1\r\n":                     "q",
		"a=mid:1\na=simulcast:recv q;h;f\n":                                    "qhf",
	} {
		p.admit(taken(answer))
		require.Equal(t, want, open(), answer)
	}
}

func picture(t *testing.T) webrtc.TrackLocal {
	track, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8}, "cam", "me")
	require.NoError(t, err)
	return track
}

func TestTracksThatCannotBePublished(t *testing.T) {
	other, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP9}, "cam", "me")
	require.NoError(t, err)
	sound, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}, "mic", "me")
	require.NoError(t, err)
	for says, l := range map[string]LocalTrack{
		"Track is required": {},
		"one of them":       {Track: picture(t), Encodings: []Encoding{{RID: "q", Track: picture(t)}}},
		"has one alone":     {Encodings: []Encoding{{RID: "q", Track: picture(t)}}},
		"two Encodings":     {Encodings: []Encoding{{RID: "q", Track: picture(t)}, {RID: "q", Track: picture(t)}}},
		"letters":           {Encodings: []Encoding{{RID: "q", Track: picture(t)}, {RID: "q.1", Track: picture(t)}}},
		"1 to 16":           {Encodings: []Encoding{{RID: "12345678901234567", Track: picture(t)}, {RID: "q", Track: picture(t)}}},
		"another codec":     {Encodings: []Encoding{{RID: "q", Track: picture(t)}, {RID: "h", Track: other}}},
		"to be a video":     {Encodings: []Encoding{{RID: "q", Track: sound}, {RID: "h", Track: sound}}},
		"RID \"h\" has":     {Encodings: []Encoding{{RID: "q", Track: picture(t)}, {RID: "h"}}},
	} {
		_, err := newPublication(l)
		require.ErrorContains(t, err, says)
	}
}

// Of a large room as many are known as the server tells of; those who are seen stay.
func TestALargeRoomIsKnownInPart(t *testing.T) {
	r := &Room{id: "me", participants: map[string]*Participant{}, mailbox: newMailbox(), slots: []*Slot{{mid: "1"}}}
	peer := func(i int) *wire.Peer { return &wire.Peer{PeerId: fmt.Sprint(i), Name: fmt.Sprint(i)} }
	var first []*wire.Peer
	for i := range 64 {
		first = append(first, peer(i))
	}
	r.setParticipants(first, 1000)
	require.Equal(t, 1000, r.Size())
	r.setSlots(&wire.SlotMap{Slots: []*wire.Slot{{Mid: "1", PeerId: "500", TrackId: "cam"}}, Peers: []*wire.Peer{peer(500)}})
	for i := 64; i < 400; i++ {
		r.learn(peer(i))
		require.LessOrEqual(t, len(r.order), mostKnown)
		require.Len(t, r.participants, len(r.order))
		require.Len(t, r.recent, len(r.order))
	}
	require.Contains(t, r.participants, "500")
	require.Contains(t, r.participants, "399")
	require.NotContains(t, r.participants, "0")
	for len(r.mailbox.events) > 0 {
		<-r.mailbox.events
	}
	update := func(m *wire.ServerFrame) []Event {
		require.Nil(t, r.take(m))
		var out []Event
		for len(r.mailbox.events) > 0 {
			out = append(out, <-r.mailbox.events)
		}
		return out
	}
	require.Equal(t, []Event{RosterChanged{999}}, update(&wire.ServerFrame{Message: &wire.ServerFrame_RosterUpdate{RosterUpdate: &wire.RosterUpdate{Size: 999}}}))
	require.Equal(t, []Event{ParticipantLeft{Participant{ID: "399", Name: "399"}}}, update(&wire.ServerFrame{Message: &wire.ServerFrame_PeerUpdate{
		PeerUpdate: &wire.PeerUpdate{Change: wire.PeerUpdate_LEFT, Peer: peer(399)},
	}}))
	require.Equal(t, 999, r.Size(), "of a large room RosterUpdate tells")
	require.Equal(t, []Event{CodecWanted{"cam", webrtc.MimeTypeH264, true}}, update(&wire.ServerFrame{Message: &wire.ServerFrame_CodecWanted{
		CodecWanted: &wire.CodecWanted{TrackId: "cam", Codec: "h264", Wanted: true},
	}}))
}

func TestBackoffStaysUnderItsCap(t *testing.T) {
	var b backoff
	for i := range 100 {
		limit := backoffCap
		if i < 5 {
			limit = backoffBase << i
		}
		require.Less(t, b.next(), limit)
	}
}

func TestServerAddresses(t *testing.T) {
	for in, want := range map[string]string{
		"https://a.example": "wss://a.example/v1/ws", "http://a.example:8080/": "ws://a.example:8080/v1/ws",
		"wss://a.example/other": "wss://a.example/other", "ws://[::1]": "ws://[::1]/v1/ws",
	} {
		u, err := socketURL(in)
		require.NoError(t, err)
		require.Equal(t, want, u.String())
	}
	for _, bad := range []string{"", "a.example", "ftp://a.example", "http://%zz"} {
		_, err := socketURL(bad)
		require.Error(t, err, bad)
	}
	for host, near := range map[string]bool{"localhost": true, "127.0.0.2": true, "[::1]": true, "10.0.0.1": false, "a.example": false} {
		require.Equal(t, near, onLoopback(&url.URL{Host: host}), host)
	}
}

func TestStatesHaveNames(t *testing.T) {
	require.Equal(t, "connecting connected reconnecting closed",
		Connecting.String()+" "+Connected.String()+" "+Reconnecting.String()+" "+Closed.String())
}

// TestTheRoundTripIsReadFromReports: our report of 10:00:00.25, answered there after half a second, is back at 10:00:00.79.
func TestTheRoundTripIsReadFromReports(t *testing.T) {
	sent := time.Date(2026, 1, 2, 10, 0, 0, int(250*time.Millisecond), time.UTC)
	middle := uint32(sent.Unix()+2208988800)<<16 | 1<<14
	report := rtcp.ReceptionReport{LastSenderReport: middle, Delay: 1 << 15}
	rtt, ok := roundTrip(sent.Add(540*time.Millisecond), report)
	require.True(t, ok)
	require.InDelta(t, 0.040, rtt.Seconds(), 2./65536)
	for late, ok := range map[time.Duration]bool{0: false, 500 * time.Millisecond: true, time.Hour: false} {
		_, got := roundTrip(sent.Add(late), report)
		require.Equal(t, ok, got, late)
	}
	_, ok = roundTrip(sent, rtcp.ReceptionReport{})
	require.False(t, ok, "answers no report")
}

// asked is a track that tells when somebody looks at it for the first time.
type asked struct {
	webrtc.TrackLocal

	once   sync.Once
	looked chan struct{}
}

func (a *asked) Kind() webrtc.RTPCodecType {
	a.once.Do(func() { close(a.looked) })
	return a.TrackLocal.Kind()
}

// The answer to a Publish may come after the server's word on the layers: over a connection that broke, what stands comes first.
func TestLayersOfATrackThatIsBeingPublished(t *testing.T) {
	s := &session{pending: map[uint64]*request{}}
	r := &Room{session: s, ctx: context.Background(), turn: make(chan struct{}, 1), mailbox: newMailbox()}
	r.turn <- struct{}{}
	var err error
	r.media, err = newMedia(&Client{session: s}, false, func(*media, webrtc.ICEConnectionState) {}, nil)
	require.NoError(t, err)
	defer r.media.close()
	track := &asked{TrackLocal: picture(t), looked: make(chan struct{})}
	var wanted []EncodingWanted
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error)
	go func() {
		result <- r.Publish(ctx, LocalTrack{Track: track, OnLayersWanted: func(all []EncodingWanted) { wanted = all }})
	}()
	<-track.looked
	r.handle(wire.Event(&wire.ServerFrame_LayersWanted{LayersWanted: &wire.LayersWanted{
		TrackId: "cam", Encodings: []*wire.EncodingWanted{{}},
	}}))
	cancel()
	require.ErrorIs(t, <-result, context.Canceled)
	require.Equal(t, []EncodingWanted{{}}, wanted)
	require.Empty(t, r.published, "it is not")
}

// Of a track that a server knows anew all is wanted, and nobody says so.
func TestAllOfATrackIsWantedByWhoKnowsItAnew(t *testing.T) {
	var told [][]EncodingWanted
	p, err := newPublication(LocalTrack{
		Encodings:      []Encoding{{RID: "q", Track: picture(t)}, {RID: "f", Track: picture(t)}},
		OnLayersWanted: func(all []EncodingWanted) { told = append(told, all) },
	})
	require.NoError(t, err)
	require.Nil(t, p.allWanted(), "nothing else was said")
	p.layersWanted(&wire.LayersWanted{Encodings: []*wire.EncodingWanted{{Rid: "q", Wanted: true}, {Rid: "f"}}})()
	require.Equal(t, []reasons{0, unwanted}, []reasons{p.gates[0].shut, p.gates[1].shut})
	p.allWanted()()
	require.Equal(t, []reasons{0, 0}, []reasons{p.gates[0].shut, p.gates[1].shut})
	require.Nil(t, p.allWanted())
	require.Equal(t, [][]EncodingWanted{
		{{RID: "q", Wanted: true}, {RID: "f"}},
		{{RID: "q", Wanted: true, Spatial: 255, Temporal: 255}, {RID: "f", Wanted: true, Spatial: 255, Temporal: 255}},
	}, told)
	// A server that takes no simulcast names none.
	p.layersWanted(&wire.LayersWanted{Encodings: []*wire.EncodingWanted{{}}})
	require.Equal(t, unwanted, p.gates[0].shut)
}

// The server's own request is a packet of media and may come before the word that an encoding is wanted again: what it brought was
// held back. So a picture is asked for with that word, of an encoding that goes out from then on.
func TestWhatIsWantedAgainIsAskedForAPicture(t *testing.T) {
	var did []string
	encoding := func(rid string) Encoding {
		return Encoding{RID: rid, Track: picture(t), OnKeyframeRequest: func() { did = append(did, rid) }}
	}
	p, err := newPublication(LocalTrack{
		Encodings:      []Encoding{encoding("q"), encoding("f")},
		OnLayersWanted: func([]EncodingWanted) { did = append(did, "told") },
	})
	require.NoError(t, err)
	say := func(q, f bool) []string {
		did = nil
		p.layersWanted(&wire.LayersWanted{Encodings: []*wire.EncodingWanted{{Rid: "q", Wanted: q}, {Rid: "f", Wanted: f}}})()
		return did
	}
	require.Equal(t, []string{"told"}, say(true, false))
	require.Equal(t, []string{"told", "f"}, say(true, true))
	require.Equal(t, []string{"told"}, say(false, true))
	require.Equal(t, []string{"told", "q"}, say(true, false))
	p.gates[1].set(starved, true)
	require.Equal(t, []string{"told"}, say(true, true), "our uplink does not carry it: it is asked for when it does")
}

func TestNamesOfWhatIsSentNoMoreAreForgotten(t *testing.T) {
	n := &names{bySSRC: map[uint32]*name{1: {}, 2: {}}}
	n.UnbindLocalStream(&interceptor.StreamInfo{SSRC: 1})
	require.Len(t, n.bySSRC, 1)
	require.NotNil(t, n.bySSRC[2])
}

// What comes by RTX is of the codec whose RTX it is, whatever the track holds now.
func TestWhatIsRepairedKeepsItsCodec(t *testing.T) {
	for _, c := range pictureCodecs() {
		require.Equal(t, c.mime, mimeOf(repairs(uint8(c.payloadType)+1, 0)))
	}
	require.Equal(t, uint8(5), repairs(111, 5), "Opus has no RTX")
}

// Who returns is told its target first, and asked for a keyframe then; who changes by little is told nothing.
func TestWhoReturnsIsToldAndAsked(t *testing.T) {
	var heard []string
	p, err := newPublication(LocalTrack{
		OnTargetBitrate: func(all []TargetBitrate) { heard = append(heard, fmt.Sprint("targets ", all)) },
		Encodings: []Encoding{
			{RID: "q", Track: picture(t), OnKeyframeRequest: func() { heard = append(heard, "q") }},
			{RID: "f", Track: picture(t), OnKeyframeRequest: func() { heard = append(heard, "f") }},
		},
	})
	require.NoError(t, err)
	apply := func() {
		heard = nil
		for _, f := range p.apply() {
			f()
		}
	}
	p.gates[0].share.target, p.gates[1].share.paused = 100_000, true
	apply()
	require.Equal(t, []string{"targets [{q 100000 false} {f 0 true}]"}, heard)
	require.Equal(t, starved, p.gates[1].shut)
	p.gates[0].share.target = 104_000
	apply()
	require.Empty(t, heard)
	p.gates[1].share = share{target: 500_000, resuming: true}
	apply()
	require.Equal(t, []string{"targets [{q 104000 false} {f 500000 false}]", "f"}, heard)
	require.Zero(t, p.gates[1].shut)
}
