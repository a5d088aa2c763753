package client

import (
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/stretchr/testify/require"
)

// TestParityIsOfferedWhereOneReceives: in the m-lines that receive pictures alone, wherever they stand, and once.
func TestParityIsOfferedWhereOneReceives(t *testing.T) {
	offer := "v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=rtpmap:96 VP8/90000\r\na=sendonly\r\n" +
		"m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=rtpmap:96 VP8/90000\r\na=recvonly\r\n" +
		"m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=recvonly\r\n" +
		"m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=recvonly\r\n"
	fec := "a=rtpmap:49 flexfec/90000\r\na=fmtp:49 repair-window=200000\r\n"
	want := "v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=rtpmap:96 VP8/90000\r\na=sendonly\r\n" +
		"m=video 9 UDP/TLS/RTP/SAVPF 96 49\r\na=rtpmap:96 VP8/90000\r\na=recvonly\r\n" + fec +
		"m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=recvonly\r\n" +
		"m=video 9 UDP/TLS/RTP/SAVPF 96 49\r\na=recvonly\r\n" + fec
	y := newParity(true)
	require.Equal(t, want, y.offer(offer))
	require.Equal(t, want, y.offer(want))
	require.Equal(t, offer, newParity(false).offer(offer))
}

// TestAPictureIsAskedForOnceARoundTrip, and not when it has come by RTX; its parity never is.
func TestAPictureIsAskedForOnceARoundTrip(t *testing.T) {
	y := newParity(true)
	y.rtt = func() time.Duration { return 200 * time.Millisecond }
	y.answered("v=0\r\na=ssrc-group:FEC-FR 7 8\r\na=ssrc-group:FEC-FR x 9\r\n")
	s, isRepair := y.of(7)
	require.NotNil(t, s)
	require.False(t, isRepair)
	start := time.Unix(1e9, 0)
	for _, number := range []uint16{65533, 65534, 2} {
		b, err := (&rtp.Packet{Header: rtp.Header{Version: 2, SSRC: 7, SequenceNumber: number}}).Marshal()
		require.NoError(t, err)
		require.True(t, s.take(start, 0, b))
		require.False(t, s.take(start, 0, b), "twice")
	}
	asks := func(ms int, numbers ...uint16) []uint16 {
		nack := &rtcp.TransportLayerNack{MediaSSRC: 7, Nacks: rtcp.NackPairsFromSequenceNumbers(numbers)}
		none := y.lessens(start.Add(time.Duration(ms)*time.Millisecond), nack)
		var left []uint16
		for _, pair := range nack.Nacks {
			left = append(left, pair.PacketList()...)
		}
		require.Equal(t, len(left) == 0, none)
		return left
	}
	require.Equal(t, []uint16{65535, 0}, asks(0, 65535, 0))
	require.Equal(t, []uint16{1}, asks(100, 65535, 0, 1))
	require.True(t, s.came(0), "by RTX")
	require.False(t, s.came(0))
	require.Equal(t, []uint16{65535}, asks(230, 65535, 0, 1))
	require.True(t, y.lessens(start, &rtcp.TransportLayerNack{MediaSSRC: 8, Nacks: rtcp.NackPairsFromSequenceNumbers([]uint16{1})}))
	require.False(t, y.lessens(start, &rtcp.TransportLayerNack{MediaSSRC: 99, Nacks: rtcp.NackPairsFromSequenceNumbers([]uint16{1})}), "a voice's")
}
