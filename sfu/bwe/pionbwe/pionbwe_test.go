package pionbwe

import (
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tolkyn/tolkyn/sfu/bwe"
)

// wire notes what leaves.
type wire struct {
	began time.Time

	mu   sync.Mutex
	left []left
	shut bool // as before DTLS
}

type left struct {
	rtp.Packet
	at time.Duration
}

// packets are those that have left so far.
func (w *wire) packets() []left {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.left)
}

func (w *wire) Write(h *rtp.Header, payload []byte, _ interceptor.Attributes) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.shut {
		return 0, nil
	}
	w.left = append(w.left, left{rtp.Packet{Header: h.Clone(), Payload: slices.Clone(payload)}, time.Since(w.began)})
	return h.MarshalSize() + len(payload), nil
}

func numberOf(t require.TestingT, p left) uint16 {
	b := p.GetExtension(5)
	require.Len(t, b, 2)
	return binary.BigEndian.Uint16(b)
}

func videoInfo(ssrc, rtx uint32) *interceptor.StreamInfo {
	return &interceptor.StreamInfo{
		SSRC: ssrc, SSRCRetransmission: rtx, PayloadTypeRetransmission: 97, MimeType: "video/VP8",
		RTCPFeedback:        []interceptor.RTCPFeedback{{Type: "nack"}},
		RTPHeaderExtensions: []interceptor.RTPHeaderExtension{{URI: transportWideURI, ID: 5}},
	}
}

func audioInfo(ssrc uint32) *interceptor.StreamInfo {
	return &interceptor.StreamInfo{
		SSRC: ssrc, MimeType: "audio/opus",
		RTPHeaderExtensions: []interceptor.RTPHeaderExtension{{URI: transportWideURI, ID: 5}},
	}
}

func bubble(t *testing.T, f func(t *testing.T, e *Estimator, w *wire)) {
	synctest.Test(t, func(t *testing.T) {
		e := New(Config{Config: bwe.Config{Start: bwe.Mbps, Min: 100 * bwe.Kbps, Max: 5 * bwe.Mbps}})
		f(t, e, &wire{began: time.Now()})
		require.NoError(t, e.Close())
	})
}

// A burst of video waits for the pacer, what was pushed before leaves before, and sound overtakes it.
func TestPaces(t *testing.T) {
	bubble(t, func(t *testing.T, e *Estimator, w *wire) {
		video, audio := e.AddStream(videoInfo(1, 2), w), e.AddStream(audioInfo(3), w)
		write := func(to interceptor.RTPWriter, ssrc uint32, seq uint16, size int) {
			n, err := to.Write(&rtp.Header{Version: 2, SSRC: ssrc, SequenceNumber: seq}, make([]byte, size), nil)
			require.NoError(t, err)
			require.Greater(t, n, size)
		}
		for seq := range uint16(40) {
			write(video, 1, seq, 1100)
		}
		write(audio, 3, 0, 50)
		time.Sleep(time.Second)
		seq, sounds, last := uint16(0), 0, time.Duration(0)
		for i, p := range w.packets() {
			require.Equal(t, uint16(i+1), numberOf(t, p), "numbers as they leave")
			switch p.SSRC {
			case 1:
				require.Equal(t, seq, p.SequenceNumber)
				seq, last = seq+1, p.at
			case 3:
				require.Less(t, i, 10, "sound does not wait")
				sounds++
			}
		}
		require.Equal(t, uint16(40), seq)
		require.Equal(t, 1, sounds)
		require.Greater(t, last, 150*time.Millisecond, "46 kB at a pace of a little more than 1 Mbit/s")
		require.Less(t, last, 450*time.Millisecond)
	})
}

