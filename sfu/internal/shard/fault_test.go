package shard

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/internal/netsim"
	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/seq"
	"github.com/tolkyn/tolkyn/internal/srtp"
	"github.com/tolkyn/tolkyn/internal/udp"
	"github.com/tolkyn/tolkyn/sfu/bwe"
	"github.com/tolkyn/tolkyn/sfu/internal/downlink"
	"github.com/tolkyn/tolkyn/sfu/internal/handshake"
	"github.com/tolkyn/tolkyn/sfu/internal/uplink"
)

// bench is a shard on a simulated network with peers whose handshake never was: the test hands both sides their keys.
type bench struct {
	t     require.TestingT
	net   *netsim.Network
	host  *netsim.Host
	shard *Shard

	// Guarded by mu.
	mu       sync.Mutex
	gone     map[PeerID]Reason
	wanted   map[TrackID][]EncodingWanted
	tellings int
	codecs   []string
	layers   map[PeerID][]SlotLayer
	layersAt map[PeerID][]time.Time
}

func newBench(t require.TestingT) *bench { return newBenchOf(t, nil) }

// newBenchOf is newBench with congestion control.
func newBenchOf(t require.TestingT, congestion *bwe.Config) *bench {
	b := &bench{
		t: t, net: netsim.New(1), gone: map[PeerID]Reason{}, wanted: map[TrackID][]EncodingWanted{},
		layers: map[PeerID][]SlotLayer{}, layersAt: map[PeerID][]time.Time{},
	}
	b.host = b.net.Host(netip.MustParseAddr("10.0.0.1"))
	socket, err := b.host.Socket(7882)
	require.NoError(t, err)
	cfg := Config{Socket: socket, Congestion: congestion, Gone: func(id PeerID, r Reason) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.gone[id] = r
	}}
	b.hears(&cfg)
	b.shard = New(cfg)
	return b
}

func (b *bench) close() {
	require.NoError(b.t, b.shard.Close())
	b.net.Close()
}

// memberPwd is everybody's ICE password.
const memberPwd = "0123456789abcdef01234567"

func testKey(first, second byte) srtp.Key {
	k := srtp.Key{Profile: srtp.AEADAES128GCM, Master: make([]byte, 16), Salt: make([]byte, 12)}
	k.Master[0], k.Master[1] = first, second
	return k
}

// member is a peer that publishes one voice and has audio slots.
type member struct {
	b      *bench
	id     PeerID
	socket udp.Socket
	sealer *srtp.Sealer
	opener *srtp.Opener
	ssrc   uint32
	sent   int
	heard  map[uint32]int // packets by slot's SSRC
	deaf   bool           // does not answer the shard's checks

	// Video: see film_test.go.
	film     []*film
	saw      []seen
	asked    int      // keyframes of its films
	reported []uint32 // SSRCs that receiver reports named
	seals    map[[2]uint32]string
}

func (b *bench) member(id PeerID, slots int) *member {
	m := b.stranger(id, slots)
	m.check()
	time.Sleep(time.Millisecond)
	m.listen() // answers the check that proves its address
	return m
}

// stranger is a member whose address the shard does not know yet.
func (b *bench) stranger(id PeerID, slots int) *member {
	t := b.t
	m := &member{b: b, id: id, ssrc: 1000 + uint32(id), heard: map[uint32]int{}}
	var err error
	m.socket, err = b.net.Host(netip.AddrFrom4([4]byte{10, 0, 1, byte(id)})).Socket(5000)
	require.NoError(t, err)
	m.sealer, err = srtp.NewSealer(testKey(1, byte(id)))
	require.NoError(t, err)
	m.opener, err = srtp.NewOpener(testKey(2, byte(id)))
	require.NoError(t, err)
	for _, c := range []Command{
		AddPeer{ID: id},
		LocalCredentials{ID: id, Ufrag: m.ufrag(), Pwd: memberPwd},
		RemoteCredentials{ID: id, Ufrag: "remote", Pwd: memberPwd},
		Keys{ID: id, Local: testKey(2, byte(id)), Remote: testKey(1, byte(id))},
		Publish{ID: id, Track: TrackID(id), MID: "0", Encodings: []Encoding{{Config: uplink.Config{SSRC: m.ssrc, PayloadType: 111, Codec: codec.Opus}}}},
	} {
		require.True(t, b.shard.Post(c))
	}
	for i := range slots {
		b.shard.Post(OpenSlot{ID: id, Slot: i, CNAME: "c", Config: downlink.Config{
			SSRC: uint32(id)*100 + uint32(i), Payloads: []downlink.Payload{{Codec: codec.Opus, PayloadType: 111}},
		}})
	}
	_, ok := b.shard.Stats() // all that has been applied: a check that overtakes its credentials is dropped
	require.True(t, ok)
	return m
}

// check sends a connectivity check.
func (m *member) check() {
	check := handshake.NewSecret(memberPwd).AppendCheck(nil, handshake.TransactionID{byte(m.id)}, m.ufrag(), "remote", 1)
	m.socket.WriteTo(check, m.b.shard.sock.LocalAddr())
}

