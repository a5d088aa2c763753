package turn_test

import (
	"crypto/md5" //nolint:gosec // as RFC 8489 has it
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/pion/stun/v4"
	"github.com/stretchr/testify/require"
)

// rawClient speaks TURN message by message over a connection of any way.
type rawClient struct {
	t              testing.TB
	conn           net.Conn
	datagrams      bool
	user, password string
	realm, nonce   string
	last           *stun.Message
}

func newRawClient(t testing.TB, conn net.Conn) *rawClient {
	_, datagrams := conn.(*net.UDPConn)
	return &rawClient{t: t, conn: conn, datagrams: datagrams, user: user, password: password}
}

// frame reads one frame.
func (c *rawClient) frame() []byte {
	c.t.Helper()
	require.NoError(c.t, c.conn.SetReadDeadline(time.Now().Add(patience)))
	if c.datagrams {
		b := make([]byte, 2048)
		n, err := c.conn.Read(b)
		require.NoError(c.t, err)
		return b[:n]
	}
	b := make([]byte, 4)
	_, err := io.ReadFull(c.conn, b)
	require.NoError(c.t, err)
	size := int(binary.BigEndian.Uint16(b[2:]))
	if b[0] < 0x40 {
		size += 16
	} else {
		size = (size + 3) &^ 3
	}
	b = append(b, make([]byte, size)...)
	_, err = io.ReadFull(c.conn, b[4:])
	require.NoError(c.t, err)
	return b
}

// bytes counts what comes within a time, frames or parts of them: none can be read afterwards.
func (c *rawClient) bytes(within time.Duration) (came int) {
	c.t.Helper()
	require.NoError(c.t, c.conn.SetReadDeadline(time.Now().Add(within)))
	b := make([]byte, 64<<10)
	for {
		n, err := c.conn.Read(b)
		came += n
		if err != nil {
			require.ErrorIs(c.t, err, os.ErrDeadlineExceeded)
			return came
		}
	}
}

// channelData waits for ChannelData and returns what it carries.
func (c *rawClient) channelData() []byte {
	c.t.Helper()
	for {
		if b := c.frame(); b[0] >= 0x40 {
			return b[4 : 4+binary.BigEndian.Uint16(b[2:])]
		}
	}
}

func (c *rawClient) send(channel uint16, data []byte) {
	c.t.Helper()
	b := binary.BigEndian.AppendUint16(nil, channel)
	b = append(binary.BigEndian.AppendUint16(b, uint16(len(data))), data...)
	for !c.datagrams && len(b)%4 != 0 {
		b = append(b, 0)
	}
	_, err := c.conn.Write(b)
	require.NoError(c.t, err)
}

// request sends a request and returns the error code of the answer, 0 for success.
func (c *rawClient) request(setters ...stun.Setter) stun.ErrorCode {
	c.t.Helper()
	m := stun.MustBuild(append([]stun.Setter{stun.TransactionID}, setters...)...)
	_, err := c.conn.Write(m.Raw)
	require.NoError(c.t, err)
	for {
		b := c.frame()
		if b[0] >= 0x40 {
			continue
		}
		reply := &stun.Message{Raw: b}
		require.NoError(c.t, reply.Decode())
		if reply.TransactionID != m.TransactionID {
			continue
		}
		c.last = reply
		var code stun.ErrorCodeAttribute
		if reply.Type.Class == stun.ClassSuccessResponse {
			return 0
		}
		require.NoError(c.t, code.GetFrom(reply))
		var r stun.Realm
		var n stun.Nonce
		if r.GetFrom(reply) == nil && n.GetFrom(reply) == nil {
			c.realm, c.nonce = r.String(), n.String()
		}
		return code.Code
	}
}

func (c *rawClient) signed(setters ...stun.Setter) []stun.Setter {
	key := md5.Sum([]byte(c.user + ":" + c.realm + ":" + c.password))
	return append(setters, stun.NewUsername(c.user), stun.NewRealm(c.realm), stun.NewNonce(c.nonce), stun.MessageIntegrity(key[:]))
}

var (
	allocateRequest = stun.NewType(stun.MethodAllocate, stun.ClassRequest)
	overUDP         = stun.RawAttribute{Type: stun.AttrRequestedTransport, Value: []byte{17, 0, 0, 0}}
)

// ask allocates without credentials, and learns realm and nonce.
func (c *rawClient) ask() stun.ErrorCode {
	c.t.Helper()
	return c.request(allocateRequest, overUDP)
}

// sign allocates with credentials.
func (c *rawClient) sign() stun.ErrorCode {
	c.t.Helper()
	return c.request(c.signed(allocateRequest, overUDP)...)
}

func (c *rawClient) tryAllocate() stun.ErrorCode {
	c.t.Helper()
	if code := c.ask(); code != stun.CodeUnauthorized {
		return code
	}
	return c.sign()
}

// allocate returns the relayed address.
func (c *rawClient) allocate() netip.AddrPort {
	c.t.Helper()
	require.Zero(c.t, c.tryAllocate())
	var relayed stun.XORMappedAddress
	require.NoError(c.t, relayed.GetFromAs(c.last, stun.AttrXORRelayedAddress))
	return netip.MustParseAddrPort(relayed.String())
}

// bind binds a channel to a peer.
func (c *rawClient) bind(channel uint16, peer net.Addr) {
	c.t.Helper()
	at := peer.(*net.UDPAddr)
	number := binary.BigEndian.AppendUint16(nil, channel)
	require.Zero(c.t, c.request(c.signed(
		stun.NewType(stun.MethodChannelBind, stun.ClassRequest),
		stun.RawAttribute{Type: stun.AttrChannelNumber, Value: append(number, 0, 0)},
		xorPeer{IP: at.IP, Port: at.Port},
	)...))
}

// xorPeer is XOR-PEER-ADDRESS.
type xorPeer stun.XORMappedAddress

func (p xorPeer) AddTo(m *stun.Message) error {
	return stun.XORMappedAddress(p).AddToAs(m, stun.AttrXORPeerAddress)
}