// Sound without transport-wide numbers beside pictures that have them takes none of them: a number of which nothing is ever told
// is one that was lost.
func TestWhatIsNotNumberedTakesNoNumber(t *testing.T) {
	bubble(t, func(t *testing.T, e *Estimator, w *wire) {
		bare := audioInfo(3)
		bare.RTPHeaderExtensions = nil
		video, audio := e.AddStream(videoInfo(1, 2), w), e.AddStream(bare, w)
		for seq := range uint16(20) {
			for ssrc, to := range map[uint32]interceptor.RTPWriter{1: video, 3: audio} {
				_, err := to.Write(&rtp.Header{Version: 2, SSRC: ssrc, SequenceNumber: seq}, make([]byte, 100), nil)
				require.NoError(t, err)
			}
		}
		time.Sleep(time.Second)
		next, sounds := uint16(1), 0
		for _, p := range w.packets() {
			if p.SSRC == 3 {
				sounds++
				continue
			}
			require.Equal(t, next, numberOf(t, p), "of pictures and probes")
			next++
		}
		require.Equal(t, 20, sounds)
		require.Greater(t, next, uint16(20))
	})
}

// Before the keys are there nothing counts and nothing waits; the writer hears that nothing left.
func TestBeforeTheKeys(t *testing.T) {
	bubble(t, func(t *testing.T, e *Estimator, w *wire) {
		w.shut = true
		video := e.AddStream(videoInfo(1, 2), w)
		for range 1000 {
			n, err := video.Write(&rtp.Header{Version: 2, SSRC: 1}, make([]byte, 1000), nil)
			require.NoError(t, err)
			require.Zero(t, n)
		}
		require.Zero(t, e.Estimate().InFlight)
		w.shut = false
		n, err := video.Write(&rtp.Header{Version: 2, SSRC: 1}, make([]byte, 1000), nil)
		require.NoError(t, err)
		require.Equal(t, 1000+12+8, n)
		require.Equal(t, uint16(1), numberOf(t, w.packets()[0]))
	})
}

// What is sent again on its own stream has the bytes it had, or SRTP would seal two under one nonce; on RTX it has new numbers.
func TestRetransmissions(t *testing.T) {
	bubble(t, func(t *testing.T, e *Estimator, w *wire) {
		plain, video := e.AddStream(videoInfo(1, 0), w), e.AddStream(videoInfo(3, 4), w)
		for seq := range uint16(3) {
			_, _ = plain.Write(&rtp.Header{Version: 2, SSRC: 1, SequenceNumber: seq}, []byte{byte(seq)}, nil)
		}
		_, _ = plain.Write(&rtp.Header{Version: 2, SSRC: 1, SequenceNumber: 1}, []byte{1}, nil)
		time.Sleep(time.Second)
		sent := w.packets()
		require.Len(t, sent, 4)
		require.Equal(t, sent[1].Packet, sent[3].Packet)

		_, _ = video.Write(&rtp.Header{Version: 2, SSRC: 3, SequenceNumber: 7}, []byte{1}, nil)
		again := func(sequence byte) { // pion's responder gives one number to each packet, however often it goes
			_, _ = video.Write(&rtp.Header{Version: 2, SSRC: 4, SequenceNumber: 99}, []byte{0, sequence, 1}, nil)
		}
		again(7)
		again(7) // too early
		again(8) // of a packet that was never sent
		time.Sleep(100 * time.Millisecond)
		again(7)
		require.Equal(t, uint64(2), e.Spared())
		time.Sleep(time.Second)
		again(7) // too late
		require.Equal(t, uint64(3), e.Spared())

		for seq := range uint16(remembered) { // what it has forgotten it does not send again
			_, _ = plain.Write(&rtp.Header{Version: 2, SSRC: 1, SequenceNumber: 3 + seq}, nil, nil)
			time.Sleep(20 * time.Millisecond)
		}
		_, _ = plain.Write(&rtp.Header{Version: 2, SSRC: 1, SequenceNumber: 1}, []byte{1}, nil)
		time.Sleep(time.Second)
		require.Equal(t, uint64(4), e.Spared())
		var repair []left
		for _, p := range w.packets() {
			if p.SSRC == 4 && !p.Padding {
				repair = append(repair, p)
			}
		}
		require.Len(t, repair, 2)
		require.NotEqual(t, repair[0].SequenceNumber, repair[1].SequenceNumber)
	})
}

// follow feeds back what has left, 20 ms later, each 50 ms, for a time.
func follow(e *Estimator, w *wire, d time.Duration, source func()) {
	told := 0
	for begin := time.Now(); time.Since(begin) < d; time.Sleep(50 * time.Millisecond) {
		source()
		all, first := w.packets(), told
		for told < len(all) && all[told].at < time.Since(w.began)-20*time.Millisecond {
			told++
		}
		if told > first {
			_ = e.WriteRTCP([]rtcp.Packet{transportWide(all[first:told])}, nil)
		}
	}
}

