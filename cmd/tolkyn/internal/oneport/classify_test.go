package oneport_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/pion/stun/v4"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/cmd/tolkyn/internal/oneport"
)

func message(t testing.TB, setters ...stun.Setter) []byte {
	t.Helper()
	m, err := stun.Build(append([]stun.Setter{stun.TransactionID}, setters...)...)
	require.NoError(t, err)
	return m.Raw
}

// framed puts RFC 4571's length before b.
func framed(b []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)
}

func check(t testing.TB) []byte {
	return message(t, stun.BindingRequest, stun.NewSoftware("odd"), stun.NewUsername("ours:theirs"), stun.NewShortTermIntegrity("secret"))
}

func TestOpen(t *testing.T) {
	allocate := stun.NewType(stun.MethodAllocate, stun.ClassRequest)
	for name, want := range map[string]struct {
		b []byte
		oneport.Opening
	}{
		"a ClientHello":            {[]byte{0x16, 3, 1, 2, 0, 1}, oneport.Hello},
		"a record of no version":   {[]byte{0x16, 2}, oneport.Strange},
		"an Allocate":              {message(t, allocate), oneport.STUN},
		"a Binding request":        {message(t, stun.BindingRequest), oneport.STUN},
		"a framed check":           {framed(check(t)), oneport.Frame},
		"GET":                      {[]byte("GET / HTTP/1.1\r\n"), oneport.HTTP},
		"OPTIONS":                  {[]byte("OPTIONS * HTTP/1.1\r\n"), oneport.HTTP},
		"ChannelData":              {[]byte{0x40, 0, 0, 4, 1, 2, 3, 4}, oneport.Strange},
		"lower case":               {[]byte("get /"), oneport.Strange},
		"SSH":                      {[]byte("SSH-2.0"), oneport.HTTP}, // answered with 400
		"SOCKS":                    {[]byte{5, 1, 0}, oneport.Strange},
		"STUN without its cookie":  {make([]byte, 20), oneport.Strange},
		"a giant frame":            {append([]byte{0xff, 0xfc}, check(t)...), oneport.Strange},
		"a frame of something":     {framed(bytes.Repeat([]byte{1}, 40)), oneport.Strange},
		"TURN's frame of spinning": {[]byte{0x40, 0, 0xff, 0xfc, 0, 0, 0, 0, 0}, oneport.Strange},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, want.Opening, oneport.Open(want.b))
			known := false
			for n := range min(len(want.b), 16) { // byte by byte, as a slow client sends it
				got := oneport.Open(want.b[:n])
				require.True(t, !known || got == want.Opening, "%d bytes: it was clear before", n)
				if known = got != oneport.More; known {
					require.Equal(t, want.Opening, got, "%d bytes", n)
				}
			}
		})
	}
}

func TestClassify(t *testing.T) {
	relay := message(t, stun.NewType(stun.MethodRefresh, stun.ClassRequest), stun.NewUsername("9:user"), stun.NewRealm("turn"))
	longTerm := message(t, stun.BindingRequest, stun.NewUsername("9:user"), stun.NewRealm("turn"))
	for name, want := range map[string]struct {
		b []byte
		oneport.Datagram
	}{
		"a check":                       {check(t), oneport.Check},
		"Binding without a name":        {message(t, stun.BindingRequest), oneport.Relay},
		"Binding with TURN's name":      {longTerm, oneport.Relay},
		"a name without a colon":        {message(t, stun.BindingRequest, stun.NewUsername("ours")), oneport.Relay},
		"no name of ours":               {message(t, stun.BindingRequest, stun.NewUsername(":theirs")), oneport.Relay},
		"Refresh":                       {relay, oneport.Relay},
		"a response to a check":         {message(t, stun.BindingSuccess), oneport.Answer},
		"an error to a check":           {message(t, stun.BindingError), oneport.Answer},
		"STUN without its cookie":       {make([]byte, 20), oneport.Junk},
		"a short STUN message":          {check(t)[:19], oneport.Junk},
		"a check whose name is cut off": {check(t)[:40], oneport.Relay},
		"nothing":                       {nil, oneport.Junk},
	} {
		t.Run(name, func(t *testing.T) {
			for _, allocated := range []bool{false, true} {
				require.Equal(t, want.Datagram, oneport.Classify(want.b, allocated))
			}
		})
	}
	require.Equal(t, "ours", string(oneport.Ufrag(check(t))))
	require.Zero(t, testing.AllocsPerRun(100, func() { oneport.Classify(relay, true) }))
}

// TestFirstBytes is the whole table of RFC 9443 §3, but for STUN.
func TestFirstBytes(t *testing.T) {
	for first := 4; first < 256; first++ {
		var want, allocated oneport.Datagram
		switch {
		case first < 20:
			want = oneport.Junk // ZRTP is spoken by nobody here
		case first < 64:
			want = oneport.Media
		case first < 80:
			want, allocated = oneport.QUIC, oneport.Relay
		case first < 128:
			want = oneport.QUIC
		case first < 192:
			want = oneport.Media
		default:
			want = oneport.QUIC
		}
		if allocated == 0 {
			allocated = want
		}
		require.Equal(t, want, oneport.Classify([]byte{byte(first)}, false), first)
		require.Equal(t, allocated, oneport.Classify([]byte{byte(first)}, true), first)
	}
}

// FuzzOneport: whatever comes is classified without a panic, and once there are enough bytes for good.
func FuzzOneport(f *testing.F) {
	f.Add(check(f))
	f.Add(framed(check(f)))
	f.Add([]byte{0x16, 3, 1, 0, 0})
	f.Add([]byte("GET / HTTP/1.1\r\n"))
	f.Add([]byte{0x40, 0, 0xff, 0xfc})
	f.Fuzz(func(t *testing.T, b []byte) {
		opening := oneport.Open(b)
		require.False(t, len(b) >= 10 && opening == oneport.More)
		if opening != oneport.More {
			require.Equal(t, opening, oneport.Open(append(bytes.Clone(b), 0)), "one byte more")
		}
		if oneport.Classify(b, true) == oneport.Check {
			require.NotEmpty(t, oneport.Ufrag(b))
			require.Contains(t, string(b), string(oneport.Ufrag(b))+":")
		}
	})
}
