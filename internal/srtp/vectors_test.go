package srtp

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/seq"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	require.NoError(t, err)
	return b
}

// The plaintexts of RFC 7714 §16 and §17: "Gallia est omnis divisa in partes tres" and a sender report of "Mars".
const (
	rfcRTP = `8040f17b 8041f8d3 5501a0b2
		47616c6c 69612065 7374206f 6d6e6973 20646976 69736120 696e2070 61727465 73207472 6573`
	rfcRTCP = `81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61
		deadbeef deadbeef deadbeef deadbeef deadbeef`
	rfcRTCPIndex = 0x5d4
)

func TestGCMMatchesRFC7714(t *testing.T) {
	for _, v := range []struct {
		profile        Profile
		key, rtp, rtcp string
	}{
		{
			profile: AEADAES128GCM,
			key:     `00010203 04050607 08090a0b 0c0d0e0f`,
			rtp: `8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f 42a5f47a
				51c7d19b 36de3adf 8833899d 7f27beb1 6a9152cf 765ee439 0cce`,
			rtcp: `81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d c676a5f1 730d6fda
				4ce09b46 86303ded 0bb9275b c84aa458 96cf4d2f c5abf872 45d9eade 800005d4`,
		},
		{
			profile: AEADAES256GCM,
			key:     `00010203 04050607 08090a0b 0c0d0e0f 10111213 14151617 18191a1b 1c1d1e1f`,
			rtp: `8040f17b 8041f8d3 5501a0b2 32b1de78 a822fe12 ef9f78fa 332e33aa b1801238 9a58e2f3 b50b2a02
				76ffae0f 1ba63799 b87b7aa3 db36dfff d6b0f9bb 7878d7a7 6c13`,
			rtcp: `81c8000d 4d617273 d50ae4d1 f5ce5d30 4ba297e4 7d470c28 2c3ece5d bffe0a50 a2eaa5c1 110555be
				8415f658 c61de047 6f1b6fad 1d1eb30c 4446839f 57ff6f6c b26ac3be 800005d4`,
		},
	} {
		t.Run(v.profile.String(), func(t *testing.T) {
			sealer := Sealer{
				suite:       sessionGCM(t, unhex(t, v.key)),
				rtpOverhead: v.profile.RTPOverhead(), rtcpOverhead: v.profile.RTCPOverhead(),
				rtcpIndex: rfcRTCPIndex,
			}
			opener := Opener{
				suite:       sessionGCM(t, unhex(t, v.key)),
				rtpOverhead: v.profile.RTPOverhead(), rtcpOverhead: v.profile.RTCPOverhead(),
			}

			b := append(unhex(t, rfcRTP), make([]byte, gcmTagSize)...)
			size := sealer.SealRTP(b, 12, len(b)-gcmTagSize, seq.Extended(1<<16+0xf17b))
			require.Equal(t, unhex(t, v.rtp), b[:size])
			h, ok := packet.ParseHeader(b)
			require.True(t, ok)
			size, e, verdict := opener.OpenRTP(b, &h)
			require.Equal(t, OK, verdict)
			require.Equal(t, seq.Extended(1<<16+0xf17b), e)
			require.Equal(t, unhex(t, rfcRTP), b[:size])

			b = append(unhex(t, rfcRTCP), make([]byte, gcmTagSize+rtcpIndexSize)...)
			size = sealer.SealRTCP(b, len(b)-gcmTagSize-rtcpIndexSize)
			require.Equal(t, unhex(t, v.rtcp), b[:size])
			size, verdict = opener.OpenRTCP(b)
			require.Equal(t, OK, verdict)
			require.Equal(t, unhex(t, rfcRTCP), b[:size])
		})
	}
}

// sessionGCM makes a suite of the RFC's session key and salt, past the derivation.
func sessionGCM(t *testing.T, key []byte) *gcm {
	t.Helper()
	block, err := aes.NewCipher(key)
	require.NoError(t, err)
	aead, err := cipher.NewGCM(block)
	require.NoError(t, err)
	c := &gcm{rtp: aead, rtcp: aead}
	copy(c.rtpSalt[:], "Quid pro quo")
	copy(c.rtcpSalt[:], "Quid pro quo")
	return c
}

