package wire

import (
	"bytes"
	"compress/flate"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSDPTravelsDeflated(t *testing.T) {
	offer := "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n" + strings.Repeat("a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n", 50)
	packed, err := Offer(offer)
	require.NoError(t, err)
	require.Equal(t, Sdp_OFFER, packed.GetType())
	require.Less(t, len(packed.GetDeflate()), len(offer)/10)
	text, err := packed.Inflate()
	require.NoError(t, err)
	require.Equal(t, offer, text)

	packed, err = Answer("v=0\r\n")
	require.NoError(t, err)
	require.Equal(t, Sdp_ANSWER, packed.GetType())
}

func TestInflateReadsWhatOthersDeflate(t *testing.T) {
	// zlib.deflateRawSync("v=0\r\n") of Node 20.
	raw, err := hex.DecodeString("2bb335e0e50200")
	require.NoError(t, err)
	text, err := (&Sdp{Deflate: raw}).Inflate()
	require.NoError(t, err)
	require.Equal(t, "v=0\r\n", text)
}

func TestInflateIsBounded(t *testing.T) {
	at, err := Offer(strings.Repeat("a", MaxSDP))
	require.NoError(t, err)
	text, err := at.Inflate()
	require.NoError(t, err)
	require.Len(t, text, MaxSDP)

	_, err = Offer(strings.Repeat("a", MaxSDP+1))
	require.ErrorIs(t, err, ErrSDPTooLarge)

	// 64 MiB of zeros in 64 KiB: reading stops at the bound.
	bomb := deflated(t, make([]byte, 64<<20))
	require.Less(t, len(bomb), MaxClientFrame+MaxClientFrame/8)
	_, err = (&Sdp{Deflate: bomb}).Inflate()
	require.ErrorIs(t, err, ErrSDPTooLarge)
	allocated := testing.AllocsPerRun(5, func() { _, _ = (&Sdp{Deflate: bomb}).Inflate() })
	require.Less(t, allocated, 100.0)
}

func TestBadSDPIsATypedError(t *testing.T) {
	good := deflated(t, []byte("v=0\r\n"))
	for _, c := range []struct {
		name  string
		bytes []byte
	}{
		{"nothing", nil},
		{"empty text", deflated(t, nil)},
		{"plain text", []byte("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\n")},
		{"zlib header", append([]byte{0x78, 0x9c}, good...)},
		{"cut short", good[:len(good)-2]},
		{"something after the end", append(append([]byte{}, good...), 0)},
		{"not UTF-8", deflated(t, []byte("v=0\xff\r\n"))},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := (&Sdp{Deflate: c.bytes}).Inflate()
			require.ErrorIs(t, err, ErrBadSDP)
		})
	}
	_, err := (*Sdp)(nil).Inflate()
	require.ErrorIs(t, err, ErrBadSDP)
}

func FuzzInflate(f *testing.F) {
	f.Add(deflated(f, []byte("v=0\r\n")))
	f.Add(deflated(f, make([]byte, MaxSDP+1)))
	f.Add([]byte{3, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		text, err := (&Sdp{Deflate: b}).Inflate()
		if err != nil {
			return
		}
		require.LessOrEqual(t, len(text), MaxSDP)
		packed, err := Answer(text)
		require.NoError(t, err)
		back, err := packed.Inflate()
		require.NoError(t, err)
		require.Equal(t, text, back)
	})
}

func deflated(t testing.TB, text []byte) []byte {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	require.NoError(t, err)
	_, err = w.Write(text)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.Bytes()
}
