package framed_test

import (
	"bufio"
	"bytes"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/framed"
)

// A reader that stalls gets what is fresh when it comes back, and all that must arrive.
func TestStaleFramesAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		var late atomic.Uint64
		w := framed.NewWriter(near, &late)
		stop, done := make(chan struct{}), make(chan error)
		go func() { done <- w.Run(stop) }()
		require.True(t, w.Send([]byte{1, 1}, false)) // fills the pipe, nobody reads
		synctest.Wait()
		for n := range byte(10) {
			require.True(t, w.Send([]byte{2, n}, false))
		}
		require.True(t, w.Send([]byte{20, 0}, true))
		time.Sleep(time.Second)
		require.True(t, w.Send([]byte{3, 3}, false))
		var got [][]byte
		in := bufio.NewReader(far)
		for range 3 {
			b := make([]byte, framed.MaxFrame)
			n, err := framed.Read(in, b)
			require.NoError(t, err)
			got = append(got, b[:n])
		}
		require.Equal(t, [][]byte{{1, 1}, {20, 0}, {3, 3}}, got)
		require.EqualValues(t, 10, late.Load())

		// And no more than the queue holds waits at all.
		require.True(t, w.Send([]byte{1, 1}, false))
		synctest.Wait()
		for range framed.Queue {
			require.True(t, w.Send([]byte{4, 4}, false))
		}
		require.False(t, w.Send([]byte{4, 4}, false))
		require.NoError(t, far.Close())
		require.Error(t, <-done)
		close(stop)
	})
}

// What is no frame would end the connection at its other end.
func TestNoFrameIsNotSent(t *testing.T) {
	near, far := net.Pipe()
	var late atomic.Uint64
	w := framed.NewWriter(near, &late)
	stop, done := make(chan struct{}), make(chan error)
	go func() { done <- w.Run(stop) }()
	require.False(t, w.Send(nil, true))
	require.False(t, w.Send(make([]byte, framed.MaxFrame+1), true))
	require.True(t, w.Send(make([]byte, framed.MaxFrame), true))
	n, err := framed.Read(bufio.NewReader(far), make([]byte, framed.MaxFrame))
	require.NoError(t, err)
	require.Equal(t, framed.MaxFrame, n)
	require.NoError(t, far.Close())
	close(stop)
	require.NoError(t, <-done)
}

func TestBrokenFraming(t *testing.T) {
	for _, stream := range []string{"\x00\x00", "\x40\x00", "\x07\xd1"} {
		_, err := framed.Read(bufio.NewReader(bytes.NewReader([]byte(stream))), make([]byte, framed.MaxFrame))
		require.ErrorIs(t, err, framed.ErrFraming)
	}
	for _, stream := range []string{"", "\x00", "\x00\x02a"} {
		_, err := framed.Read(bufio.NewReader(bytes.NewReader([]byte(stream))), make([]byte, framed.MaxFrame))
		require.NotErrorIs(t, err, framed.ErrFraming)
		require.Error(t, err)
	}
}