func TestCounterModeMatchesRFC3711AppendixB2(t *testing.T) {
	block, err := aes.NewCipher(unhex(t, `2B7E1516 28AED2A6 ABF71588 09CF4F3C`))
	require.NoError(t, err)
	var c counterMode
	copy(c.rtpSalt[:], unhex(t, `F0F1F2F3 F4F5F6F7 F8F9FAFB FCFD`))
	c.setCounter(&c.rtpSalt, 0, 0)
	stream := make([]byte, 0xff02*16)
	c.xor(block, stream)
	require.Equal(t, unhex(t, `E03EAD09 35C95E80 E166B16D D92B4EB4 D2351316 2B02D0F7 2A43A2FE 4A5F97AB
		41E95B3B B0A2E8DD 477901E4 FCA894C0`), stream[:48])
	require.Equal(t, unhex(t, `EC8CDF73 98607CB0 F2D21675 EA9EA1E4 362B7C3C 67735163 18A077D7 FC5073AE
		6A2CC378 7889374F BEB4C81B 17BA6C44`), stream[0xfeff*16:][:48])
}

func TestKeyDerivationMatchesRFC3711AppendixB3(t *testing.T) {
	k := Key{
		Profile: AES128CMHMACSHA180,
		Master:  unhex(t, `E1F97A0D 3E018BE0 D64FA32C 06DE4139`),
		Salt:    unhex(t, `0EC675AD 498AFEEB B6960B3A ABE6`),
	}
	for _, v := range []struct {
		label byte
		want  string
	}{
		{labelRTPKey, `C61E7A93 744F39EE 10734AFE 3FF7A087`},
		{labelRTPSalt, `30CBBC08 863D8C85 D49DB34A 9AE1`},
		{labelRTPAuth, `CEBE321F 6FF7716B 6FD4AB49 AF256A15 6D38BAA4 8F0A0ACF 3C34E235 9E6CDBCE E049646C
			43D9327A D175578E F7227098 6371C10C 9A369AC2 F94A8C5F BCDDDC25 6D6E919A 48B610EF 17C2041E
			47403576 6B68642C 59BBFC2F 34DB60DB DFB2`},
	} {
		want := unhex(t, v.want)
		got, err := k.derive(v.label, len(want))
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

func TestKeysFromExporter(t *testing.T) {
	for _, p := range profiles {
		material := make([]byte, p.ExporterLen())
		for i := range material {
			material[i] = byte(i)
		}
		k, s := p.KeyLen(), p.SaltLen()
		clientWrite := Key{Profile: p, Master: material[:k], Salt: material[2*k : 2*k+s]}
		serverWrite := Key{Profile: p, Master: material[k : 2*k], Salt: material[2*k+s:]}

		local, remote, err := KeysFromExporter(p, material, true)
		require.NoError(t, err)
		require.Equal(t, []Key{serverWrite, clientWrite}, []Key{local, remote})
		local, remote, err = KeysFromExporter(p, material, false)
		require.NoError(t, err)
		require.Equal(t, []Key{clientWrite, serverWrite}, []Key{local, remote})

		_, _, err = KeysFromExporter(p, material[1:], true)
		require.Error(t, err)
	}
	_, _, err := KeysFromExporter(0, nil, true)
	require.Error(t, err)
}

func TestProfiles(t *testing.T) {
	for id, want := range map[uint16]Profile{1: AES128CMHMACSHA180, 7: AEADAES128GCM, 8: AEADAES256GCM} {
		got, ok := ProfileFromDTLS(id)
		require.True(t, ok)
		require.Equal(t, want, got)
	}
	_, ok := ProfileFromDTLS(2)
	require.False(t, ok)
	require.Equal(t, []int{56, 88, 60}, []int{
		AEADAES128GCM.ExporterLen(), AEADAES256GCM.ExporterLen(), AES128CMHMACSHA180.ExporterLen(),
	})
	_, err := NewSealer(Key{})
	require.Error(t, err)
	_, err = NewOpener(Key{Profile: AEADAES128GCM, Master: make([]byte, 16), Salt: make([]byte, 14)})
	require.Error(t, err)
}
