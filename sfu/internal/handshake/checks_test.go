package handshake

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"

	"github.com/pion/ice/v4"
	"github.com/pion/stun/v4"
	"github.com/stretchr/testify/require"
)

func pionCheck(t *testing.T, username, pwd string, more ...stun.Setter) []byte {
	t.Helper()
	setters := append([]stun.Setter{stun.BindingRequest, stun.TransactionID, stun.NewUsername(username)}, more...)
	m, err := stun.Build(append(setters, stun.NewShortTermIntegrity(pwd), stun.Fingerprint)...)
	require.NoError(t, err)
	return m.Raw
}

func TestCheckBindingReadsWhatPionWrites(t *testing.T) {
	for _, username := range []string{"abcd:wxyz", "abcde:wxyz", "abcdef:wxyz", "abcdefg:wxyz"} {
		b := pionCheck(t, username, "a password of ours!!!!", ice.AttrControlling(7), ice.PriorityAttr(99), ice.UseCandidate())
		ufrag, ok := LocalUfragOf(b)
		require.True(t, ok)
		require.Equal(t, strings.TrimSuffix(username, ":wxyz"), string(ufrag))
		c, ok := NewSecret("a password of ours!!!!").CheckBinding(b)
		require.True(t, ok)
		require.Equal(t, Binding{UseCandidate: true, Priority: 99, Tx: TransactionID(b[8:20])}, c)
		_, ok = NewSecret("another password").CheckBinding(b)
		require.False(t, ok)
	}
}

func TestCheckBindingRefuses(t *testing.T) {
	good := pionCheck(t, "abcd:wxyz", "pwd")
	_, ok := NewSecret("pwd").CheckBinding(good)
	require.True(t, ok)
	for i := range good[:len(good)-8] { // the fingerprint after the integrity proves nothing
		b := append([]byte(nil), good...)
		b[i] ^= 1
		_, ok := NewSecret("pwd").CheckBinding(b)
		require.False(t, ok, "byte %d changed", i)
	}
	for n := range good {
		_, ok := NewSecret("pwd").CheckBinding(good[:n])
		require.False(t, ok, "cut to %d bytes", n)
		_, ok = LocalUfragOf(good[:n])
		require.False(t, ok)
	}
	// What follows the integrity is not believed.
	m := &stun.Message{Raw: append([]byte(nil), good[:len(good)-8]...)}
	binary.BigEndian.PutUint16(m.Raw[2:], uint16(len(m.Raw)-stunHeader))
	require.NoError(t, m.Decode())
	m.Add(stun.AttrUseCandidate, nil)
	c, ok := NewSecret("pwd").CheckBinding(m.Raw)
	require.True(t, ok)
	require.False(t, c.UseCandidate)
	// No USERNAME.
	n, err := stun.Build(stun.BindingRequest, stun.TransactionID, stun.NewShortTermIntegrity("pwd"))
	require.NoError(t, err)
	_, ok = NewSecret("pwd").CheckBinding(n.Raw)
	require.False(t, ok)
}

func TestAppendCheckIsReadByPion(t *testing.T) {
	tx := TransactionID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
	for _, ours := range []string{"abcd", "abcde", "abcdef", "abcdefg"} {
		b := NewSecret("their password").AppendCheck([]byte("before"), tx, "wxyz", ours, 77)[len("before"):]
		m := &stun.Message{Raw: b}
		require.NoError(t, m.Decode())
		require.Equal(t, stun.BindingRequest, m.Type)
		require.Equal(t, [12]byte(tx), m.TransactionID)
		require.NoError(t, stun.NewShortTermIntegrity("their password").Check(m))
		require.NoError(t, stun.Fingerprint.Check(m))
		var username stun.Username
		require.NoError(t, username.GetFrom(m))
		require.Equal(t, "wxyz:"+ours, username.String())
		var control ice.AttrControlled
		require.NoError(t, control.GetFrom(m))
		require.Equal(t, ice.AttrControlled(77), control)
		require.False(t, m.Contains(stun.AttrUseCandidate))

		answer, err := stun.Build(m, stun.BindingSuccess, &stun.XORMappedAddress{IP: []byte{192, 0, 2, 1}, Port: 9},
			stun.NewShortTermIntegrity("their password"), stun.Fingerprint)
		require.NoError(t, err)
		require.True(t, NewSecret("their password").CheckResponse(answer.Raw, tx))
		require.False(t, NewSecret("wrong").CheckResponse(answer.Raw, tx))
		require.False(t, NewSecret("their password").CheckResponse(answer.Raw, TransactionID{}))
		require.False(t, NewSecret("their password").CheckResponse(b, tx), "a request is no response")
	}
}

