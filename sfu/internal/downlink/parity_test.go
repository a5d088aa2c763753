package downlink

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/seq"
	"github.com/tolkyn/tolkyn/sfu/fec"
	"github.com/tolkyn/tolkyn/sfu/internal/uplink"
)

// far is a slot with parity, and its packets and those of its parity as they would be sealed.
type far struct {
	d      *Downlink
	up     *uplink.Uplink
	now    time.Duration
	n      int
	all    [][]byte
	sealed map[seq.Extended]bool // of the parity's numbers
}

func newFar(share, parity float64) *far {
	cfg := config(codec.VP8)
	cfg.FEC, cfg.FECSSRC, cfg.FirstFECSequence = 49, 3000, 0x7fff
	f := &far{d: New(cfg), up: uplink.New(uplink.Config{Codec: codec.VP8, SSRC: 1, PayloadType: 96}), now: time.Hour, sealed: map[seq.Extended]bool{}}
	f.d.Ready(f.now - time.Minute)
	f.d.Assign(f.now, f.up, 7)
	f.d.SetRepair(share)
	f.d.SetParity(parity, 100*ms)
	return f
}

// picture sends one of so many packets.
func (f *far) picture(t *testing.T, packets int) {
	for part := range packets {
		b := make([]byte, 1000)
		b[0] = 0x00
		if part == 0 {
			b[0] = 0x10
			if f.n == 0 {
				copy(b[1:], []byte{0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01})
			} else {
				b[1] = 1
			}
		}
		b[999] = byte(f.n)
		h := packet.Header{SSRC: 1, Timestamp: uint32(f.now / ms * 90), PayloadType: 96, Marker: part == packets-1}
		f.up.Handle(f.now, &h, 1<<16+seq.Extended(f.n), b, uplink.Extensions{}, nil)
		f.n++
	}
	dst := make([]byte, 1500)
	for {
		out, state := f.d.Next(f.now, dst, uint16(f.n))
		if state == Empty {
			break
		}
		if state != Sent {
			continue
		}
		f.all = append(f.all, append([]byte(nil), dst[:out.Size]...))
		if !out.Parity {
			continue
		}
		if out, ok := f.d.Parity(dst, 99); ok {
			h, ok := packet.ParseHeader(dst[:out.Size])
			require.True(t, ok)
			require.Equal(t, out.HeaderSize, h.Size)
			require.Equal(t, out.Seq.Uint16(), h.Sequence)
			require.Equal(t, uint32(3000), h.SSRC)
			require.Equal(t, uint8(49), h.PayloadType)
			require.False(t, f.sealed[out.Seq], "a number is used once")
			f.sealed[out.Seq] = true
			f.all = append(f.all, append([]byte(nil), dst[:out.Size]...))
		}
	}
	f.now += 33 * ms
}

// TestParityMendsWhatIsSent: whichever packet of a group is lost comes back as it was sent.
func TestParityMendsWhatIsSent(t *testing.T) {
	f := newFar(0.2, 0.1)
	for range 60 {
		f.picture(t, 5)
	}
	mended, lost := 0, 0
	for gone, p := range f.all {
		if h, _ := packet.ParseHeader(p); h.SSRC == 3000 || gone < 30 {
			continue
		}
		d := fec.NewDecoder(1000)
		for i, p := range f.all {
			if h, _ := packet.ParseHeader(p); h.SSRC == 3000 {
				require.True(t, i < 30 || d.Repair(0, p))
			} else if i != gone {
				require.True(t, d.Media(0, p))
			}
			if back, ok := d.Next(0); ok {
				require.Equal(t, f.all[gone], back)
				mended++
			}
		}
		lost++
	}
	require.Greater(t, mended, lost*9/10, "the others are of the group that goes on")
}

// TestParityTakesNoMoreThanRepair: both together stay within SetRepair's share, and what is asked for goes first.
func TestParityTakesNoMoreThanRepair(t *testing.T) {
	for _, asks := range []bool{false, true} {
		f := newFar(0.1, 0.2) // more than repair may cost
		for range 2000 {
			f.picture(t, 5)
			dst := make([]byte, 1500)
			for k := range uint16(20) {
				if asks {
					f.d.Resend(f.now, f.d.sequence.highest.Uint16()-k, dst, 1)
				}
			}
		}
		st := f.d.Stats()
		spent := float64(st.ResentOctets + st.ParityOctets - budgetFloor)
		require.InDelta(t, 0.1, spent/float64(st.Octets), 0.005, "asks %v", asks)
		if asks {
			require.Less(t, st.ParityOctets, st.ResentOctets/50)
		}
	}
}

// TestParityComesAtItsShare: as much as was said where there is budget, of groups that are not too old; none when it is off, and
// its numbers go on when it is on again.
func TestParityComesAtItsShare(t *testing.T) {
	f := newFar(0.3, 0)
	for range 30 {
		f.picture(t, 5)
	}
	require.Nil(t, f.d.parity, "nothing is kept for it")
	f.d.SetParity(0.1, 100*ms)
	for range 600 {
		f.picture(t, 5)
	}
	st := f.d.Stats()
	require.InDelta(t, 0.1, float64(st.ParityOctets)/float64(600*5*1000), 0.01)
	f.d.SetParity(0, 0)
	for range 30 {
		f.picture(t, 5)
	}
	require.Equal(t, st.Parity, f.d.Stats().Parity)
	f.d.SetParity(0.1, 100*ms)
	for range 60 {
		f.picture(t, 5)
	}
	require.Greater(t, f.d.Stats().Parity, st.Parity)

	// One packet a picture, and parity for each tenth: ten pictures are too long ago.
	f = newFar(0.3, 0.1)
	for range 300 {
		f.picture(t, 1)
	}
	require.Zero(t, f.d.Stats().Parity)
}

// A packet that goes into a group, and its parity, allocate nothing.
func TestParityDoesNotAllocate(t *testing.T) {
	var slot *Downlink
	step := stream(1100, func(d *Downlink, now time.Duration, dst []byte) {
		if slot = d; d.parity == nil {
			d.cfg.FEC, d.cfg.FECSSRC = 49, 3000
			d.SetRepair(0.2)
			d.SetParity(0.1, 100*ms)
		}
		for {
			out, state := d.Next(now, dst, 1)
			if state == Empty {
				return
			}
			if out.Parity {
				d.Parity(dst, 2)
			}
		}
	})
	for range 3000 {
		step()
	}
	require.Zero(t, testing.AllocsPerRun(2000, step))
	require.Greater(t, slot.Stats().Parity, uint64(300))
}
