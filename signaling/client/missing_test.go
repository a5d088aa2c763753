package client

import (
	"slices"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/codec"
)

// voicePacket is the n-th of a voice of 20 ms a packet, with copies of those that lie so many packets before it.
func voicePacket(t *testing.T, n int, copies ...int) *rtp.Packet {
	t.Helper()
	p := &rtp.Packet{
		Header: rtp.Header{Version: 2, PayloadType: payloadOpus, SequenceNumber: uint16(65530 + n), Timestamp: uint32(n * 960), SSRC: 7},
	}
	p.Payload = []byte{0x48, byte(n)}
	if len(copies) > 0 {
		var blocks []codec.REDBlock
		for _, back := range copies {
			blocks = append(blocks, codec.REDBlock{PayloadType: payloadOpus, Offset: uint16(back * 960), Data: []byte{0x48}})
		}
		var ok bool
		p.Payload, ok = codec.AppendRED(nil, append(blocks, codec.REDBlock{PayloadType: payloadOpus, Data: p.Payload}))
		require.True(t, ok)
		p.PayloadType = payloadRED
	}
	return p
}

// holesOf are the places in the stream that are asked for at a moment.
func holesOf(s *voiceHoles, at time.Time, rtt time.Duration) []int {
	var all []int
	for _, n := range s.due(at, rtt) {
		all = append(all, int(n-65530))
	}
	slices.Sort(all)
	return all
}

func TestAHoleIsAskedForOnceARoundTrip(t *testing.T) {
	start := time.Unix(1e9, 0)
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	const rtt = 100 * time.Millisecond
	s := &voiceHoles{ssrc: 7}
	for n := range 5 {
		require.False(t, s.take(at(20*n), voicePacket(t, n)))
	}
	require.Empty(t, holesOf(s, at(90), rtt))
	s.take(at(140), voicePacket(t, 7)) // 5 and 6, over the wrap of the numbers
	require.Empty(t, holesOf(s, at(145), rtt), "they may be overtaken only")
	require.Equal(t, []int{5, 6}, holesOf(s, at(150), rtt))
	require.Empty(t, holesOf(s, at(250), rtt), "an answer may be under way")
	require.True(t, s.take(at(260), voicePacket(t, 5)), "it had been asked for")
	require.False(t, s.take(at(261), voicePacket(t, 5)), "once")
	require.Equal(t, []int{6}, holesOf(s, at(300), rtt))
	require.Empty(t, holesOf(s, at(541), rtt), "nobody waits for it any more")
	require.Empty(t, s.holes)
}

func TestWhatTheServerMissesTooIsAskedForSeldom(t *testing.T) {
	now := time.Unix(1e9, 0)
	s := &voiceHoles{ssrc: 7}
	s.take(now, voicePacket(t, 0))
	s.take(now, voicePacket(t, 2))
	times := 0
	for ms := range 500 {
		times += len(s.due(now.Add(time.Duration(ms)*time.Millisecond), time.Millisecond))
	}
	require.Equal(t, 4, times)
}

func TestWhichAnswersTakeNACKs(t *testing.T) {
	line := func(media, direction, feedback string) string {
		return "v=0\r\nm=" + media + " 9 UDP/TLS/RTP/SAVPF 111\r\na=rtcp-fb:111 " + feedback + "\r\na=" + direction + "\r\n"
	}
	require.True(t, answersNACK(line("audio", "recvonly", "nack")+line("audio", "sendonly", "nack")[len("v=0\r\n"):]))
	require.False(t, answersNACK(line("audio", "recvonly", "nack")), "what we send")
	require.False(t, answersNACK(line("audio", "sendonly", "nack pli")))
	require.False(t, answersNACK(line("video", "sendonly", "nack")))
	require.False(t, answersNACK(""))
}

func TestWhatACopyBroughtIsNotAskedFor(t *testing.T) {
	now := time.Unix(1e9, 0)
	s := &voiceHoles{ssrc: 7}
	s.take(now, voicePacket(t, 0))
	s.take(now, voicePacket(t, 1))
	s.take(now, voicePacket(t, 5, 2, 1)) // 2 to 4 are missing; it has copies of 3 and 4
	require.Equal(t, []int{2}, holesOf(s, now.Add(reorderGrace), 0))
	require.False(t, s.take(now, voicePacket(t, 3)), "late, and nobody asked")
}

func TestAnOutageIsNotAskedForWhole(t *testing.T) {
	now := time.Unix(1e9, 0)
	s := &voiceHoles{ssrc: 7}
	s.take(now, voicePacket(t, 0))
	s.take(now, voicePacket(t, 500))
	got := holesOf(s, now.Add(reorderGrace), 300*time.Millisecond)
	require.Len(t, got, 20, "400 ms")
	require.Equal(t, 499, got[len(got)-1])
	s.take(now, voicePacket(t, 1000))
	require.Len(t, s.holes, mostMissing, "750 ms on so long a way would be more")
	s.take(now, voicePacket(t, 9000)) // no loss: it begins anew
	require.Empty(t, s.holes)
}
