package shard

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/rtcp"
	"github.com/tolkyn/tolkyn/internal/seq"
	"github.com/tolkyn/tolkyn/internal/srtp"
	"github.com/tolkyn/tolkyn/sfu/bwe"
	"github.com/tolkyn/tolkyn/sfu/internal/downlink"
	"github.com/tolkyn/tolkyn/sfu/internal/handshake"
	"github.com/tolkyn/tolkyn/sfu/internal/uplink"
)

// choir is a shard with voices that all its subscribers hear, turned by hand: a round is 20 ms of the shard's clock, and every
// fourth one subscribers tell of what has come.
type choir struct {
	shard    *Shard
	socket   *still
	sealer   *srtp.Sealer
	bursts   [][]byte
	number   seq.Extended
	rounds   int
	arrivals rtcp.TransportRecorder // of any subscriber: all get the same
	told     uint64
	loses    int // one packet of so many does not arrive; 0: none
	report   [1200]byte
}

func newChoir(t testing.TB, voices, subscribers int, slot downlink.Config) *choir {
	c := &choir{socket: &still{}, bursts: make([][]byte, voices), number: 1<<16 + 1}
	c.shard = newShard(Config{
		Socket: c.socket, Congestion: &bwe.Config{Start: 10 * bwe.Mbps, Min: 10 * bwe.Mbps, Max: 20 * bwe.Mbps},
		Gone: func(id PeerID, r Reason) { t.Errorf("peer %d is gone: %d", id, r) },
	})
	key := func(n byte) srtp.Key {
		return srtp.Key{Profile: srtp.AEADAES128GCM, Master: append(make([]byte, 15), n), Salt: make([]byte, 12)}
	}
	var err error
	c.sealer, err = srtp.NewSealer(key(1))
	require.NoError(t, err)
	now := c.shard.now()
	add := func(id PeerID, from netip.AddrPort) {
		AddPeer{ID: id}.apply(c.shard, now)
		Keys{ID: id, Local: key(byte(id)), Remote: key(1)}.apply(c.shard, now)
		p := c.shard.peers[id]
		c.shard.allow(now, p, path{addr: from})
		c.shard.moveTo(now, p, path{addr: from})
	}
	add(1, publisherAddr)
	for v := range voices {
		c.bursts[v] = make([]byte, 1500)
		Publish{ID: 1, Track: TrackID(v + 1), MID: "0", Ext: handshake.ExtensionIDs{AudioLevel: 1}, Encodings: []Encoding{{Config: uplink.Config{
			SSRC: 7 + uint32(v), PayloadType: 111, Codec: codec.Opus,
		}}}}.apply(c.shard, now)
	}
	for i := range subscribers {
		id := PeerID(i + 2)
		add(id, netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, 2}), uint16(1000+i)))
		for v := range voices {
			slot.SSRC = uint32(1000 + i*voices + v)
			slot.TransportSeqID, slot.AudioLevelID = 3, 1
			slot.Payloads = []downlink.Payload{{Codec: codec.Opus, PayloadType: 111}}
			OpenSlot{ID: id, Slot: v, CNAME: "c", Config: slot}.apply(c.shard, now)
			Assign{ID: id, Slot: v, Track: TrackID(v + 1), CSRC: 1}.apply(c.shard, now)
		}
	}
	return c
}

func (c *choir) round() {
	for v := range c.bursts {
		b := c.bursts[v][:cap(c.bursts[v])]
		n := packet.PutHeader(b, packet.Header{Sequence: c.number.Uint16(), Timestamp: uint32(c.rounds) * 960, SSRC: 7 + uint32(v), PayloadType: 111})
		n = packet.PutExtensions(b, n, []packet.Extension{{ID: 1, Data: []byte{0x85}}})
		b[n], b[n+1] = 9<<3, 0xc0 // 20 ms of speech, the 20 before with it
		c.bursts[v] = b[:c.sealer.SealRTP(b, n, n+84, c.number)]
		c.socket.in = append(c.socket.in, c.bursts[v])
	}
	c.number++
	c.rounds++
	for c.shard.turn() {
	}
	c.tell()
	c.shard.epoch = c.shard.epoch.Add(-20 * time.Millisecond)
}

func (c *choir) tell() {
	now, any := c.shard.now(), c.shard.peers[2]
	for _, p := range c.shard.peers {
		c.shard.heard(p, now)
		p.consented = now
	}
	for ; c.told < any.sent; c.told++ {
		if c.loses == 0 || int(c.told)%c.loses != 0 {
			c.arrivals.Handle(now, uint16(c.told))
		}
	}
	if c.rounds%4 != 0 {
		return
	}
	r := rtcp.Read(c.arrivals.Append(c.report[:0], 1, 1))
	part, ok := r.Next()
	if !ok {
		return
	}
	for _, p := range c.shard.peers {
		if p.congestion != nil {
			c.shard.suspect = p
			c.shard.handleArrivals(now, p, part)
		}
	}
	c.shard.suspect = nil
	for c.shard.turn() {
	}
}

// What a voice costs from the publisher's datagram to the subscribers' ones, feedback included: 10 to 100, 50,000 packets a second.
func BenchmarkVoices10To100(b *testing.B) {
	for _, run := range []struct {
		name string
		slot downlink.Config
	}{{"plain", downlink.Config{}}, {"asks again", downlink.Config{NACK: true}}} {
		b.Run(run.name, func(b *testing.B) { benchmarkVoices(b, newChoir(b, 10, 100, run.slot)) })
	}
}

func benchmarkVoices(b *testing.B, c *choir) {
	for range 600 { // until the path is taken to lose nothing
		c.round()
	}
	b.ReportAllocs()
	before, start := c.socket.out, processTime(b)
	for b.Loop() {
		c.round()
	}
	b.ReportMetric(float64(processTime(b)-start)/float64(c.socket.out-before), "cpu-ns/packet")
}

// processTime is the CPU time that this process has used: a busy machine shows less in it.
func processTime(b *testing.B) time.Duration {
	var u unix.Rusage
	require.NoError(b, unix.Getrusage(unix.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// The same with copies: of one packet in five that is lost.
func BenchmarkVoicesWithCopies10To100(b *testing.B) {
	c := newChoir(b, 10, 100, downlink.Config{RED: 63, NACK: true})
	c.loses = 5
	benchmarkVoices(b, c)
	require.NotZero(b, c.shard.stats.RedundantBytes)
}

func TestVoicesAllocateNothing(t *testing.T) {
	for _, loses := range []int{0, 5} {
		c := newChoir(t, 3, 20, downlink.Config{RED: 63, NACK: true})
		c.loses = loses
		for range 400 {
			c.round()
		}
		before := c.shard.stats.RedundantBytes
		require.Zero(t, testing.AllocsPerRun(200, c.round), "of 3 packets to 20 subscribers, and feedback every fourth time")
		require.Equal(t, loses > 0, c.shard.stats.RedundantBytes > before)
	}
}
