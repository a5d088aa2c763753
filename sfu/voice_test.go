package sfu_test

import (
	"testing"
	"testing/synctest"
	"time"

	pionrtcp "github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/internal/netsim"
)

// parley is a voice of 24 kbit/s with in-band FEC and somebody who hears it, each 25 ms from the server.
type parley struct {
	*world
	speaker, listener *byHand
	said              int
}

func newParley(t *testing.T, seed uint64) *parley {
	p := &parley{world: newWorld(t, seed, netsim.LinkConfig{Delay: 25 * time.Millisecond})}
	p.red = true
	p.speaker = p.newByHand("anna", "demo", "audio sendonly")
	p.listener = p.newByHand("boris", "demo", "audio recvonly")
	return p
}

// path changes the way from the server to who listens.
func (p *parley) path(loss float64, rate int64) {
	p.net.SetLink(p.host, p.listener.host, netsim.LinkConfig{
		Delay: 25 * time.Millisecond, Loss: loss, Rate: rate, QueueTime: 300 * time.Millisecond,
	})
}

// word is what the speaker says nth.
func (p *parley) word(n int) *rtp.Packet {
	w := p.speaker.voice(n)
	w.Payload = append(w.Payload, make([]byte, 20)...)
	w.Payload[1], w.Payload[2], w.Payload[3] = 0xc0, byte(n>>8), byte(n)
	return w
}

// talk has the speaker talk, and returns the packets that came meanwhile.
func (p *parley) talk(d time.Duration) []heardRTP {
	p.listener.mu.Lock()
	before := len(p.listener.rtp)
	p.listener.mu.Unlock()
	for range d / (20 * time.Millisecond) {
		p.speaker.send(p.word(p.said))
		p.said++
		time.Sleep(20 * time.Millisecond)
	}
	p.listener.mu.Lock()
	defer p.listener.mu.Unlock()
	return p.listener.rtp[before:]
}

// copies are how many came with the packets, and how many packets there are.
func (p *parley) copies(came []heardRTP) (copies, packets int) {
	for i := range came {
		if came[i].PayloadType == 63 {
			_, n, ok := codec.ReadRED(came[i].Payload)
			require.True(p.t, ok)
			copies += n - 1
		}
	}
	return copies, len(came)
}

// words are those that came, by themselves or as copies, by the times that packets tell: each as it was said.
func (p *parley) words(came []heardRTP) map[int]bool {
	words := map[int]bool{}
	offset, known := uint32(0), false
	for i := range came {
		blocks, n := [codec.MaxREDBlocks]codec.REDBlock{{Data: came[i].Payload}}, 1
		if came[i].PayloadType == 63 {
			blocks, n, _ = codec.ReadRED(came[i].Payload)
		}
		for _, b := range blocks[:n] {
			word := int(b.Data[2])<<8 | int(b.Data[3])
			require.Equal(p.t, p.word(word).Payload, b.Data)
			stamp := came[i].Timestamp - uint32(b.Offset) - uint32(word)*960
			if !known {
				offset, known = stamp, true
			}
			require.Equal(p.t, offset, stamp, "at its time")
			words[word] = true
		}
	}
	return words
}

// told is the largest loss that the speaker was told of lately, in 1/256.
func (p *parley) told(since time.Time) (most uint8) {
	p.speaker.mu.Lock()
	defer p.speaker.mu.Unlock()
	for i, part := range p.speaker.rtcp {
		if r, ok := part.(*pionrtcp.ReceiverReport); ok && p.speaker.rtcpAt[i].After(since) {
			for _, b := range r.Reports {
				most = max(most, b.FractionLost)
			}
		}
	}
	return most
}

// TestVoicesGetCopiesWhereTheirPathLoses: none on a clean link, within a second where a fifth is lost, and none again 10 to 30 s
// after that has ended. What the listener loses makes his speaker code in-band FEC.
func TestVoicesGetCopiesWhereTheirPathLoses(t *testing.T) {
	for seed := range uint64(5) {
		synctest.Test(t, func(t *testing.T) {
			p := newParley(t, seed+1)
			defer p.close()
			clean := p.talk(5 * time.Second)
			copies, packets := p.copies(clean)
			require.Zero(t, copies)
			require.InDelta(t, 250, packets, 3)
			require.Zero(t, p.told(p.speaker.began))

			p.path(0.2, 0)
			changed := time.Now()
			p.talk(time.Second)
			copies, _ = p.copies(p.talk(500 * time.Millisecond))
			require.Positive(t, copies, "within a second")
			p.talk(1500 * time.Millisecond)
			require.GreaterOrEqual(t, p.told(changed), uint8(6), "so that the speaker codes FEC")
			said := p.said
			came := p.talk(20 * time.Second)
			copies, packets = p.copies(came)
			require.InDelta(t, 2.0, float64(copies)/float64(packets), 0.1)
			words := p.words(came)
			missing := 0
			for n := said + 5; n < p.said-5; n++ {
				// In-band FEC, the lower half of each packet, brings the one before.
				if !words[n] && !words[n+1] {
					missing++
				}
			}
			t.Logf("%d of %d words are missing", missing, p.said-said-10)
			require.LessOrEqual(t, missing, 2)

			p.path(0, 0)
			p.talk(time.Second)
			copies, packets = p.copies(p.talk(8 * time.Second))
			require.Greater(t, copies, packets, "it may come back")
			p.talk(25 * time.Second)
			copies, _ = p.copies(p.talk(5 * time.Second))
			require.Zero(t, copies)
			st := p.shard()
			require.Positive(t, st.RedundantBytes)
			require.Zero(t, st.Faults)
		})
	}
}

// TestCopiesYieldWhereLossFollowsOurRate: a path that carries the voice and no copies loses copies to its queue; chance had taken
// a fifth before, and does after.
func TestCopiesYieldWhereLossFollowsOurRate(t *testing.T) {
	for seed := range uint64(5) {
		synctest.Test(t, func(t *testing.T) {
			p := newParley(t, seed+1)
			defer p.close()
			p.talk(3 * time.Second)
			p.path(0.2, 1_000_000)
			p.talk(10 * time.Second)
			copies, packets := p.copies(p.talk(5 * time.Second))
			require.Greater(t, float64(copies), 1.2*float64(packets), "there is room")

			p.path(0.2, 64_000) // plain it takes 52 kbit/s, with one copy 82
			p.talk(10 * time.Second)
			copies, packets = p.copies(p.talk(10 * time.Second))
			t.Logf("%d copies with %d packets, path %+v", copies, packets, p.shard().VoicePackets)
			require.Less(t, float64(copies), 0.25*float64(packets), "there is none, but for what is tried")
			require.Greater(t, packets, 350, "what is lost is lost by chance")

			p.path(0.2, 1_000_000)
			p.talk(40 * time.Second)
			copies, packets = p.copies(p.talk(5 * time.Second))
			require.Greater(t, float64(copies), 1.2*float64(packets), "there is room again")
		})
	}
}
