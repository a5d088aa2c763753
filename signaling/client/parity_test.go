package client_test

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/netsim"
	"github.com/tolkyn/tolkyn/sfu/pace"
	"github.com/tolkyn/tolkyn/signaling/client"
)

// far is a film of 30 pictures a second, each of parts packets, over a path to bek of so long a round trip and so much loss.
type far struct {
	rtt   time.Duration
	loss  float64
	noFEC bool
	parts int
}

// seen is what bek's slot gave of aru's film.
type seen struct {
	pictures  int
	whole     []time.Duration // from its sending to its last part, of each picture that came whole
	decodable []time.Duration // the same until all pictures before it are whole too
	never     int             // pictures of which a part never came
	twice     int             // packets that the slot gave twice
	early     int             // given before an earlier one of them: number of packets of which At fell
	recovered int
	repaired  int

	media, repair, parity uint64 // bytes from the server, of all slots
	parityPackets         uint64
}

const (
	markAt  = 20 // where a packet says which picture and part it is
	sizeOf  = 1000
	filming = 60 * time.Second
	// steady is from when on pictures count: the estimator has seen what the path loses.
	steady = 10 * time.Second
)

// watch runs the film and returns what came.
func (f far) watch(t *testing.T, w *world) seen {
	a := w.dial("aru")
	b := w.dialWith("bek", "ws://server.example", client.Options{NoFEC: f.noFEC})
	oneWay := netsim.LinkConfig{Delay: f.rtt / 2}
	w.net.SetLink(b.host, w.host, oneWay)
	oneWay.Loss = f.loss
	w.net.SetLink(w.host, b.host, oneWay)
	track, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8}, "cam", "aru")
	require.NoError(t, err)
	a.room, err = a.client.Join(t.Context(), client.JoinOptions{Name: "aru", Tracks: []client.LocalTrack{
		{Source: client.Camera, Track: track, OnKeyframeRequest: func() { a.wantsKey.Store(true) }},
	}})
	require.NoError(t, err)
	b.room, err = b.client.Join(t.Context(), client.JoinOptions{Name: "bek"})
	require.NoError(t, err)

	var mu sync.Mutex
	sent := map[uint32]time.Time{}
	came := map[uint32]map[byte]time.Time{}
	var out seen
	a.wg.Go(func() {
		p := rtp.Packet{Header: rtp.Header{Version: 2}}
		for picture := uint32(0); a.pause(time.Second / 30); picture++ {
			mu.Lock()
			sent[picture] = time.Now()
			mu.Unlock()
			first := vp8Frame(a.wantsKey.Swap(false) || picture == 0, uint16(picture))
			for part := range f.parts {
				p.Payload = make([]byte, sizeOf)
				copy(p.Payload, first[:markAt])
				if part > 0 {
					p.Payload[0] &^= 0x10 // S: a partition begins
				}
				p.Marker = part == f.parts-1
				binary.BigEndian.PutUint32(p.Payload[markAt:], picture)
				p.Payload[markAt+4] = byte(part)
				_ = track.WriteRTP(&p)
				p.SequenceNumber++
			}
			p.Timestamp += 3000
		}
	})
	for _, s := range b.room.Slots() {
		if s.Kind() != client.Video {
			continue
		}
		b.wg.Go(func() {
			numbers, last := map[uint16]time.Time{}, time.Time{}
			for {
				p, err := s.ReadPacket(context.Background())
				if err != nil {
					return
				}
				if len(p.Payload) <= markAt+4 {
					continue // a probe's padding
				}
				picture := binary.BigEndian.Uint32(p.Payload[markAt:])
				mu.Lock()
				if at, ok := numbers[p.SequenceNumber]; ok && p.At.Sub(at) < 20*time.Second {
					out.twice++
				}
				if p.At.Before(last) {
					out.early++
				}
				if p.Recovered {
					out.recovered++
				}
				if p.Repaired {
					out.repaired++
				}
				numbers[p.SequenceNumber], last = p.At, p.At
				if came[picture] == nil {
					came[picture] = map[byte]time.Time{}
				}
				if part := p.Payload[markAt+4]; came[picture][part].IsZero() {
					came[picture][part] = p.At
				}
				mu.Unlock()
			}
		})
	}
	time.Sleep(filming)
	mu.Lock()
	defer mu.Unlock()
	end := time.Now()
	var decodable time.Time
	for picture := range uint32(len(sent)) {
		at, parts := sent[picture], came[picture]
		if age := end.Sub(at); age > filming-steady || age < 3*time.Second {
			continue
		}
		out.pictures++
		if len(parts) < f.parts {
			out.never++
			continue
		}
		var whole time.Time
		for _, p := range parts {
			if p.After(whole) {
				whole = p
			}
		}
		if whole.After(decodable) {
			decodable = whole
		}
		out.whole = append(out.whole, whole.Sub(at))
		out.decodable = append(out.decodable, decodable.Sub(at))
	}
	slices.Sort(out.whole)
	slices.Sort(out.decodable)
	st, ok := w.sfu.Stats()
	require.True(t, ok)
	for _, shard := range st.Shards {
		out.repair += shard.RepairBytes
		out.parity += shard.ParityBytes
		out.parityPackets += shard.Parity
		out.media += shard.BytesOut - shard.RepairBytes - shard.ParityBytes - shard.PaddingBytes
	}
	return out
}

