package rtcp

import (
	"slices"
	"testing"
	"time"

	pionrtcp "github.com/pion/rtcp"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tolkyn/tolkyn/internal/packet"
)

// theirs reads a compound with pion.
func theirs(t require.TestingT, b []byte) []pionrtcp.Packet {
	packets, err := pionrtcp.Unmarshal(b)
	require.NoError(t, err)
	return packets
}

// only reads the single packet of b.
func only(t require.TestingT, b []byte) Packet {
	r := Read(b)
	p, ok := r.Next()
	require.True(t, ok)
	_, more := r.Next()
	require.False(t, more)
	require.False(t, r.Err())
	return p
}

var (
	testReport = SenderReport{SSRC: 0xcafe, NTP: 0x1122334455667788, RTP: 90000, Packets: 7, Octets: 8000}
	testBlock  = ReportBlock{SSRC: 0xbeef, FractionLost: 200, TotalLost: -5, HighestSeq: 0x1ffff, Jitter: 12, LastSR: 0x33445566, DelaySinceLastSR: 65536}
)

func TestSenderReport(t *testing.T) {
	b := AppendSenderReport(nil, testReport, []ReportBlock{testBlock, {SSRC: 2, TotalLost: 1 << 30}})
	p := only(t, b)
	require.Equal(t, uint8(TypeSR), p.Type)
	sr, ok := p.SenderReport()
	require.True(t, ok)
	require.Equal(t, testReport, sr)
	block, ok := p.Block(0)
	require.True(t, ok)
	require.Equal(t, testBlock, block)
	block, ok = p.Block(1)
	require.True(t, ok)
	require.Equal(t, ReportBlock{SSRC: 2, TotalLost: 1<<23 - 1}, block, "more loss than 24 bits hold")
	for _, i := range []int{-1, 2} {
		_, ok = p.Block(i)
		require.False(t, ok)
	}

	read := theirs(t, b)[0].(*pionrtcp.SenderReport)
	require.Equal(t, testReport.NTP, read.NTPTime)
	require.Equal(t, testReport.Octets, read.OctetCount)
	require.Len(t, read.Reports, 2)
	require.Equal(t, testBlock.LastSR, read.Reports[0].LastSenderReport)
}

func TestReceiverReportsOfManyBlocks(t *testing.T) {
	for _, n := range []int{0, 1, 31, 32, 80} {
		blocks := make([]ReportBlock, n)
		for i := range blocks {
			blocks[i] = ReportBlock{SSRC: uint32(i), Jitter: uint32(2 * i)}
		}
		var got []ReportBlock
		b := AppendReceiverReport([]byte{}, 5, blocks)
		for r := Read(b); ; {
			p, ok := r.Next()
			if !ok {
				require.False(t, r.Err())
				break
			}
			ssrc, ok := p.SenderSSRC()
			require.True(t, ok)
			require.Equal(t, uint32(5), ssrc)
			for i := range int(p.Count) {
				block, ok := p.Block(i)
				require.True(t, ok)
				got = append(got, block)
			}
		}
		require.True(t, slices.Equal(blocks, got))
		theirs(t, b)

		read := theirs(t, AppendSenderReport(nil, testReport, blocks))
		require.Len(t, read, max(1, (n+30)/31))
	}
}

func TestSDESAndBYE(t *testing.T) {
	for _, name := range []string{"", "a", "ab", "abc", "tolkyn", string(make([]byte, 300))} {
		b := AppendSDES(nil, 9, name)
		require.Zero(t, len(b)%4)
		item := theirs(t, b)[0].(*pionrtcp.SourceDescription).Chunks[0].Items[0]
		require.Equal(t, pionrtcp.SDESCNAME, item.Type)
		require.Equal(t, name[:min(len(name), 255)], item.Text)
		only(t, b)
	}

	b := AppendBYE(nil, 9)
	require.Equal(t, []uint32{9}, theirs(t, b)[0].(*pionrtcp.Goodbye).Sources)
	require.Equal(t, []uint32{9}, slices.Collect(only(t, b).Leaving()))
	many, err := (&pionrtcp.Goodbye{Sources: []uint32{1, 2, 3}, Reason: "bye"}).Marshal()
	require.NoError(t, err)
	require.Equal(t, []uint32{1, 2, 3}, slices.Collect(only(t, many).Leaving()))
}

