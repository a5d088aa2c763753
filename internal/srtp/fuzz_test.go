package srtp

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/packet"
)

// FuzzOpenRTP throws datagrams at an opener in mid-stream: none may panic, write beyond itself, or keep the next genuine
// packet from being opened.
func FuzzOpenRTP(f *testing.F) {
	for _, p := range profiles {
		s, _ := newPair(f, p)
		f.Add(sealed(f, s, 1, 1<<16+9, 0))
		f.Add(sealed(f, s, 1, 1<<16+12, 30))
		f.Add(sealed(f, s, 2, 1<<16+65535, 30))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, p := range profiles {
			s, o := newPair(t, p)
			_, verdict := open(t, o, sealed(t, s, 1, 1<<16+10, 20))
			require.Equal(t, OK, verdict)

			b := append(bytes.Clone(data), "guard"...)
			h, ok := packet.ParseHeader(data)
			if !ok {
				h = packet.Header{Size: len(data) % 40}
			}
			size, e, verdict := o.OpenRTP(b[:len(data):len(data)], &h)
			require.Equal(t, "guard", string(b[len(data):]))
			if verdict == OK {
				require.Equal(t, len(data)-p.RTPOverhead(), size)
				require.Equal(t, h.Sequence, e.Uint16())
			} else {
				require.Zero(t, size)
				require.Zero(t, e)
			}
			_, verdict = open(t, o, sealed(t, s, 1, 1<<16+11, 20))
			require.Equal(t, OK, verdict)
		}
	})
}

func FuzzOpenRTCP(f *testing.F) {
	for _, p := range profiles {
		s, _ := newPair(f, p)
		b := make([]byte, 32+p.RTCPOverhead())
		copy(b, []byte{0x81, 201, 0, 7, 1, 2, 3, 4})
		f.Add(b[:s.SealRTCP(b, 32)])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, p := range profiles {
			_, o := newPair(t, p)
			b := append(bytes.Clone(data), "guard"...)
			size, verdict := o.OpenRTCP(b[:len(data):len(data)])
			require.Equal(t, "guard", string(b[len(data):]))
			if verdict == OK {
				require.Equal(t, len(data)-p.RTCPOverhead(), size)
				copied := bytes.Clone(data)
				_, verdict = o.OpenRTCP(copied)
				require.Equal(t, Replayed, verdict)
			}
		}
	})
}
