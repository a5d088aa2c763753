package caller

import (
	"encoding/binary"
	"math"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/bench/measure"
	"github.com/tolkyn/tolkyn/bench/source"
	"github.com/tolkyn/tolkyn/sfu/jitter"
)

// speak has bek send so long with a profile in slot 0. lost and copied say what becomes of the i-th packet, from 0: copied ones come
// as a copy before the packet two behind them.
func (s *stage) speak(t *testing.T, profile source.Profile, long time.Duration, lost, copied func(i int) bool) {
	t.Helper()
	clips, err := source.Load()
	require.NoError(t, err)
	s.players["bek microphone"] = clips.Audio(1, profile, source.Sender(2, 0, 0))
	from := Source{Sender: "bek", Track: "microphone", Kind: measure.Audio}
	var sent []*rtp.Packet
	for end := s.at + long; s.at < end; s.at += 10 * time.Millisecond {
		for next := time.Duration(len(sent)) * profile.PacketTime(); next <= s.at; next += profile.PacketTime() {
			sent = append(sent, s.frame("bek microphone", 0)...)
			i := len(sent) - 1
			if i >= 2 && lost(i-2) && copied(i-2) && !lost(i) {
				s.r.handle(s.at, from, sent[i-2], measure.Copied)
			}
			if !lost(i) {
				s.r.handle(s.at, from, sent[i], measure.FirstTry)
			}
		}
		s.r.listen(s.at)
	}
}

func never(int) bool       { return false }
func oneInFive(i int) bool { return i%5 == 3 && i > 50 }

func TestInBandFECIsNotConcealed(t *testing.T) {
	s := newStage(t, 0)
	s.speak(t, source.Robust, 10*time.Second, oneInFive, never)
	got := s.result(t, "bek", measure.Audio)
	require.InDelta(t, 0.18, got.Loss.After, 0.01, "packets are lost all the same")
	require.InDelta(t, 0.15, got.Sound.FEC, 0.02, "but in pauses each has a copy in the next one")
	require.InDelta(t, 0.18, got.Sound.FEC+got.Sound.Concealed, 0.02)
	require.Zero(t, got.Sound.Copied)
}

func TestWhatHasNoFECIsConcealed(t *testing.T) {
	s := newStage(t, 0)
	s.speak(t, source.Voice, 10*time.Second, oneInFive, never)
	got := s.result(t, "bek", measure.Audio)
	require.InDelta(t, 0.18, got.Sound.Concealed, 0.01)
	require.Zero(t, got.Sound.FEC)
}

// A copy out of a later packet is whole: it takes the place of the coarse one that came before.
func TestCopiesAreBetterThanInBandFEC(t *testing.T) {
	s := newStage(t, 0)
	s.speak(t, source.Robust, 10*time.Second, oneInFive, oneInFive)
	got := s.result(t, "bek", measure.Audio)
	require.Less(t, got.Loss.After, 0.005)
	require.InDelta(t, 0.18, got.Loss.Before, 0.01)
	require.InDelta(t, 0.175, got.Sound.Copied, 0.01)
	require.Less(t, got.Sound.FEC, 0.01, "what was played before the better one came")
	require.Less(t, got.Sound.Concealed, 0.005)
	require.Zero(t, got.Wrong, "copies have the stamps of their own packets")
	require.Zero(t, got.Sound.Late)
}

// heardAs plays bek's voice to aru and returns aru's recording.
func heardAs(t *testing.T, long time.Duration, lost, copied func(int) bool) (samples []int16, first time.Duration) {
	t.Helper()
	s := newStage(t, 0)
	s.r.tapes = &recorder{who: "aru"}
	s.speak(t, source.Voice, long, lost, copied)
	all, err := s.r.tapes.recordings()
	require.NoError(t, err)
	require.Len(t, all, 1)
	require.Equal(t, "aru hears bek", all[0].Title)
	require.Equal(t, "audio/wav", all[0].MIME)
	data := all[0].Data
	require.Equal(t, "RIFF", string(data[:4]))
	require.EqualValues(t, len(data)-8, binary.LittleEndian.Uint32(data[4:]))
	require.EqualValues(t, soundRate, binary.LittleEndian.Uint32(data[24:]))
	require.EqualValues(t, len(data)-44, binary.LittleEndian.Uint32(data[40:]))
	for b := data[44:]; len(b) > 0; b = b[2:] {
		samples = append(samples, int16(binary.LittleEndian.Uint16(b)))
	}
	return samples, s.r.tapes.films[0].takes[0].at
}

func TestARecordingIsWhatWasPlayed(t *testing.T) {
	whole, first := heardAs(t, 6*time.Second, never, never)
	require.InDelta(t, (6*time.Second-first).Seconds()*soundRate, len(whole), soundRate/50)
	require.Greater(t, rms(whole), 1000.0, "a voice")
	some := func(i int) bool { return i >= 100 && i < 110 } // 200 ms from 2 s on
	holed, _ := heardAs(t, 6*time.Second, some, never)
	require.Len(t, holed, len(whole))
	repaired, _ := heardAs(t, 6*time.Second, func(i int) bool { return i%5 == 3 }, func(int) bool { return true })
	require.Greater(t, rms(repaired), 0.8*rms(whole))
	// Around 2.1 s there is nothing left of what was made up; a second before and behind, all is as it was.
	at := func(s []int16, from float64) []int16 { return s[int(from*soundRate):int((from+0.05)*soundRate)] }
	require.Zero(t, rms(at(holed, 2.12)))
	require.Equal(t, at(whole, 1), at(holed, 1))
	require.Greater(t, rms(holed[4*soundRate:]), 500.0)
}

func rms(s []int16) float64 {
	sum := 0.0
	for _, v := range s {
		sum += float64(v) * float64(v)
	}
	return math.Sqrt(sum / float64(len(s)))
}

// A pause of the sender is as long in the recording, as far as anybody wants to listen to it.
func TestALongPauseIsCutShort(t *testing.T) {
	f := &film{}
	for _, at := range []time.Duration{0, time.Second, time.Minute} {
		f.takes = append(f.takes, take{at: at, action: jitter.Silence, samples: 480})
	}
	require.Len(t, f.listen(), 3*160+int(0.99*soundRate)+3*soundRate)
}