func TestKeyframeRequests(t *testing.T) {
	b := AppendPLI(nil, 1, 2)
	require.Equal(t, &pionrtcp.PictureLossIndication{SenderSSRC: 1, MediaSSRC: 2}, theirs(t, b)[0])
	p := only(t, b)
	require.Equal(t, []uint8{TypePSFB, FmtPLI}, []uint8{p.Type, p.Count})
	media, ok := p.MediaSSRC()
	require.True(t, ok)
	require.Equal(t, uint32(2), media)
	require.Empty(t, slices.Collect(p.FIRs()))

	b, err := (&pionrtcp.FullIntraRequest{SenderSSRC: 1, FIR: []pionrtcp.FIREntry{{SSRC: 5, SequenceNumber: 1}, {SSRC: 6}}}).Marshal()
	require.NoError(t, err)
	require.Equal(t, []uint32{5, 6}, slices.Collect(only(t, b).FIRs()))
	for range only(t, b).FIRs() {
		break
	}
}

func TestNACK(t *testing.T) {
	require.Empty(t, AppendNACK(nil, 1, 2, nil))
	for _, c := range []struct {
		seqs  []uint16
		items int
	}{
		{[]uint16{5}, 1},
		{[]uint16{5, 6, 21}, 1},
		{[]uint16{5, 22}, 2},
		{[]uint16{65530, 65535, 0, 10}, 1},
		{[]uint16{65530, 65535, 0, 11}, 2},
		{[]uint16{1, 100, 200, 300}, 4},
	} {
		b := AppendNACK(nil, 1, 2, c.seqs)
		require.Len(t, b, 12+4*c.items)
		require.Equal(t, c.seqs, slices.Collect(only(t, b).NACKs()))
		for s := range only(t, b).NACKs() {
			require.Equal(t, c.seqs[0], s)
			break
		}
		var read []uint16
		for _, pair := range theirs(t, b)[0].(*pionrtcp.TransportLayerNack).Nacks {
			read = append(read, pair.PacketList()...)
		}
		require.Equal(t, c.seqs, read)
	}
	require.Empty(t, slices.Collect(only(t, AppendPLI(nil, 1, 2)).NACKs()))
}

func TestNACKOfAnyNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.Uint16().Draw(t, "first")
		seqs := []uint16{s}
		for _, step := range rapid.SliceOfN(rapid.Uint16Range(1, 40), 0, 100).Draw(t, "steps") {
			s += step
			seqs = append(seqs, s)
		}
		prefix := []byte{1, 2, 3}
		b := AppendNACK(prefix, 1, 2, seqs)
		require.Equal(t, []byte{1, 2, 3}, b[:3])
		require.Equal(t, seqs, slices.Collect(only(t, b[3:]).NACKs()))
	})
}

// Even a caller's mistake stays one well-formed packet.
func TestNACKBeyondTheLargestPacket(t *testing.T) {
	seqs := make([]uint16, 70_000)
	for i := range seqs {
		seqs[i] = uint16(i * 100)
	}
	only(t, AppendNACK(nil, 1, 2, seqs))
}

func TestReaderStopsAtTheFirstMalformed(t *testing.T) {
	good := AppendPLI(nil, 1, 2)
	for _, c := range []struct {
		name string
		tail []byte
	}{
		{"too short", []byte{0x80, 200, 0}},
		{"version 1", []byte{0x40, 200, 0, 0}},
		{"length beyond the end", []byte{0x80, 200, 0, 1, 1, 2, 3}},
		{"padding of zero", []byte{0xa0, 200, 0, 1, 1, 2, 3, 0}},
		{"padding beyond the packet", []byte{0xa0, 200, 0, 1, 1, 2, 3, 5}},
		{"padding bit without a body", []byte{0xa0, 200, 0, 0}},
	} {
		r := Read(append(slices.Clone(good), c.tail...))
		_, ok := r.Next()
		require.True(t, ok, c.name)
		for range 2 {
			_, ok = r.Next()
			require.False(t, ok, c.name)
			require.True(t, r.Err(), c.name)
		}
	}
	r := Read([]byte{0xa0, 201, 0, 2, 1, 2, 3, 4, 0, 0, 0, 4})
	p, ok := r.Next()
	require.True(t, ok)
	require.Equal(t, []byte{1, 2, 3, 4}, p.Body)
}

func TestShortBodies(t *testing.T) {
	for _, kind := range []uint8{TypeSR, TypeRR, TypeSDES, TypeBYE, TypeRTPFB, TypePSFB, 210} {
		for count := range uint8(32) {
			for n := range 8 {
				p := Packet{Type: kind, Count: count, Body: make([]byte, n)}
				_, ok := p.SenderReport()
				require.False(t, ok)
				_, ok = p.Block(0)
				require.False(t, ok)
				_, ok = p.MediaSSRC()
				require.False(t, ok)
				require.Empty(t, slices.Collect(p.NACKs()))
				require.Empty(t, slices.Collect(p.FIRs()))
			}
		}
	}
}

