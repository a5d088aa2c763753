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
	b.Run("memcpy1100B", func(b *testing.B) {
		src, dst := make([]byte, 1100), make([]byte, 1500)
		start := processTime(b)
		for b.Loop() {
			copy(dst, src)
		}
		b.ReportMetric(float64(processTime(b)-start)/float64(b.N), "cpu-ns/op")
	})
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