// The sample request of RFC 5769 §2.1 (its padding is of blanks).
func TestSampleRequestOfRFC5769(t *testing.T) {
	b, err := hex.DecodeString("000100582112a442b7e7a701bc34d686fa87dfae" +
		"802200105354554e207465737420636c69656e74" + "002400046e0001ff" + "80290008932ff9b151263b36" +
		"000600096576746a3a68367659202020" + "000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2" + "80280004e57a3bcf")
	require.NoError(t, err)
	c, ok := NewSecret("VOkJxbRl1RmTxUk/WvJxBt").CheckBinding(b)
	require.True(t, ok)
	require.Equal(t, uint32(0x6e0001ff), c.Priority)
	ufrag, ok := LocalUfragOf(b)
	require.True(t, ok)
	require.Equal(t, "evtj", string(ufrag))
}

func FuzzSTUN(f *testing.F) {
	f.Add(NewSecret("pwd").AppendCheck(nil, TransactionID{}, "a", "b", 1))
	f.Add([]byte{0, 1, 0, 4, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		c, ok := NewSecret("pwd").CheckBinding(b)
		if ok {
			m := &stun.Message{Raw: append([]byte(nil), b...)}
			require.NoError(t, m.Decode())
			require.NoError(t, stun.NewShortTermIntegrity("pwd").Check(m))
			require.Equal(t, c.Tx, TransactionID(m.TransactionID))
		}
		_, _ = LocalUfragOf(b)
		_ = NewSecret("pwd").CheckResponse(b, c.Tx)
		if len(b) > 3 {
			// A length that fits lets more inputs reach the attributes.
			binary.BigEndian.PutUint16(b[2:], uint16(max(0, len(b)-stunHeader)))
			_, _ = NewSecret("pwd").CheckBinding(b)
		}
	})
}

func TestAppendResponseIsWhatPionReads(t *testing.T) {
	for _, from := range []string{"192.0.2.7:4711", "[2001:db8::7]:4711", "[::ffff:192.0.2.7]:4711"} {
		from := netip.MustParseAddrPort(from)
		tx := TransactionID{1, 2, 3}
		m := &stun.Message{Raw: NewSecret("pwd").AppendResponse(nil, tx, from)}
		require.NoError(t, m.Decode())
		require.Equal(t, stun.BindingSuccess, m.Type)
		require.Equal(t, tx, TransactionID(m.TransactionID))
		require.NoError(t, stun.NewShortTermIntegrity("pwd").Check(m))
		require.NoError(t, stun.Fingerprint.Check(m))
		var mapped stun.XORMappedAddress
		require.NoError(t, mapped.GetFrom(m))
		require.Equal(t, from.Addr().Unmap().String(), mapped.IP.String())
		require.Equal(t, int(from.Port()), mapped.Port)
	}
}

func BenchmarkAnswerACheck(b *testing.B) {
	secret := NewSecret("pwd")
	check := secret.AppendCheck(nil, TransactionID{}, "abcdefghabcdefgh", "abcdefghabcdefgh", 1)
	answer := make([]byte, 0, 128)
	from := netip.MustParseAddrPort("192.0.2.7:4711")
	b.ReportAllocs()
	for b.Loop() {
		c, ok := secret.CheckBinding(check)
		if !ok {
			b.Fatal("refused")
		}
		secret.AppendResponse(answer, c.Tx, from)
	}
}