func TestNTP(t *testing.T) {
	require.Equal(t, uint64(2_208_988_800)<<32, NTP(time.Unix(0, 0)))
	require.Equal(t, uint64(2_208_988_801)<<32|1<<31, NTP(time.Unix(1, 500_000_000)))
}

func FuzzRTCPRead(f *testing.F) {
	f.Add(AppendNACK(AppendSDES(AppendSenderReport(nil, testReport, []ReportBlock{testBlock}), 9, "tolkyn"), 1, 2, []uint16{5, 6, 40}))
	f.Add(AppendPLI(AppendReceiverReport(nil, 1, nil), 1, 2))
	f.Add(AppendBYE(nil, 9))
	f.Add([]byte{0xa0, 201, 0, 2, 1, 2, 3, 4, 0, 0, 0, 4})
	f.Add([]byte{0xa4, 206, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255})
	f.Add([]byte("\xaf0\x00\x0500000000000000000000")) // an unknown type whose padding is longer than itself
	var recorder TransportRecorder
	recorder.Handle(time.Second, 7)
	f.Add(recorder.Append(nil, 1, 2))
	var congestion CongestionRecorder
	congestion.Handle(time.Second, 7, 7, packet.CE)
	f.Add(congestion.Append(nil, time.Second, 1<<48, 1))
	f.Add(AppendREMB(nil, 1, 1_000_000, []uint32{2}))
	f.Fuzz(func(t *testing.T, b []byte) {
		bytes := 0
		r := Read(b)
		for {
			p, ok := r.Next()
			if !ok {
				break
			}
			bytes += 4 + len(p.Body)
			p.SenderReport()
			p.SenderSSRC()
			p.MediaSSRC()
			for i := -1; i < 33; i++ {
				p.Block(i)
			}
			for range p.NACKs() {
			}
			for range p.FIRs() {
			}
			for range p.Leaving() {
			}
			allArrivals(p, &Clock{}, 0)
			for range p.CongestionArrivals(&Clock{}, 0) {
			}
			p.REMB()
		}
		require.LessOrEqual(t, bytes, len(b))
		// What pion takes whole, we walk whole, but for padding that lies: pion does not look at it in packets of types
		// it does not know.
		if _, err := pionrtcp.Unmarshal(b); err == nil && r.Err() {
			require.NotZero(t, r.rest[0]&paddingBit)
		}
	})
}

func TestNoAllocations(t *testing.T) {
	var recorder TransportRecorder
	var congestion CongestionRecorder
	congestion.Handle(0, 7, 65000, packet.NotECT)
	var clock Clock
	ssrcs := []uint32{1, 2}
	dst := make([]byte, 0, 4000)
	arrivals := make([]Arrival, 100)
	blocks, seqs := []ReportBlock{testBlock}, []uint16{1, 5, 100}
	s := uint16(65000)
	sum := 0
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		for range 20 {
			s++
			recorder.Handle(time.Duration(s)*time.Millisecond, s)
			congestion.Handle(time.Duration(s)*time.Millisecond, 7, s, packet.ECT1)
		}
		dst = recorder.Append(dst[:0], 1, 2)
		dst = congestion.Append(dst, time.Duration(s)*time.Millisecond, 1<<48, 1)
		dst = AppendREMB(dst, 1, 1_000_000, ssrcs)
		dst = AppendSenderReport(dst, testReport, blocks)
		dst = AppendSDES(dst, 1, "tolkyn")
		dst = AppendNACK(dst, 1, 2, seqs)
		dst = AppendPLI(dst, 1, 2)
		dst = AppendBYE(dst, 1)
		for r := Read(dst); ; {
			p, ok := r.Next()
			if !ok {
				break
			}
			p.Block(0)
			for s := range p.NACKs() {
				sum += int(s)
			}
			for ssrc := range p.FIRs() {
				sum += int(ssrc)
			}
			for ssrc := range p.Leaving() {
				sum += int(ssrc)
			}
			for _, a := range p.TransportArrivals(&clock, time.Second, arrivals) {
				sum += int(a.Seq)
			}
			for ssrc, a := range p.CongestionArrivals(&clock, time.Second) {
				sum += int(ssrc) + int(a.Seq)
			}
			rate, _ := p.REMB()
			sum += int(rate)
		}
	}))
	require.NotZero(t, sum)
}
