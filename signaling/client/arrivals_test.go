package client

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"
	"github.com/stretchr/testify/require"
)

// feedbackLog notes feedback.
type feedbackLog struct {
	mu       sync.Mutex
	at       []time.Time
	received int
}

func (l *feedbackLog) Write(packets []rtcp.Packet, _ interceptor.Attributes) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at = append(l.at, time.Now())
	for _, p := range packets {
		l.received += len(p.(*rtcp.TransportLayerCC).RecvDeltas)
	}
	return 0, nil
}

func (l *feedbackLog) take() (messages, received int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	messages, received = len(l.at), l.received
	l.at, l.received = nil, 0
	return messages, received
}

// Feedback takes a twentieth of what comes, every 50 to 250 ms, tells of each packet once, and stops when nothing comes.
func TestFeedbackFollowsTheRate(t *testing.T) {
	for _, test := range []struct {
		bitrate int
		every   time.Duration
	}{{24_000, 250 * time.Millisecond}, {100_000, 108800 * time.Microsecond}, {2_000_000, 50 * time.Millisecond}} {
		synctest.Test(t, func(t *testing.T) {
			a, log := newArrivals(), &feedbackLog{}
			a.BindRTCPWriter(log)
			number := uint16(65_000) // it wraps
			reader := a.BindRemoteStream(&interceptor.StreamInfo{
				SSRC: 1, RTPHeaderExtensions: []interceptor.RTPHeaderExtension{{URI: sdp.TransportCCURI, ID: 3}},
			}, interceptor.RTPReaderFunc(func(b []byte, at interceptor.Attributes) (int, interceptor.Attributes, error) {
				p := rtp.Packet{Header: rtp.Header{Version: 2, SSRC: 1}, Payload: make([]byte, 100-20)}
				require.NoError(t, p.SetExtension(3, []byte{byte(number >> 8), byte(number)}))
				number++
				n, err := p.MarshalTo(b)
				return n, at, err
			}))
			sent := 0
			receive := func(d time.Duration) {
				for begin := time.Now(); time.Since(begin) < d; time.Sleep(time.Duration(100*8) * time.Second / time.Duration(test.bitrate)) {
					n, _, err := reader.Read(make([]byte, 1500), nil)
					require.NoError(t, err)
					require.Equal(t, 100, n)
					sent++
				}
			}
			receive(3 * time.Second)
			synctest.Wait()
			_, before := log.take()
			receive(10 * time.Second)
			time.Sleep(time.Second)
			messages, received := log.take()
			require.InEpsilon(t, 10*float64(time.Second/test.every), messages, 0.15, "%d bit/s", test.bitrate)
			require.Equal(t, sent, before+received)
			time.Sleep(time.Minute)
			messages, _ = log.take()
			require.Zero(t, messages, "nothing came")
			require.NoError(t, a.Close())
		})
	}
}
