package client_test

import (
	"context"
	"encoding/binary"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/netsim"
	"github.com/tolkyn/tolkyn/signaling/client"
)

// lean is who saves and says 6 kbit/s in packets of 120 ms, and notes when each of another's came first.
type lean struct {
	mu   sync.Mutex
	said int
	late map[uint32]time.Duration // behind when it was said, by its number
}

const leanTime = 120 * ms

// joinLean enters the room with a microphone alone.
func (m *member) joinLean() *lean {
	t, l := m.w.t, &lean{late: map[uint32]time.Duration{}}
	var err error
	m.mic, err = webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}, "mic", m.name)
	require.NoError(t, err)
	m.room, err = m.client.Join(t.Context(), client.JoinOptions{
		Name: m.name, AudioSlots: 1, VideoSlots: -1, Saver: true, Tracks: []client.LocalTrack{{Source: client.Microphone, Track: m.mic}},
	})
	require.NoError(t, err)
	m.wg.Go(func() {
		p := rtp.Packet{Header: rtp.Header{Version: 2}}
		for m.pause(leanTime) {
			p.Payload = make([]byte, 93)
			p.Payload[0] = 3<<3 | 1 // two frames of 60 ms
			binary.BigEndian.PutUint64(p.Payload[8:], uint64(time.Now().UnixNano()))
			binary.BigEndian.PutUint32(p.Payload[16:], uint32(p.SequenceNumber))
			_ = m.mic.WriteRTP(&p) // nobody connected yet
			p.SequenceNumber++
			p.Timestamp += 5760
			l.mu.Lock()
			l.said++
			l.mu.Unlock()
		}
	})
	for _, s := range m.room.Slots() {
		m.wg.Go(func() {
			for {
				p, err := s.ReadPacket(context.Background())
				if err != nil {
					return
				}
				number := binary.BigEndian.Uint32(p.Payload[16:])
				l.mu.Lock()
				if _, ok := l.late[number]; !ok {
					l.late[number] = time.Since(time.Unix(0, int64(binary.BigEndian.Uint64(p.Payload[8:]))))
				}
				l.mu.Unlock()
			}
		})
	}
	m.wg.Go(func() {
		for range m.room.Events() { // they are of no interest
		}
	})
	return l
}

// heard is the share of what another said meanwhile that came within a time of being said, and by how much half of it was late.
func (l *lean) heard(of *lean, d, within time.Duration) (share float64, median time.Duration) {
	of.mu.Lock()
	from := of.said
	of.mu.Unlock()
	time.Sleep(d)
	of.mu.Lock()
	to := of.said
	of.mu.Unlock()
	time.Sleep(time.Second)
	l.mu.Lock()
	defer l.mu.Unlock()
	var late []time.Duration
	n := 0
	for i := from; i < to; i++ {
		if d, ok := l.late[uint32(i)]; ok {
			late = append(late, d)
			if d <= within {
				n++
			}
		}
	}
	slices.Sort(late)
	return float64(n) / float64(to-from), late[len(late)/2]
}

// TestAVoiceOverTheSteppe: 24 kbit/s and 30 % loss each way carry a voice and two copies of it, and no queue stands.
func TestAVoiceOverTheSteppe(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		herder, city := w.dial("herder"), w.dial("city")
		far, near := herder.joinLean(), city.joinLean()
		time.Sleep(2 * time.Second)
		herder.wire.sever(true) // nothing but UDP
		w.net.SetPath(w.host, herder.host, netsim.LinkConfig{Delay: 100 * ms, Rate: 24_000, Loss: 0.3})
		time.Sleep(10 * time.Second)
		type result struct {
			share  float64
			median time.Duration
		}
		up := make(chan result)
		go func() {
			share, median := near.heard(far, 30*time.Second, 800*ms)
			up <- result{share, median}
		}()
		share, median := far.heard(near, 30*time.Second, 800*ms)
		u := <-up
		require.Equal(t, "udp", herder.room.Stats().Path.Protocol)
		t.Logf("down %.1f %% in time, half of it %v late; up %.1f %%, %v", 100*share, median, 100*u.share, u.median)
		require.Greater(t, share, 0.9)
		require.Greater(t, u.share, 0.75, "without TCP to ask, doubts of UDP are dear")
		require.Less(t, max(median, u.median), 500*ms)
	})
}