func transportWide(told []left) rtcp.Packet {
	p := &rtcp.TransportLayerCC{
		BaseSequenceNumber: binary.BigEndian.Uint16(told[0].GetExtension(5)), PacketStatusCount: uint16(len(told)),
		ReferenceTime: uint32(told[0].at / (64 * time.Millisecond)),
		PacketChunks: []rtcp.PacketStatusChunk{
			&rtcp.RunLengthChunk{PacketStatusSymbol: rtcp.TypeTCCPacketReceivedLargeDelta, RunLength: uint16(len(told))},
		},
	}
	clock := time.Duration(p.ReferenceTime) * 64 * time.Millisecond
	for _, x := range told {
		p.RecvDeltas = append(p.RecvDeltas, &rtcp.RecvDelta{Type: rtcp.TypeTCCPacketReceivedLargeDelta, Delta: (x.at - clock).Microseconds()})
		clock = x.at
	}
	return p
}

// Nothing is told for a while, and the estimate falls below what sound takes alone, which has no numbers. Pictures are let out now and
// then all the same: what is never sent is never told of, and they would be away for good.
func TestSoundAboveTheEstimateKeepsNobodyOutForEver(t *testing.T) {
	bubble(t, func(t *testing.T, e *Estimator, w *wire) {
		bare := audioInfo(3)
		bare.RTPHeaderExtensions = nil
		video, audio := e.AddStream(videoInfo(1, 2), w), e.AddStream(bare, &wire{began: w.began})
		seq := uint16(0)
		source := func() { // each 50 ms: 288 kbit/s of sound, 160 of pictures
			for range 3 {
				_, _ = audio.Write(&rtp.Header{Version: 2, SSRC: 3, SequenceNumber: seq}, make([]byte, 544), nil)
			}
			_, _ = video.Write(&rtp.Header{Version: 2, SSRC: 1, SequenceNumber: seq}, make([]byte, 944), nil)
			seq++
		}
		follow(e, w, 3*time.Second, source)
		require.Greater(t, e.GetTargetBitrate(), 800_000)
		for range 100 {
			source()
			time.Sleep(50 * time.Millisecond)
			_ = e.WriteRTCP([]rtcp.Packet{&rtcp.ReceiverReport{}}, nil)
		}
		require.Equal(t, 100*bwe.Kbps, e.Estimate().Target)
		w.mu.Lock()
		w.left = nil // of what was lost nothing is told later either
		w.mu.Unlock()
		follow(e, w, 10*time.Second, source)
		require.Greater(t, len(w.packets()), 100, "of 200 pictures")
		require.Greater(t, e.GetTargetBitrate(), 500_000)
	})
}

// On a path without a bottleneck a small video has its target raised by probes of padding, on RTX, with numbers of their own.
func TestProbesWithPadding(t *testing.T) {
	bubble(t, func(t *testing.T, e *Estimator, w *wire) {
		video := e.AddStream(videoInfo(1, 2), w)
		var last atomic.Int64
		e.OnTargetBitrateChange(func(bitrate int) { last.Store(int64(bitrate)) })
		seq := uint16(0)
		follow(e, w, 5*time.Second, func() {
			for range 3 {
				_, _ = video.Write(&rtp.Header{Version: 2, SSRC: 1, SequenceNumber: seq, Timestamp: 1234}, make([]byte, 1000), nil)
				seq++
			}
		})
		require.Equal(t, int64(e.GetTargetBitrate()), last.Load())
		require.Greater(t, e.GetTargetBitrate(), 1_300_000, "0.5 Mbit/s is sent, and more is proved")
		pads, number := 0, -1
		for _, p := range w.packets() {
			if p.SSRC != 2 {
				continue
			}
			pads++
			require.True(t, p.Padding)
			require.Equal(t, uint32(1234), p.Timestamp)
			if number >= 0 {
				require.Equal(t, number+1, int(p.SequenceNumber))
			}
			number = int(p.SequenceNumber)
		}
		require.Positive(t, pads)
	})
}

