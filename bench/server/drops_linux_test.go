package server

import (
	"net"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestDropsIn(t *testing.T) {
	const table = `   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  361: 0100007F:1F90 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4711 2 0000000000000000 12
  362: 0100007F:1F91 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4712 2 0000000000000000 5
  363: 0100007F:1F92 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4713 2 0000000000000000 30
`
	require.EqualValues(t, 42, dropsIn(table, map[string]bool{"4711": true, "4713": true}))
	require.Zero(t, dropsIn("", nil))
}

func TestDropsOfTheKernel(t *testing.T) {
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	defer socket.Close()
	raw, err := socket.SyscallConn()
	require.NoError(t, err)
	require.NoError(t, raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 4096) }))
	require.NoError(t, err)
	before := DropsOf([]int{os.Getpid()})
	const sent = 100 // of 1 kB each, where there is room for a few
	for range sent {
		_, err := socket.WriteTo(make([]byte, 1024), socket.LocalAddr())
		require.NoError(t, err)
	}
	drops := DropsOf([]int{os.Getpid()}) - before
	require.Greater(t, drops, int64(sent/2))
	require.LessOrEqual(t, drops, int64(sent))
}
