package srtp

import (
	"bytes"
	"testing"

	pionsrtp "github.com/pion/srtp/v3"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/seq"
)

var profiles = []Profile{AEADAES128GCM, AEADAES256GCM, AES128CMHMACSHA180}

var pionProfiles = map[Profile]pionsrtp.ProtectionProfile{
	AEADAES128GCM:      pionsrtp.ProtectionProfileAeadAes128Gcm,
	AEADAES256GCM:      pionsrtp.ProtectionProfileAeadAes256Gcm,
	AES128CMHMACSHA180: pionsrtp.ProtectionProfileAes128CmHmacSha1_80,
}

func testKey(p Profile) Key {
	k := Key{Profile: p, Master: make([]byte, p.KeyLen()), Salt: make([]byte, p.SaltLen())}
	for i := range k.Master {
		k.Master[i] = byte(7*i + 1)
	}
	for i := range k.Salt {
		k.Salt[i] = byte(11*i + 2)
	}
	return k
}

func newPair(t testing.TB, p Profile) (*Sealer, *Opener) {
	t.Helper()
	s, err := NewSealer(testKey(p))
	require.NoError(t, err)
	o, err := NewOpener(testKey(p))
	require.NoError(t, err)
	return s, o
}

// testPacket is an RTP packet with a CSRC, an extension and size bytes of payload.
func testPacket(ssrc uint32, s uint16, size int) (b []byte, header int) {
	b = make([]byte, 64+size)
	n := packet.PutHeader(b, packet.Header{Sequence: s, SSRC: ssrc, Timestamp: 3000 * uint32(s), PayloadType: 96})
	n = packet.PutCSRC(b, n, 0x01020304)
	n = packet.PutExtensions(b, n, []packet.Extension{{ID: 3, Data: []byte{byte(s >> 8), byte(s)}}})
	for i := range size {
		b[n+i] = byte(int(s) + 3*i)
	}
	return b[: n+size : len(b)], n
}

func TestRTPWithPionBothWays(t *testing.T) {
	for _, p := range profiles {
		t.Run(p.String(), func(t *testing.T) {
			key := testKey(p)
			theirs, err := pionsrtp.CreateContext(key.Master, key.Salt, pionProfiles[p])
			require.NoError(t, err)
			theirOpener, err := pionsrtp.CreateContext(key.Master, key.Salt, pionProfiles[p])
			require.NoError(t, err)
			sealer, opener := newPair(t, p)

			// Two streams across the rollover, one of them from the last number before it.
			for _, stream := range []struct {
				ssrc  uint32
				first seq.Extended
			}{{0xcafe, 1<<16 + 65530}, {0xbeef, 1<<16 + 65535}, {0xf00d, 1 << 16}} {
				for i := range seq.Extended(12) {
					e := stream.first + i
					plain, header := testPacket(stream.ssrc, e.Uint16(), int(100*i)%257)
					want := bytes.Clone(plain)

					theirSealed, err := theirs.EncryptRTP(nil, want, nil)
					require.NoError(t, err)
					size := sealer.SealRTP(plain, header, len(plain), e)
					require.Equal(t, theirSealed, plain[:size])

					opened, err := theirOpener.DecryptRTP(nil, plain[:size], nil)
					require.NoError(t, err)
					require.Equal(t, want, opened)

					h, ok := packet.ParseHeader(theirSealed)
					require.True(t, ok)
					size, got, verdict := opener.OpenRTP(theirSealed, &h)
					require.Equal(t, OK, verdict)
					require.Equal(t, e, got)
					require.Equal(t, want, theirSealed[:size])
				}
			}
		})
	}
}

func TestRTCPWithPionBothWays(t *testing.T) {
	for _, p := range profiles {
		t.Run(p.String(), func(t *testing.T) {
			key := testKey(p)
			theirs, err := pionsrtp.CreateContext(key.Master, key.Salt, pionProfiles[p])
			require.NoError(t, err)
			theirOpener, err := pionsrtp.CreateContext(key.Master, key.Salt, pionProfiles[p])
			require.NoError(t, err)
			sealer, opener := newPair(t, p)

			for i := range 20 {
				// pion counts the index of each SSRC by itself, we count one for all.
				ssrc := byte(i % 3)
				want := append([]byte{0x81, 201, 0, 7, 1, 2, 3, ssrc}, bytes.Repeat([]byte{byte(i)}, 24)...)

				b := append(bytes.Clone(want), make([]byte, p.RTCPOverhead())...)
				size := sealer.SealRTCP(b, len(want))
				require.Equal(t, len(b), size)
				opened, err := theirOpener.DecryptRTCP(nil, b, nil)
				require.NoError(t, err)
				require.Equal(t, want, opened)

				sealed, err := theirs.EncryptRTCP(nil, want, nil)
				require.NoError(t, err)
				size, verdict := opener.OpenRTCP(sealed)
				require.Equal(t, OK, verdict)
				require.Equal(t, want, sealed[:size])
			}
		})
	}
}
