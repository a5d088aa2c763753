package framed_test

import (
	"bufio"
	"encoding/binary"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/framed"
)

// A path takes a quarter of what is sent. The kernel would take all of it for a while, and give it out seconds late.
func TestWhatLeavesIsFresh(t *testing.T) {
	const (
		size  = 200
		every = 2500 * time.Microsecond
		takes = 10 * time.Millisecond // one frame
		lasts = 3 * time.Second
	)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	far := make(chan net.Conn, 1)
	go func() {
		c, _ := listener.Accept()
		// Little waits at the receiver's end; what does is not the sender's.
		_ = c.(*net.TCPConn).SetReadBuffer(4096)
		far <- c
	}()
	near, err := net.Dial("tcp", listener.Addr().String())
	require.NoError(t, err)
	var late, sent atomic.Uint64
	w := framed.NewWriter(near, &late)
	stop, done := make(chan struct{}), make(chan error)
	go func() { done <- w.Run(stop) }()
	go func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case now := <-tick.C:
				b := make([]byte, size)
				binary.BigEndian.PutUint64(b, uint64(now.UnixNano()))
				if w.Send(b, false) {
					sent.Add(1)
				}
			case <-stop:
				return
			}
		}
	}()
	c := <-far
	in := bufio.NewReaderSize(c, framed.MaxFrame)
	b := make([]byte, framed.MaxFrame)
	frames, age := 0, time.Duration(0)
	began := time.Now()
	for ; time.Since(began) < lasts; frames++ {
		time.Sleep(takes)
		_, err := framed.Read(in, b)
		require.NoError(t, err)
		age = time.Since(time.Unix(0, int64(binary.BigEndian.Uint64(b))))
	}
	pace := time.Since(began) / time.Duration(frames) // a busy machine takes less
	close(stop)
	require.NoError(t, <-done)
	require.NoError(t, near.Close())
	require.NoError(t, c.Close())
	t.Logf("of %d frames %d arrived, one in %v, the last %v old; %d were dropped", sent.Load(), frames, pace, age, late.Load())
	// What is under way stands in the kernels: a batch of 20 frames and the receiver's buffer. The sender's holds thousands.
	const underway = 100
	require.Less(t, age, framed.Stale+underway*pace)
	require.Greater(t, int(late.Load())+frames+2*underway, int(sent.Load()))
}