func TestReadsTransportWide(t *testing.T) {
	e := New(Config{})
	e.number = 70_000 // 4464 in 16 bits
	results := e.transportWide(&rtcp.TransportLayerCC{
		BaseSequenceNumber: 4460, PacketStatusCount: 8, ReferenceTime: 10,
		PacketChunks: []rtcp.PacketStatusChunk{
			&rtcp.RunLengthChunk{PacketStatusSymbol: rtcp.TypeTCCPacketReceivedSmallDelta, RunLength: 2},
			&rtcp.StatusVectorChunk{SymbolList: []uint16{
				rtcp.TypeTCCPacketNotReceived, rtcp.TypeTCCPacketReceivedLargeDelta, rtcp.TypeTCCPacketNotReceived,
				rtcp.TypeTCCPacketReceivedSmallDelta, rtcp.TypeTCCPacketReceivedSmallDelta,
			}},
		},
		RecvDeltas: []*rtcp.RecvDelta{{Delta: 1000}, {Delta: 2000}, {Delta: -500}, {Delta: 250}, {Delta: 250}},
	})
	ms := time.Millisecond
	require.Equal(t, []bwe.Result{
		{Number: 69_996, Received: true, Arrival: 641 * ms},
		{Number: 69_997, Received: true, Arrival: 643 * ms},
		{Number: 69_998},
		{Number: 69_999, Received: true, Arrival: 642*ms + 500*time.Microsecond},
		{Number: 70_000},
	}, results, "what was never sent is left out")

	require.Equal(t, 10*64*ms, e.heard.clock(10))
	require.Equal(t, -64*ms, e.heard.clock(1<<24-1), "a little back, not far ahead")
	require.Equal(t, 0*ms, e.heard.clock(0))
}

func TestReadsCongestionControlFeedback(t *testing.T) {
	bubble(t, func(t *testing.T, e *Estimator, w *wire) {
		ccfb := []interceptor.RTCPFeedback{{Type: "ack", Parameter: "ccfb"}}
		v, a, z := videoInfo(1, 2), audioInfo(3), audioInfo(5)
		v.RTCPFeedback, a.RTCPFeedback, z.RTCPFeedback = ccfb, ccfb, ccfb
		video, audio, second := e.AddStream(v, w), e.AddStream(a, w), e.AddStream(z, w)
		for seq := range uint16(2) {
			_, _ = video.Write(&rtp.Header{Version: 2, SSRC: 1, SequenceNumber: 500 + seq}, []byte{1}, nil)
			_, _ = audio.Write(&rtp.Header{Version: 2, SSRC: 3, SequenceNumber: 900 + seq}, []byte{1}, nil)
		}
		for seq := range uint16(2) {
			_, _ = second.Write(&rtp.Header{Version: 2, SSRC: 5, SequenceNumber: 10 + seq}, []byte{1}, nil)
		}
		results := e.congestionControl(&rtcp.CCFeedbackReport{
			ReportTimestamp: 10 << 16,
			ReportBlocks: []rtcp.CCFeedbackReportBlock{
				{MediaSSRC: 3, BeginSequence: 900, MetricBlocks: []rtcp.CCFeedbackMetricBlock{{Received: true, ArrivalTimeOffset: 512}, {Received: true, ECN: rtcp.ECNCE, ArrivalTimeOffset: 256}}},
				{MediaSSRC: 1, BeginSequence: 500, MetricBlocks: []rtcp.CCFeedbackMetricBlock{{}, {Received: true}, {Received: true}}},
				{MediaSSRC: 5, BeginSequence: 10, MetricBlocks: []rtcp.CCFeedbackMetricBlock{{Received: true, ArrivalTimeOffset: 0x1ffe}, {Received: true, ArrivalTimeOffset: 0x1fff}}},
				{MediaSSRC: 77, MetricBlocks: []rtcp.CCFeedbackMetricBlock{{Received: true}}},
			},
		})
		require.Equal(t, []bwe.Result{
			{Number: 1},
			{Number: 2, Received: true, Arrival: 9500 * time.Millisecond},
			{Number: 3, Received: true, Arrival: 10 * time.Second},
			{Number: 4, Received: true, Arrival: 9750 * time.Millisecond, Marked: true},
		}, results[:4])
		require.Len(t, results, 6)
		for _, r := range results[4:] {
			require.True(t, r.Received && r.Untimed, "there is no time in it: %+v", r)
		}
	})
}