func (m *member) ufrag() string { return fmt.Sprintf("local%d", m.id) }

// say sends one packet of voice.
func (m *member) say() {
	p := make([]byte, 12+40, 200)
	p[0], p[1] = 0x80, 111
	binary.BigEndian.PutUint16(p[2:], uint16(m.sent))
	binary.BigEndian.PutUint32(p[4:], uint32(960*m.sent))
	binary.BigEndian.PutUint32(p[8:], m.ssrc)
	p[12] = 0x78
	n := m.sealer.SealRTP(p, 12, len(p), 1<<16|seq.Extended(m.sent))
	m.socket.WriteTo(p[:n], m.b.shard.sock.LocalAddr())
	m.sent++
}

// listen takes what has arrived.
func (m *member) listen() {
	batch := udp.NewBatch()
	for {
		n, err := m.socket.Read(batch)
		if err != nil || n == 0 {
			return
		}
		for i := range batch.Len() {
			b, from := batch.Datagram(i)
			if _, asked := handshake.LocalUfragOf(b); asked && !m.deaf {
				answer := handshake.NewSecret(memberPwd).AppendResponse(nil, handshake.TransactionID(b[8:20]), from)
				m.socket.WriteTo(answer, from)
			}
			if packet.Classify(b) == packet.RTCP {
				m.heardRTCP(b)
			}
			if packet.Classify(b) != packet.RTP {
				continue
			}
			if m.seals != nil {
				m.sealed(b)
			}
			if h, ok := packet.ParseHeader(b); ok {
				if size, number, v := m.opener.OpenRTP(b, &h); v == srtp.OK {
					m.heard[h.SSRC]++
					m.see(b, &h, size, number)
				}
			}
		}
	}
}

// TestAFaultRemovesOnePeer injects a panic into the handling of one peer's packet, slot or timer. The others lose
// nothing, not even packets of the same batch.
func TestAFaultRemovesOnePeer(t *testing.T) {
	const rounds = 50
	cases := []struct {
		name   string
		broken PeerID
		inject func(s *Shard)
	}{
		{"in an uplink, when its packet comes", 1, func(s *Shard) { s.tracks[1].encodings[0].up = nil }},
		{"in a downlink, when it is served", 3, func(s *Shard) { s.peers[3].slots[0].down = nil }},
		{"in a timer", 1, func(s *Shard) {
			p := s.peers[1]
			p.slots[0].down, p.reports = nil, s.now()
			s.wheel.arm(&p.timer, s.now())
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				defer b.close()
				var members []*member
				for id := range PeerID(4) {
					members = append(members, b.member(id+1, 2))
				}
				// 3 and 4 hear 1 and 2; 1 and 2 hear nobody.
				for _, id := range []PeerID{3, 4} {
					b.shard.Post(Assign{ID: id, Slot: 0, Track: 1})
					b.shard.Post(Assign{ID: id, Slot: 1, Track: 2})
				}
				talk := func() {
					for range rounds {
						for _, m := range members {
							m.say()
						}
						time.Sleep(20 * time.Millisecond)
						for _, m := range members {
							m.listen()
						}
					}
				}
				talk()
				require.Equal(t, map[uint32]int{400: rounds, 401: rounds}, members[3].heard)
				done := make(chan struct{})
				b.shard.Post(Query{func(s *Shard) { c.inject(s); close(done) }})
				<-done
				talk()
				st, ok := b.shard.Stats()
				require.True(t, ok)
				require.EqualValues(t, 1, st.Faults)
				require.Equal(t, 3, st.Peers)
				require.Equal(t, map[PeerID]Reason{c.broken: Fault}, b.gone)
				// Two is heard by all who are left; one by them unless it is the broken peer.
				require.Equal(t, 2*rounds, members[3].heard[401])
				if c.broken == 3 {
					require.Equal(t, 2*rounds, members[3].heard[400])
					require.Less(t, members[2].heard[301], 2*rounds)
				} else {
					require.LessOrEqual(t, members[3].heard[400], rounds+1)
					require.Equal(t, 2*rounds, members[2].heard[301])
				}
			})
		})
	}
}

// TestAFaultWhileSpreadingEndsThere: what was left of the batch is spread on the next turn, and no turn meets the fault
// again.
func TestAFaultWhileSpreadingEndsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer b.close()
		one, two := b.member(1, 1), b.member(2, 1)
		b.shard.Post(Assign{ID: 2, Slot: 0, Track: 1})
		time.Sleep(time.Millisecond)
		b.shard.Post(Query{func(s *Shard) { s.touched = append(s.touched, &published{}) }}) // of nobody
		for range 10 {
			one.say()
			time.Sleep(20 * time.Millisecond)
		}
		two.listen()
		require.Equal(t, 10, two.heard[200])
		st, ok := b.shard.Stats()
		require.True(t, ok)
		require.EqualValues(t, 1, st.Faults)
		require.Empty(t, b.gone)
	})
}
