package downlink

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/seq"
	"github.com/tolkyn/tolkyn/sfu/internal/uplink"
)

// stream makes a video slot whose source is in its second segment, and a step that moves one packet of size bytes
// through uplink and slot.
func stream(size int, forward func(d *Downlink, now time.Duration, dst []byte)) (step func()) {
	d := New(config(codec.VP8))
	d.Ready(0)
	other := newPublisher(codec.VP8, 2)
	d.Assign(time.Second, other.Uplink, 2)
	other.arrive(time.Second, other.frame(true, 1)...)
	dst := make([]byte, 1500)
	d.Next(time.Second, dst, 0)

	src := uplink.New(uplink.Config{SSRC: 1, Codec: codec.VP8, NACK: true})
	d.Assign(time.Second, src, 1)
	payload := append([]byte{0x90, 0xc0, 0x80, 1, 2, 0, 0, 0, 0x9d, 1, 0x2a, 0, 0, 0, 0}, make([]byte, size-15)...)
	i := 0
	return func() {
		now := time.Second + time.Duration(i)*ms
		h := packet.Header{SSRC: 1, Timestamp: uint32(i) * 90, Marker: true}
		payload[5] = min(byte(i), 1) // the first is a keyframe
		src.Handle(now, &h, 1<<16+seq.Extended(i), payload, uplink.Extensions{}, nil)
		forward(d, now, dst)
		i++
	}
}

func once(d *Downlink, now time.Duration, dst []byte) {
	if _, state := d.Next(now, dst, 1); state != Sent {
		panic("not sent")
	}
}