// Whatever comes as feedback, nothing panics and the target stays within its bounds.
func TestStrangeFeedback(t *testing.T) {
	symbol := rapid.Uint16Range(0, 3)
	chunk := rapid.OneOf(
		rapid.Map(symbol, func(s uint16) rtcp.PacketStatusChunk {
			return &rtcp.RunLengthChunk{PacketStatusSymbol: s, RunLength: 8191}
		}),
		rapid.Map(rapid.SliceOfN(symbol, 0, 14), func(s []uint16) rtcp.PacketStatusChunk {
			return &rtcp.StatusVectorChunk{SymbolList: s}
		}),
	)
	rapid.Check(t, func(t *rapid.T) {
		e, w := New(Config{Config: bwe.Config{Min: 50 * bwe.Kbps, Max: 4 * bwe.Mbps}}), &wire{began: time.Now()}
		defer func() { _ = e.Close() }()
		video := e.AddStream(videoInfo(1, 2), w)
		for i := range rapid.IntRange(0, 50).Draw(t, "packets") {
			_, _ = video.Write(&rtp.Header{Version: 2, SSRC: 1, SequenceNumber: uint16(i)}, make([]byte, 900), nil)
		}
		for range rapid.IntRange(1, 5).Draw(t, "messages") {
			p := &rtcp.TransportLayerCC{
				BaseSequenceNumber: rapid.Uint16().Draw(t, "base"), PacketStatusCount: rapid.Uint16().Draw(t, "count"),
				ReferenceTime: rapid.Uint32().Draw(t, "reference"), PacketChunks: rapid.SliceOfN(chunk, 0, 9).Draw(t, "chunks"),
			}
			for range rapid.IntRange(0, 100).Draw(t, "deltas") {
				p.RecvDeltas = append(p.RecvDeltas, &rtcp.RecvDelta{Delta: rapid.Int64Range(-1<<40, 1<<40).Draw(t, "delta")})
			}
			require.NoError(t, e.WriteRTCP([]rtcp.Packet{
				p, &rtcp.ReceiverEstimatedMaximumBitrate{Bitrate: rapid.Float32().Draw(t, "remb")},
				&rtcp.ReceiverReport{Reports: []rtcp.ReceptionReport{{SSRC: 1, LastSequenceNumber: rapid.Uint32().Draw(t, "last"), TotalLost: rapid.Uint32().Draw(t, "lost")}}},
			}, nil))
		}
		target := e.Estimate().Target
		if target < 50*bwe.Kbps || target > 4*bwe.Mbps {
			t.Fatalf("target is %v", target)
		}
	})
}

func TestClose(t *testing.T) {
	bubble(t, func(t *testing.T, e *Estimator, w *wire) {
		video := e.AddStream(videoInfo(1, 2), w)
		for seq := range uint16(100) {
			_, _ = video.Write(&rtp.Header{Version: 2, SSRC: 1, SequenceNumber: seq}, make([]byte, 1000), nil)
		}
		require.NoError(t, e.Close())
		n := len(w.packets())
		time.Sleep(time.Second)
		require.Len(t, w.packets(), n, "what waited is dropped")
		require.ErrorIs(t, e.WriteRTCP(nil, nil), ErrClosed)
	})
}

// A callback may do what it likes but block: write, ask, and be called again after.
func TestCallbackMayWrite(t *testing.T) {
	bubble(t, func(t *testing.T, e *Estimator, w *wire) {
		video := e.AddStream(videoInfo(1, 2), w)
		var calls atomic.Int32
		e.OnTargetBitrateChange(func(bitrate int) {
			n := calls.Add(1)
			_, _ = video.Write(&rtp.Header{Version: 2, SSRC: 1, SequenceNumber: 30_000 + uint16(n)}, make([]byte, 100), nil)
			require.Positive(t, e.GetTargetBitrate()+bitrate)
		})
		seq := uint16(0)
		follow(e, w, 3*time.Second, func() {
			_, _ = video.Write(&rtp.Header{Version: 2, SSRC: 1, SequenceNumber: seq}, make([]byte, 1000), nil)
			seq++
		})
		require.Positive(t, calls.Load())
	})
}
