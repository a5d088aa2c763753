package client

import (
	"testing"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/codec"
)

// saved is what leaves of a voice.
type saved struct {
	*protect

	write interceptor.RTPWriter
	left  []rtp.Packet
	said  int
}

func newSaved(red, tcp bool) *saved {
	s := &saved{protect: newProtect()}
	s.overTCP = func() bool { return tcp }
	s.answered.Store(red)
	s.write = s.BindLocalStream(&interceptor.StreamInfo{SSRC: 7, MimeType: webrtc.MimeTypeOpus}, interceptor.RTPWriterFunc(
		func(h *rtp.Header, payload []byte, _ interceptor.Attributes) (int, error) {
			s.left = append(s.left, rtp.Packet{Header: *h, Payload: append([]byte(nil), payload...)})
			return len(payload), nil
		}))
	return s
}

// say has n packets of two frames of 60 ms leave, of so many bytes, and returns how many copies the last one has.
func (s *saved) say(t *testing.T, n, size int) int {
	for range n {
		payload := append([]byte{3<<3 | 1, byte(s.said)}, make([]byte, size-2)...)
		h := rtp.Header{Version: 2, SSRC: 7, PayloadType: payloadOpus, SequenceNumber: uint16(s.said), Timestamp: uint32(s.said * 5760)}
		s.said++
		_, err := s.write.Write(&h, payload, nil)
		require.NoError(t, err)
		require.EqualValues(t, payloadOpus, h.PayloadType, "the caller's own")
	}
	last := s.left[len(s.left)-1]
	require.EqualValues(t, s.said-1, last.SequenceNumber)
	if last.PayloadType == payloadOpus {
		return 0
	}
	blocks, count, ok := codec.ReadRED(last.Payload)
	require.True(t, ok)
	for i, b := range blocks[:count] {
		back := count - 1 - i
		require.EqualValues(t, 5760*back, b.Offset)
		require.Equal(t, byte(s.said-1-back), b.Data[1])
		require.Len(t, b.Data, size)
	}
	return count - 1
}

func TestAVoiceThatSavesBringsCopiesWhereTheyCostLittle(t *testing.T) {
	for _, c := range []struct {
		name           string
		size           int
		red, tcp       bool
		first, begins  int
		afterTheyCount int
	}{
		{"5 kbit/s", 73, true, false, 0, 1, 2},
		{"8 kbit/s", 123, true, false, 0, 1, 1},
		{"16 kbit/s", 241, true, false, 0, 0, 0},
		{"a server without RED", 93, false, false, 0, 0, 0},
		{"TCP repeats what is lost", 93, true, true, 0, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSaved(c.red, c.tcp)
			require.Equal(t, c.first, s.say(t, 1, c.size))
			require.Equal(t, c.begins, s.say(t, 1, c.size))
			require.Equal(t, c.begins, s.say(t, protectSoon-2, c.size))
			require.Equal(t, c.afterTheyCount, s.say(t, 1, c.size))
		})
	}
}

func TestCopiesEndWithLoss(t *testing.T) {
	s := newSaved(true, false)
	report := func(lost uint8) {
		b, err := rtcp.Marshal([]rtcp.Packet{&rtcp.ReceiverReport{Reports: []rtcp.ReceptionReport{{SSRC: 7, FractionLost: lost}, {SSRC: 8, FractionLost: 99}}}})
		require.NoError(t, err)
		read := s.BindRTCPReader(interceptor.RTCPReaderFunc(func(to []byte, _ interceptor.Attributes) (int, interceptor.Attributes, error) {
			return copy(to, b), nil, nil
		}))
		_, _, err = read.Read(make([]byte, 1500), nil)
		require.NoError(t, err)
	}
	s.say(t, protectSoon+1, 73)
	for range calmReports - 1 {
		report(0)
		require.Equal(t, protectCopies, s.say(t, 1, 73))
	}
	report(0)
	require.Zero(t, s.say(t, 1, 73))
	report(calmLoss)
	require.Equal(t, protectCopies, s.say(t, 1, 73))
	s.UnbindLocalStream(&interceptor.StreamInfo{SSRC: 7})
	require.Empty(t, s.calm)
}

func TestWhichAnswersTakeRED(t *testing.T) {
	line := func(direction, codec string) string {
		return "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111 63\r\na=rtpmap:63 " + codec + "\r\na=" + direction + "\r\n"
	}
	require.True(t, takesRED(line("recvonly", "red/48000/2")))
	require.False(t, takesRED(line("sendonly", "red/48000/2")), "what it sends")
	require.False(t, takesRED(line("recvonly", "opus/48000/2")))
	require.False(t, takesRED(""))
}
