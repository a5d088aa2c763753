package sfu_test

import (
	"context"
	"encoding/binary"
	"testing"
	"testing/synctest"
	"time"

	pionrtcp "github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/netsim"
	"github.com/tolkyn/tolkyn/sfu"
)

func TestALateJoinerGetsAPictureWithinOneKeyframe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, netsim.LinkConfig{Delay: 50 * time.Millisecond})
		defer w.close()
		anna := w.newClient("anna").join("demo").talk()
		boris := w.newClient("boris").join("demo").talk()
		boris.hears(5*time.Second, anna)
		time.Sleep(5 * time.Second)
		asked := anna.asked()
		late := w.newClient("late").join("demo")
		w.eventually(5*time.Second, "late is connected", late.isConnected)
		// The wish travels to anna and her keyframe to late: two round trips of 100 ms, the hold of 30 ms, a frame interval.
		took := w.eventually(time.Second, "late sees anna", func() bool { return late.got(anna, true) > 0 })
		require.Less(t, took, 300*time.Millisecond)
		require.True(t, isKeyframe(late.packets(anna, true)[0].Payload), "the first packet of a slot starts a keyframe")
		require.LessOrEqual(t, anna.asked()-asked, 1, "one wish per joiner")
	})
}

// TestASlotChangesItsSourceWithoutRenegotiation switches one video slot between two publishers and looks at the stream as
// a receiver's decoder does.
func TestASlotChangesItsSourceWithoutRenegotiation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, netsim.LinkConfig{Delay: 20 * time.Millisecond})
		defer w.close()
		anna := w.newClient("anna").join("demo").talk()
		boris := w.newClient("boris").join("demo").talk()
		viewer := w.newClientAt("viewer", w.net.Host(viewerAddr), 1, 1)
		w.net.SetPath(w.host, viewer.host, w.link)
		viewer.join("demo")
		w.eventually(5*time.Second, "the viewer sees somebody", func() bool {
			return viewer.got(anna, true) > 0 || viewer.got(boris, true) > 0
		})
		for range 10 {
			for _, hide := range []*client{anna, boris} {
				shown := boris
				if hide == boris {
					shown = anna
				}
				require.NoError(t, viewer.peer.Subscribe(context.Background(), sfu.Subscription{Wishes: []sfu.Wish{{PeerID: hide.peer.ID(), Hidden: true}}}))
				n := 0
				// A publisher asked a moment ago is not asked again within 500 ms; the old source flows meanwhile.
				w.eventually(800*time.Millisecond, "the slot has changed", func() bool {
					if n == 0 {
						n = viewer.got(shown, true)
					}
					return viewer.slotOf(shown.peer.ID(), true) != "" && viewer.got(shown, true) > n
				})
				time.Sleep(300 * time.Millisecond)
			}
		}
		mid := viewer.slotOf(anna.peer.ID(), true)
		require.NotEmpty(t, mid)
		requireContinuous(t, viewer, mid)
	})
}

// requireContinuous checks one slot's whole life: numbers without a hole, timestamps that never run back, a keyframe at
// each change of source, never 150 ms without a packet.
func requireContinuous(t *testing.T, c *client, mid string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.heard[mid]
	require.NotNil(t, r)
	var last *rtp.Packet
	changes := 0
	for i := range r.packets {
		p := &r.packets[i]
		if last != nil {
			require.Equal(t, last.SequenceNumber+1, p.SequenceNumber, "packet %d of %d", i, len(r.packets))
			require.GreaterOrEqual(t, int32(p.Timestamp-last.Timestamp), int32(0))
			require.Less(t, r.at[i].Sub(r.at[i-1]), 150*time.Millisecond)
			if p.Payload[15] != last.Payload[15] {
				changes++
				require.True(t, isKeyframe(p.Payload), "a source is entered at its keyframe")
			}
		}
		last = p
	}
	require.GreaterOrEqual(t, changes, 15)
}

