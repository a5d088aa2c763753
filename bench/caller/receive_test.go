package caller

import (
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/bench/measure"
	"github.com/tolkyn/tolkyn/bench/scenario"
	"github.com/tolkyn/tolkyn/bench/source"
	"github.com/tolkyn/tolkyn/internal/clip"
)

// stage is one receiver, aru, and what bek and cem send, packet by packet.
type stage struct {
	r       *receiver
	epoch   time.Time
	players map[string]*source.Player
	number  map[int]uint16 // by slot: of sound and picture alike, so that tests give them different ones
	ssrc    uint32
	at      time.Duration
}

// newStage has each come at 0; bek does what more says.
func newStage(t *testing.T, warmup time.Duration, more ...scenario.Event) *stage {
	t.Helper()
	clips, err := source.Load()
	require.NoError(t, err)
	tracks := []scenario.Track{{Media: scenario.Microphone, Profile: scenario.Voice}, {Media: scenario.Camera, Profile: scenario.P180}}
	s := &stage{epoch: time.Unix(1e9, 0), players: map[string]*source.Player{}, number: map[int]uint16{}, ssrc: 7}
	var all []scenario.Caller
	for i, name := range []string{"aru", "bek", "cem"} {
		c := scenario.Caller{
			Number: i + 1, Room: "room", Identity: name, Publish: tracks, AudioSlots: 1, VideoSlots: 1,
			Events: []scenario.Event{{Do: scenario.Join}},
		}
		if name == "bek" {
			c.Events = append(c.Events, more...)
		}
		all = append(all, c)
		s.players[name+" microphone"] = clips.Audio(i, source.Voice, source.Sender(i+1, 0, 0))
		s.players[name+" camera"] = clips.Video(i, source.Low, source.Sender(i+1, 1, 0))
	}
	cast := newCast(all, nil)
	s.r = newReceiver(cast.byNumber[1], cast, s.epoch, warmup, func(int) {})
	return s
}

// sends has somebody send a track in a slot from now on for so long, and the receiver play. change may edit or take away each packet.
func (s *stage) sends(who string, kind measure.Kind, slot int, long time.Duration, change func(i int, p *rtp.Packet) bool) {
	track, every := "microphone", 20*time.Millisecond
	if kind == measure.Video {
		track, every = "camera", time.Second/30
	}
	from := Source{Slot: slot, Sender: who, Track: track, Kind: kind}
	next, sent := s.at, 0
	for end := s.at + long; s.at < end; s.at += 10 * time.Millisecond {
		for ; next <= s.at; next += every {
			for _, p := range s.frame(who+" "+track, slot) {
				if sent++; change == nil || change(sent, p) {
					s.r.handle(s.at, from, p, measure.FirstTry)
				}
			}
		}
		s.r.listen(s.at)
	}
}

func (s *stage) frame(track string, slot int) []*rtp.Packet {
	player := s.players[track]
	f, err := player.Take(nil, player.Due(), s.epoch.Add(s.at).UnixMicro())
	if err != nil {
		panic(err)
	}
	parts := [][]byte{f.Data}
	if track[len(track)-6:] == "camera" {
		parts = clip.PacketizeVP8(f.Data, uint16(f.Stamp.Frame))
	}
	var packets []*rtp.Packet
	for i, part := range parts {
		s.number[slot]++
		packets = append(packets, &rtp.Packet{
			Header: rtp.Header{
				Version: 2, SSRC: s.ssrc, SequenceNumber: s.number[slot], Timestamp: f.Timestamp, Marker: i == len(parts)-1,
			},
			Payload: part,
		})
	}
	return packets
}

func (s *stage) result(t *testing.T, sender string, kind measure.Kind) measure.Stream {
	t.Helper()
	var all measure.Totals
	s.r.results(s.at, &all)
	for _, one := range all.Streams {
		if one.Sender == sender && one.Kind == kind {
			return one
		}
	}
	require.Fail(t, "no such stream")
	return measure.Stream{}
}

