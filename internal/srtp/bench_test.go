package srtp

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/seq"
)

// Sizes of a full video packet and of an Opus packet, header and plaintext.
var benchSizes = []int{1100, 120}

// BenchmarkBareGCM is the floor: the standard library's AEAD alone.
func BenchmarkBareGCM(b *testing.B) {
	for _, keyLen := range []int{16, 32} {
		for _, size := range benchSizes {
			b.Run(fmt.Sprintf("AES%d/%dB", 8*keyLen, size), func(b *testing.B) {
				block, err := aes.NewCipher(make([]byte, keyLen))
				require.NoError(b, err)
				aead, err := cipher.NewGCM(block)
				require.NoError(b, err)
				p, nonce := make([]byte, size+16), make([]byte, 12)
				b.ReportAllocs()
				b.SetBytes(int64(size))
				for b.Loop() {
					aead.Seal(p[:12], nonce, p[12:size], p[:12])
				}
			})
		}
	}
}

func BenchmarkSealRTP(b *testing.B) {
	for _, p := range profiles {
		for _, size := range benchSizes {
			b.Run(fmt.Sprintf("%v/%dB", p, size), func(b *testing.B) {
				s, _ := newPair(b, p)
				buffer := make([]byte, 1500)
				e := seq.Extended(1 << 16)
				b.ReportAllocs()
				b.SetBytes(int64(size))
				for b.Loop() {
					n := packet.PutHeader(buffer, packet.Header{Sequence: e.Uint16(), SSRC: 1})
					if s.SealRTP(buffer, n, size, e) == 0 {
						b.Fatal("not sealed")
					}
					e++
				}
			})
		}
	}
}

// BenchmarkOpenRTP copies each packet from a ring of sealed ones, which costs about 20 ns of what it shows.
func BenchmarkOpenRTP(b *testing.B) {
	const ring = 64
	for _, p := range profiles {
		for _, size := range benchSizes {
			b.Run(fmt.Sprintf("%v/%dB", p, size), func(b *testing.B) {
				s, o := newPair(b, p)
				packets := make([][]byte, ring)
				for i := range packets {
					packets[i] = make([]byte, size+p.RTPOverhead())
					n := packet.PutHeader(packets[i], packet.Header{Sequence: uint16(i), SSRC: 1})
					s.SealRTP(packets[i], n, size, 1<<16+seq.Extended(i))
				}
				buffer := make([]byte, 1500)
				i := 0
				b.ReportAllocs()
				b.SetBytes(int64(size))
				for b.Loop() {
					if i == ring {
						i, *o.rtp.list[0] = 0, stream{}
					}
					n := copy(buffer, packets[i])
					h, _ := packet.ParseHeader(buffer[:n])
					if _, _, v := o.OpenRTP(buffer[:n], &h); v != OK {
						b.Fatal(v)
					}
					i++
				}
			})
		}
	}
}
