package shard

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/internal/netsim"
	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/rtcp"
	"github.com/tolkyn/tolkyn/internal/srtp"
	"github.com/tolkyn/tolkyn/internal/udp"
	"github.com/tolkyn/tolkyn/sfu/bwe"
	"github.com/tolkyn/tolkyn/sfu/internal/downlink"
)

func TestECNIsTriedFirst(t *testing.T) {
	var e ecnPath
	marked := func(packets int) (n int) {
		for range packets {
			if e.next() == packet.ECT1 {
				n++
			}
		}
		return n
	}
	report := func(packets int, ecn packet.ECN) {
		for range packets {
			e.arrived(ecn)
		}
	}
	require.Equal(t, 100, marked(100*ecnTrial), "one in eight")
	report(ecnProof-1, packet.ECT1)
	report(ecnPatience-1, packet.NotECT)
	require.Equal(t, 10, marked(10*ecnTrial), "not proved yet")
	report(1, packet.CE)
	require.Equal(t, 80, marked(80), "a mark is proof too")
	report(ecnPatience-1, packet.NotECT)
	report(1, packet.ECT1)
	report(ecnPatience-1, packet.NotECT)
	require.Equal(t, 80, marked(80))
	report(1, packet.NotECT)
	require.Zero(t, marked(80), "the path clears the bits now")
	report(100, packet.ECT1)
	require.Zero(t, marked(80), "and is not believed again")

	e = ecnPath{}
	report(ecnProof, packet.ECT1)
	report(1, packet.ECT0)
	require.Zero(t, marked(80), "somebody rewrites them")
}

// Who reports marks is sent media that can be marked once the path has carried some, and the estimator hears of the marks; RTCP is
// not marked, nor is what leaves for others.
func TestMediaIsMarkedForWhoReportsMarks(t *testing.T) {
	for name, ccfb := range map[string]bool{"RFC 8888": true, "transport-wide": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				defer b.close()
				b.shard.Post(Query{func(s *Shard) { s.cfg.Congestion = &bwe.Config{} }})
				talker, m := b.member(1, 0), b.member(2, 0)
				cfg := downlink.Config{SSRC: 200, Payloads: []downlink.Payload{{Codec: codec.Opus, PayloadType: 111}}}
				if !ccfb {
					cfg.TransportSeqID = 5
				}
				b.shard.Post(OpenSlot{ID: 2, Slot: 0, CNAME: "c", CCFB: ccfb, Config: cfg})
				b.shard.Post(Assign{ID: 2, Slot: 0, Track: 1})
				var told rtcp.CongestionRecorder
				began := time.Now()
				sinceMark, media := 0, map[packet.ECN]int{}
				batch := udp.NewBatch()
				for i := range 400 {
					if i == 200 { // a queue that marks everything
						b.net.SetLink(b.host, b.net.Host(netip.AddrFrom4([4]byte{10, 0, 1, 2})), netsim.LinkConfig{
							Rate: 1_000_000, Mark: netsim.Marking{From: 1, To: 1},
						})
					}
					talker.say()
					talker.say()
					time.Sleep(20 * time.Millisecond)
					talker.listen()
					now := time.Since(began)
					n, err := m.socket.Read(batch)
					require.NoError(t, err)
					for k := range n {
						data, _ := batch.Datagram(k)
						switch packet.Classify(data) {
						case packet.RTP:
							h, ok := packet.ParseHeader(data)
							require.True(t, ok)
							_, _, v := m.opener.OpenRTP(data, &h)
							require.Equal(t, srtp.OK, v)
							told.Handle(now, h.SSRC, h.Sequence, batch.ECN(k))
							media[batch.ECN(k)]++
							sinceMark++
						case packet.RTCP, packet.STUN:
							require.Equal(t, packet.NotECT, batch.ECN(k))
						}
					}
					if p := told.Append(make([]byte, 0, 1500), now, rtcp.NTP(time.Now()), 1); ccfb && len(p) > 0 {
						size := len(p)
						p = p[:cap(p)]
						m.socket.WriteTo(p[:m.sealer.SealRTCP(p, size)], b.shard.sock.LocalAddr())
					}
				}
				if !ccfb {
					require.Equal(t, map[packet.ECN]int{packet.NotECT: sinceMark}, media)
					return
				}
				require.Greater(t, sinceMark, 700)
				require.Greater(t, media[packet.ECT1], 200)
				require.Greater(t, media[packet.CE], 100)
				require.Less(t, media[packet.NotECT], 100, "of the trial")
			})
		})
	}
}
