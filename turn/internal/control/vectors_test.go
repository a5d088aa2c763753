package control

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/turn/credential"
)

// The messages of RFC 5769: what STUN looks like to the bit, padding that is not zero included.
var (
	sampleRequest = vector(`000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74002400046e0001ff80290008932ff9b1
		51263b36000600096576746a3a68367659202020000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf`)  // §2.1
	sampleIPv4 = vector(`0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000080001a147e112a643000800142b91f599
		fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96`)  // §2.2
	sampleIPv6 = vector(`010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000140002a1470113a9faa5d3f179bc25f4b5
		bed2b9d900080014a382954e4be67bf11784c97c8292c275bfe3ed4180280004c8fb0b4c`)  // §2.3
	sampleLongTerm = vector(`000100602112a44278ad3433c6ad72c029da412e00060012e3839ee38388e383aae38383e382afe382b900000015001c662f2f343939
		6b39353464364f4c33346f4c394653547679363473410014000b6578616d706c652e6f72670000080014f67024656dd64a3e02b8e0712e85c9a28ca89666`)  // §2.4
)

// Samples are these messages for tests from outside.
var Samples = map[string][]byte{
	"request": sampleRequest, "IPv4 response": sampleIPv4, "IPv6 response": sampleIPv6, "long-term credentials": sampleLongTerm,
}

func vector(text string) []byte {
	b, err := hex.DecodeString(strings.NewReplacer("\n", "", "\t", "", " ", "").Replace(text))
	if err != nil {
		panic(err)
	}
	return b
}

func TestRFC5769(t *testing.T) {
	sign := newSigner()
	short := []byte("VOkJxbRl1RmTxUk/WvJxBt")
	matrix := "\u30DE\u30C8\u30EA\u30C3\u30AF\u30B9"
	long := credential.Key(matrix, "example.org", "TheMatrIX")
	for name, c := range map[string]struct {
		raw, key []byte
		class    uint16
		print    bool
		user     string
		mapped   string
	}{
		"request":               {sampleRequest, short, request, true, "evtj:h6vY", ""},
		"IPv4 response":         {sampleIPv4, short, success, true, "", "192.0.2.1:32853"},
		"IPv6 response":         {sampleIPv6, short, success, true, "", "[2001:db8:1234:5678:11:2233:4455:6677]:32853"},
		"long-term credentials": {sampleLongTerm, long[:], request, false, matrix, ""},
	} {
		var m message
		require.True(t, m.parse(c.raw), name)
		require.Equal(t, uint16(binding), m.method, name)
		require.Equal(t, c.class, m.class, name)
		require.Equal(t, c.print, m.fingerprint, name)
		require.True(t, sign.proves(&m, c.key), name)
		require.False(t, sign.proves(&m, append([]byte("x"), c.key...)), name)
		if c.user != "" {
			user, ok := m.get(username)
			require.True(t, ok, name)
			require.Equal(t, c.user, string(user), name)
		}
		if c.mapped != "" {
			value, _ := m.get(xorMappedAddress)
			at, ok := address(value, m.tx)
			require.True(t, ok, name)
			require.Equal(t, netip.MustParseAddrPort(c.mapped), at, name)
			require.Equal(t, value, appendAddress(nil, xorMappedAddress, at, m.tx, true)[4:], name)
		}
		for i := range c.raw {
			spoiled := append([]byte(nil), c.raw...)
			spoiled[i] ^= 1
			// An attribute behind the integrity that is no FINGERPRINT any more is overlooked.
			ok := m.parse(spoiled) && m.integrity != 0 && sign.proves(&m, c.key) && m.fingerprint == c.print
			require.False(t, ok, "%s: a bit of byte %d", name, i)
		}
	}
}