// late is the share of pictures, in percent, that are not there so long after they could have been.
func late(all []time.Duration, pictures int, after time.Duration) float64 {
	in, _ := slices.BinarySearchFunc(all, after, func(d, limit time.Duration) int { return cmp.Compare(d, limit+1) })
	return 100 * float64(pictures-in) / float64(pictures)
}

func (s seen) String() string {
	return fmt.Sprintf("%d pictures; whole p50 %v p95 %v p99 %v, never %d; decodable p50 %v p95 %v; recovered %d, resent %d; repair %.1f %%, parity %.1f %% of media",
		s.pictures, at(s.whole, 50).Round(time.Millisecond), at(s.whole, 95).Round(time.Millisecond), at(s.whole, 99).Round(time.Millisecond), s.never,
		at(s.decodable, 50).Round(time.Millisecond), at(s.decodable, 95).Round(time.Millisecond), s.recovered, s.repaired,
		100*float64(s.repair)/float64(s.media), 100*float64(s.parity)/float64(s.media))
}

func at(all []time.Duration, percent int) time.Duration {
	if len(all) == 0 {
		return 0
	}
	return all[min(len(all)*percent/100, len(all)-1)]
}

// TestParityOverALongWay: what parity brings at 300 ms of round trip, beside what is asked for again alone. No more is spent on both
// than repair may cost, and each packet is given once, in order of arrival. Where so much is lost that a group which can be paid for
// loses two, there is none.
func TestParityOverALongWay(t *testing.T) {
	// A picture in time is there 150 ms after the fastest could be: 20 + 150 ms of way, and 150 of playout.
	const inTime = 320 * time.Millisecond
	for _, c := range []struct {
		loss  float64
		gains float64 // of the pictures that would be late, the share that must not be
	}{{0.05, 0.3}, {0.1, 0.1}, {0.2, 0}} {
		var lates [2]float64
		for i, noFEC := range []bool{true, false} {
			inWorld(t, func(t *testing.T, w *world) {
				s := far{rtt: 300 * time.Millisecond, loss: c.loss, noFEC: noFEC, parts: 5}.watch(t, w)
				lates[i] = late(s.whole, s.pictures, inTime)
				t.Logf("loss %v, FEC %v: %v; not whole in time %.1f %%, not decodable %.1f %%", c.loss, !noFEC, s, lates[i],
					late(s.decodable, s.pictures, inTime))
				require.Zero(t, s.twice)
				require.Zero(t, s.early)
				require.Less(t, s.never, s.pictures/50)
				// 2 points: slots are told of a change of so much.
				require.LessOrEqual(t, float64(s.repair+s.parity), (pace.RepairShare(c.loss)+0.02)*float64(s.media)+32<<10)
				if noFEC {
					require.Zero(t, s.parityPackets)
					require.Zero(t, s.recovered)
				}
				if c.gains == 0 {
					require.Less(t, float64(s.parity), 0.01*float64(s.media))
				}
			})
		}
		require.LessOrEqual(t, lates[1], lates[0]*(1-c.gains)+2, "%v loss, %% of pictures that are late", c.loss)
	}
}

// TestParityOnlyWhereItHelps: none over a short way, and none where nothing is lost.
func TestParityOnlyWhereItHelps(t *testing.T) {
	for _, f := range []far{
		{rtt: 80 * time.Millisecond, loss: 0.05, parts: 5},
		{rtt: 300 * time.Millisecond, loss: 0, parts: 5},
	} {
		inWorld(t, func(t *testing.T, w *world) {
			s := f.watch(t, w)
			t.Logf("round trip %v, loss %v: %v", f.rtt, f.loss, s)
			require.Zero(t, s.parityPackets)
			require.Zero(t, s.twice)
			require.Greater(t, s.pictures, 1000)
		})
	}
}
