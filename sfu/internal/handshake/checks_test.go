package handshake

import (
	"encoding/binary"
	"encoding/hex"
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
		require.Equal(t, strings.TrimSuffix(username, ":wxyz"), ufrag)
		c, ok := CheckBinding(b, "a password of ours!!!!")
		require.True(t, ok)
		require.Equal(t, Binding{Username: username, UseCandidate: true, Priority: 99, Tx: TransactionID(b[8:20])}, c)
		_, ok = CheckBinding(b, "another password")
		require.False(t, ok)
	}
}

func TestCheckBindingRefuses(t *testing.T) {
	good := pionCheck(t, "abcd:wxyz", "pwd")
	_, ok := CheckBinding(good, "pwd")
	require.True(t, ok)
	for i := range good[:len(good)-8] { // the fingerprint after the integrity proves nothing
		b := append([]byte(nil), good...)
		b[i] ^= 1
		_, ok := CheckBinding(b, "pwd")
		require.False(t, ok, "byte %d changed", i)
	}
	for n := range good {
		_, ok := CheckBinding(good[:n], "pwd")
		require.False(t, ok, "cut to %d bytes", n)
		_, ok = LocalUfragOf(good[:n])
		require.False(t, ok)
	}
	// What follows the integrity is not believed.
	m := &stun.Message{Raw: append([]byte(nil), good[:len(good)-8]...)}
	binary.BigEndian.PutUint16(m.Raw[2:], uint16(len(m.Raw)-stunHeader))
	require.NoError(t, m.Decode())
	m.Add(stun.AttrUseCandidate, nil)
	c, ok := CheckBinding(m.Raw, "pwd")
	require.True(t, ok)
	require.False(t, c.UseCandidate)
	// No USERNAME.
	n, err := stun.Build(stun.BindingRequest, stun.TransactionID, stun.NewShortTermIntegrity("pwd"))
	require.NoError(t, err)
	_, ok = CheckBinding(n.Raw, "pwd")
	require.False(t, ok)
}

func TestAppendCheckIsReadByPion(t *testing.T) {
	tx := TransactionID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
	for _, ours := range []string{"abcd", "abcde", "abcdef", "abcdefg"} {
		b := AppendCheck([]byte("before"), tx, "wxyz", ours, "their password", 77)[len("before"):]
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
		require.True(t, CheckResponse(answer.Raw, tx, "their password"))
		require.False(t, CheckResponse(answer.Raw, tx, "wrong"))
		require.False(t, CheckResponse(answer.Raw, TransactionID{}, "their password"))
		require.False(t, CheckResponse(b, tx, "their password"), "a request is no response")
		got, ok := ResponseTransaction(answer.Raw)
		require.True(t, ok)
		require.Equal(t, tx, got)
		_, ok = ResponseTransaction(b)
		require.False(t, ok)
	}
}

// The sample request of RFC 5769 §2.1 (its padding is of blanks).
func TestSampleRequestOfRFC5769(t *testing.T) {
	b, err := hex.DecodeString("000100582112a442b7e7a701bc34d686fa87dfae" +
		"802200105354554e207465737420636c69656e74" + "002400046e0001ff" + "80290008932ff9b151263b36" +
		"000600096576746a3a68367659202020" + "000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2" + "80280004e57a3bcf")
	require.NoError(t, err)
	c, ok := CheckBinding(b, "VOkJxbRl1RmTxUk/WvJxBt")
	require.True(t, ok)
	require.Equal(t, "evtj:h6vY", c.Username)
	require.Equal(t, uint32(0x6e0001ff), c.Priority)
	ufrag, ok := LocalUfragOf(b)
	require.True(t, ok)
	require.Equal(t, "evtj", ufrag)
}

func FuzzSTUN(f *testing.F) {
	f.Add(AppendCheck(nil, TransactionID{}, "a", "b", "pwd", 1))
	f.Add([]byte{0, 1, 0, 4, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		c, ok := CheckBinding(b, "pwd")
		if ok {
			m := &stun.Message{Raw: append([]byte(nil), b...)}
			require.NoError(t, m.Decode())
			require.NoError(t, stun.NewShortTermIntegrity("pwd").Check(m))
			require.Equal(t, c.Tx, TransactionID(m.TransactionID))
		}
		_, _ = LocalUfragOf(b)
		_ = CheckResponse(b, c.Tx, "pwd")
		if len(b) > 3 {
			// A length that fits lets more inputs reach the attributes.
			binary.BigEndian.PutUint16(b[2:], uint16(max(0, len(b)-stunHeader)))
			_, _ = CheckBinding(b, "pwd")
		}
	})
}

func BenchmarkCheckBinding(b *testing.B) {
	check := AppendCheck(nil, TransactionID{}, "abcdefghabcdefgh", "abcdefghabcdefgh", "pwd", 1)
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := CheckBinding(check, "pwd"); !ok {
			b.Fatal("refused")
		}
	}
}