// processTime is the CPU time that this process has used: a busy machine does not show in it.
func processTime(b *testing.B) time.Duration {
	var u unix.Rusage
	require.NoError(b, unix.Getrusage(unix.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkNext(b *testing.B) {
	for _, c := range []struct {
		name string
		size int
	}{{"1100B", 1100}, {"120B", 120}} {
		// One uplink packet goes to 100 subscribers; ns/op is per packet sent.
		b.Run(c.name, func(b *testing.B) {
			src := uplink.New(uplink.Config{SSRC: 1, Codec: codec.VP8, NACK: true})
			payload := append([]byte{0x90, 0xc0, 0x80, 1, 2, 0, 0, 0, 0x9d, 1, 0x2a, 0, 0, 0, 0}, make([]byte, c.size-15)...)
			slots := make([]*Downlink, 100)
			dst := make([]byte, 1500)
			for i := range slots {
				slots[i] = New(config(codec.VP8))
				slots[i].Ready(0)
				slots[i].Assign(time.Second, src, 1)
				slots[i].ring[0].pictures = 1
			}
			i := 0
			now := time.Second
			b.ReportAllocs()
			start := processTime(b)
			for n := 0; b.Loop(); n++ {
				if n%len(slots) == 0 {
					now += ms
					h := packet.Header{SSRC: 1, Timestamp: uint32(i) * 90, Marker: true}
					payload[5] = min(byte(i), 1)
					src.Handle(now, &h, 1<<16+seq.Extended(i), payload, uplink.Extensions{}, nil)
					i++
				}
				once(slots[n%len(slots)], now, dst)
			}
			b.ReportMetric(float64(processTime(b)-start)/float64(b.N), "cpu-ns/op")
		})
	}
	benchmarkRecordings(b)
	b.Run("memcpy1100B", func(b *testing.B) {
		src, dst := make([]byte, 1100), make([]byte, 1500)
		start := processTime(b)
		for b.Loop() {
			copy(dst, src)
		}
		b.ReportMetric(float64(processTime(b)-start)/float64(b.N), "cpu-ns/op")
	})
}

// band plays a recording over and over to many slots.
type band struct {
	r     *recording
	src   *uplink.Uplink
	slots []*Downlink
	i     int
	round uint32
	now   time.Duration
	dd    []byte
	dst   []byte
	sent  int
	taken int
}

func newBand(r *recording, slots int, id uint8, layer codec.Layer) *band {
	b := &band{
		r: r, src: uplink.New(uplink.Config{SSRC: r.ssrc, Codec: r.codec, NACK: true}), now: time.Hour,
		dd: make([]byte, 0, 255), dst: make([]byte, 1500),
	}
	for range slots {
		d := New(everyCodec(id))
		d.Ready(0)
		d.Assign(b.now, b.src, 1)
		d.SetLayer(b.now, layer)
		b.slots = append(b.slots, d)
	}
	return b
}

// store hands the next packet to the uplink; numbers go on from round to round.
func (b *band) store() {
	p := &b.r.packets[b.i]
	b.now += ms
	h := p.h
	h.Timestamp += b.round * 300_000
	e := p.e + seq.Extended(b.round)*seq.Extended(len(b.r.packets))
	b.dd = append(b.dd[:0], p.descriptor...)
	if len(b.dd) > 2 {
		n := uint16(b.dd[1])<<8 | uint16(b.dd[2]) + uint16(b.round)*uint16(len(b.r.frames))
		b.dd[1], b.dd[2] = byte(n>>8), byte(n)
	}
	if b.src.Handle(b.now, &h, e, p.payload, uplink.Extensions{}, b.dd) != uplink.Stored {
		panic("not stored")
	}
	if b.i++; b.i == len(b.r.packets) {
		b.i, b.round = 0, b.round+1
	}
}

// take lets a slot deal with what there is.
func (b *band) take(d *Downlink) {
	for {
		_, state := d.Next(b.now, b.dst, 1)
		if state == Empty {
			return
		}
		b.taken++
		if state == Sent {
			b.sent++
		}
	}
}

// benchmarkRecordings plays what browsers sent to 64 slots: ns/op is per packet of the source and slot, by what becomes of it.
func benchmarkRecordings(b *testing.B) {
	for _, c := range []struct {
		name, recording string
		id              uint8
		layer           codec.Layer
	}{
		{"vp8/all", "chromium-vp8-simulcast-bare-f", 0, codec.Everything},
		{"vp8/base", "chromium-vp8-simulcast-bare-f", 0, codec.Layer{}},
		{"vp8/all+descriptor", "chromium-vp8-simulcast-f", 12, codec.Everything},
		{"vp8/base+descriptor", "chromium-vp8-simulcast-f", 12, codec.Layer{}},
		{"vp9/all", "chromium-vp9-l3t3-key-bare", 0, codec.Everything},
		{"vp9/middle", "chromium-vp9-l3t3-key-bare", 0, codec.Layer{Spatial: 1, Temporal: 1}},
		{"vp9/all+descriptor", "chromium-vp9-l3t3", 12, codec.Everything},
		{"vp9/middle+descriptor", "chromium-vp9-l3t3", 12, codec.Layer{Spatial: 1, Temporal: 1}},
		{"h264/all", "chromium-h264-l1t3", 0, codec.Everything},
		{"h264/base", "chromium-h264-l1t3", 0, codec.Layer{}},
		{"h264/base+descriptor", "chromium-h264-l1t3", 12, codec.Layer{}},
		{"av1/all+descriptor", "chromium-av1-l3t3", 12, codec.Everything},
		{"av1/middle+descriptor", "chromium-av1-l3t3", 12, codec.Layer{Spatial: 1, Temporal: 1}},
	} {
		b.Run(c.name, func(b *testing.B) {
			m := newBand(find(b, c.recording), 64, c.id, c.layer)
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				for range 16 {
					m.store()
				}
				b.StartTimer()
				for _, d := range m.slots {
					m.take(d)
				}
			}
			per := float64(b.Elapsed().Nanoseconds()) / float64(m.taken)
			b.ReportMetric(per, "ns/op")
			b.ReportMetric(100*float64(m.sent)/float64(m.taken), "%sent")
		})
	}
}

func BenchmarkResend(b *testing.B) {
	d := (*Downlink)(nil)
	step := stream(1100, func(slot *Downlink, now time.Duration, dst []byte) {
		d = slot
		once(slot, now, dst)
	})
	for range 1100 {
		step()
	}
	dst := make([]byte, 1500)
	highest, now := d.sequence.highest.Uint16(), d.lastNow
	b.ReportAllocs()
	n := uint16(0)
	for b.Loop() {
		now += 10 * ms
		d.Resend(now, highest-n%1000, dst, 1)
		n++
	}
}

// The way of a packet through a slot, and of a NACK, allocates nothing.
func TestNextAndResendDoNotAllocate(t *testing.T) {
	step := stream(1100, func(d *Downlink, now time.Duration, dst []byte) {
		once(d, now, dst)
		d.Resend(now, d.sequence.highest.Uint16()-5, dst, 1)
		d.WantsKeyframe(now)
		d.SenderReport(now, 1)
	})
	for range 3000 {
		step()
	}
	require.Zero(t, testing.AllocsPerRun(2000, step))
}

// Nor do layers left out, descriptors told, or both.
func TestLayersDoNotAllocate(t *testing.T) {
	for _, r := range recordings(t) {
		for _, id := range []uint8{0, 12, 20} {
			m := newBand(r, 1, id, codec.Layer{Spatial: 1, Temporal: 1})
			n := uint16(0)
			step := func() {
				m.store()
				m.take(m.slots[0])
				m.slots[0].Resend(m.now, m.slots[0].sequence.highest.Uint16()-n%30, m.dst, 1)
				m.slots[0].WantsKeyframe(m.now)
				if n++; n%50 == 0 {
					m.slots[0].SetLayer(m.now, codec.Layer{Spatial: uint8(n/50) % 3, Temporal: uint8(n/50) % 2})
				}
			}
			for range 1200 {
				step()
			}
			require.Zero(t, testing.AllocsPerRun(300, step), r.name)
			require.Positive(t, m.sent)
		}
	}
}