// A slot has one sequence of numbers, whoever speaks: those of others are nobody's loss.
func TestASlotThatChangesHandsLosesNothing(t *testing.T) {
	s := newStage(t, 0)
	for range 3 {
		s.sends("bek", measure.Audio, 0, time.Second, nil)
		s.sends("cem", measure.Audio, 0, time.Second, nil)
	}
	for _, who := range []string{"bek", "cem"} {
		got := s.result(t, who, measure.Audio)
		require.EqualValues(t, 150, got.Packets)
		require.Equal(t, measure.Loss{Expected: 150}, got.Loss)
		require.Zero(t, got.Wrong)
	}
}

// Whose picture gives its place to another's is not frozen meanwhile, nor measured.
func TestAPictureWhosePlaceIsAnothersIsNotFrozen(t *testing.T) {
	s := newStage(t, 0)
	s.sends("bek", measure.Video, 0, 2*time.Second, nil)
	for range 2 {
		s.players["cem camera"].Request(0)
		s.sends("cem", measure.Video, 0, 3*time.Second, nil)
		s.players["bek camera"].Request(0)
		s.sends("bek", measure.Video, 0, 2*time.Second, nil)
	}
	for who, seconds := range map[string]float64{"bek": 6, "cem": 6} {
		got := s.result(t, who, measure.Video)
		require.Zero(t, got.Picture.Freezes, who)
		require.InDelta(t, 30*seconds, got.Picture.Frames, 1)
		require.InDelta(t, seconds, got.Seconds, 0.1)
		require.Zero(t, got.Loss.Before)
	}
}

// What is under way when somebody leaves arrives after that, and nothing has to follow it.
func TestWhoHasLeftIsNotFrozen(t *testing.T) {
	s := newStage(t, 0, scenario.Event{At: 2 * time.Second, Do: scenario.Leave}, scenario.Event{At: 5 * time.Second, Do: scenario.Rejoin})
	s.sends("bek", measure.Video, 0, 2*time.Second+100*time.Millisecond, nil)
	s.sends("cem", measure.Audio, 1, 3*time.Second, nil)
	s.sends("bek", measure.Video, 0, time.Second, nil)
	got := s.result(t, "bek", measure.Video)
	require.Zero(t, got.Picture.Freezes)
	require.InDelta(t, 3, got.Seconds, 0.1)
	require.InDelta(t, 30, got.Picture.FPS, 1)
}

// What comes late over the end of the warm-up is not measured: its neighbours were not.
func TestTheWarmUpEndsWithoutLoss(t *testing.T) {
	s := newStage(t, time.Second)
	var late *rtp.Packet
	s.sends("bek", measure.Audio, 0, 2*time.Second, func(i int, p *rtp.Packet) bool {
		if i == 45 {
			late = p
		}
		if i == 55 {
			s.r.handle(s.at, Source{Sender: "bek", Track: "microphone", Kind: measure.Audio}, late, measure.Resent)
		}
		return i != 45
	})
	require.Equal(t, measure.Loss{Expected: 50}, s.result(t, "bek", measure.Audio).Loss)
}

// Another connection has other numbers, and so has what comes under another SSRC.
func TestNumbersThatBeginAnewLoseNothing(t *testing.T) {
	for name, again := range map[string]func(s *stage){
		"SSRC":       func(s *stage) { s.ssrc++ },
		"connection": func(s *stage) { s.r.comeAgain() },
	} {
		s := newStage(t, 0)
		s.sends("bek", measure.Audio, 0, time.Second, nil)
		again(s)
		s.number[0] += 9000 // as large a jump as could be a loss
		s.sends("bek", measure.Audio, 0, time.Second, nil)
		got := s.result(t, "bek", measure.Audio)
		require.Equal(t, measure.Loss{Expected: 100}, got.Loss, name)
	}
}

// Servers without slots give a track that comes again another number: the old one is silent, which is nobody's silence.
func TestAnOldSlotIsNotHeard(t *testing.T) {
	s := newStage(t, 0)
	s.sends("bek", measure.Audio, 0, time.Second, nil)
	s.ssrc++
	s.sends("bek", measure.Audio, 1, 15*time.Second, nil)
	got := s.result(t, "bek", measure.Audio)
	require.Zero(t, got.Loss.Before)
	require.Less(t, got.Sound.Concealed, 0.005)
	require.Len(t, s.r.slots, 1, "the old one is forgotten")
}