// TestColorsArrive: what a publisher says of its picture's colours comes with the frame it was said of, also when that frame
// was lost on either side.
func TestColorsArrive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, netsim.LinkConfig{Delay: 20 * time.Millisecond})
		defer w.close()
		anna := w.newByHand("anna", "demo", "video sendonly")
		boris := w.newByHand("boris", "demo", "video recvonly")
		screen, canvas := []byte{1, 13, 1, 5}, []byte{1, 1, 1, 9} // BT.709 in full and in limited range
		said := [][]byte{screen, nil, make([]byte, 28), canvas, nil, screen}
		got := [][]byte{screen, nil, nil, canvas, nil, screen} // HDR metadata is not carried
		const lost = 5                                         // comes as RTX only
		frame := func(n int) *rtp.Packet {
			p := anna.frame(n, n == 0)
			if said[n] != nil {
				require.NoError(t, p.SetExtension(handColors, said[n]))
			}
			return p
		}
		for n := range said {
			if n != lost {
				anna.send(frame(n))
			}
			time.Sleep(33 * time.Millisecond)
		}
		p := frame(lost)
		p.Payload = append(binary.BigEndian.AppendUint16(nil, p.SequenceNumber), p.Payload...)
		p.PayloadType, p.SSRC, p.SequenceNumber = 97, anna.ssrcCam+1, 1
		anna.send(p)
		time.Sleep(100 * time.Millisecond)

		heard := boris.heardFrom("anna")
		require.Len(t, heard, len(said))
		asked := time.Now()
		colors := func(p *rtp.Packet) []byte { return p.GetExtension(handColors) }
		for n, p := range heard {
			require.Equal(t, got[n], colors(&p.Packet), "frame %d", n)
			boris.sendRTCP(&pionrtcp.TransportLayerNack{MediaSSRC: p.SSRC, Nacks: []pionrtcp.NackPair{{PacketID: p.SequenceNumber}}})
		}
		time.Sleep(100 * time.Millisecond)
		resent := map[uint16]bool{}
		boris.mu.Lock()
		defer boris.mu.Unlock()
		for _, p := range boris.rtp {
			if p.PayloadType != 97 || p.at.Before(asked) || len(p.Payload) < 2 { // probes have padding, and repeat what was sent
				continue
			}
			n := binary.BigEndian.Uint16(p.Payload) - heard[0].SequenceNumber
			require.Equal(t, got[n], colors(&p.Packet), "frame %d, resent", n)
			resent[n] = true
		}
		require.Len(t, resent, len(said))
	})
}

func TestLossIsRepaired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 7, netsim.LinkConfig{Delay: 20 * time.Millisecond, Loss: 0.05})
		defer w.close()
		anna := w.newClient("anna").join("demo").talk()
		boris := w.newClient("boris").join("demo").talk()
		boris.hears(10*time.Second, anna)
		time.Sleep(10 * time.Second)
		packets := boris.packets(anna, true)
		seen, keys := map[uint16]bool{}, map[uint16]bool{}
		for _, p := range packets {
			seen[p.SequenceNumber] = true
			keys[p.SequenceNumber] = keys[p.SequenceNumber] || isKeyframe(p.Payload)
		}
		first, last := packets[0].SequenceNumber, packets[len(packets)-50].SequenceNumber
		missing := 0
		for s := first; s != last; s++ {
			instead := false            // a keyframe of one packet is sent instead of repairs that take more
			for k := range uint16(15) { // half a second
				instead = instead || keys[s+k]
			}
			if !seen[s] && !instead {
				missing++
			}
		}
		// 5 % each way: about 90 of 900 packets are lost once. A repair that is lost again is asked for again.
		require.LessOrEqual(t, missing, int(last-first)/200, "of %d", last-first)
		st, _ := w.sfu.Stats()
		require.Positive(t, st.Shards[0].NACKsSent)
		require.Positive(t, st.Shards[0].Resent)
	})
}
