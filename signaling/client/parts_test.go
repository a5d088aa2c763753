package client

import (
	"net/url"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
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
