package udp_test

import (
	"encoding/binary"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/udp"
)

// Several writing halves send at once, each in its order, and end with their socket.
func TestSenders(t *testing.T) {
	for form, run := range map[string]func(t *testing.T, ipv6 bool, behaviour func(*testing.T, pair)){
		"raw":             listenBoth(listenWith(udp.Config{})),
		"portable":        listenBoth(listenWith(udp.Config{Portable: true})),
		"portable single": listenBoth(udp.ListenSingle),
		"memory":          simulated,
	} {
		t.Run(form, func(t *testing.T) { run(t, false, testSenders) })
	}
}

func testSenders(t *testing.T, s pair) {
	const rounds, size = 20, 200
	senders := []udp.Sender{s.a, udp.NewSender(s.a), udp.NewSender(s.a)}
	var all sync.WaitGroup
	for from, sender := range senders {
		all.Go(func() {
			q := udp.NewQueue(2)
			for round := range rounds {
				for k := range 2 {
					b := q.Next(s.b.LocalAddr())
					binary.BigEndian.PutUint32(b, uint32(from))
					binary.BigEndian.PutUint32(b[4:], uint32(2*round+k))
					q.Commit(size)
				}
				if err := sender.Flush(q); err != nil || q.Len() != 0 {
					t.Errorf("flush: %v, %d left", err, q.Len())
				}
			}
		})
	}
	all.Wait()
	got := make([]uint32, len(senders)) // the next number of each
	batch := udp.NewBatch()
	for count := 0; count < len(senders)*2*rounds; {
		n := next(t, s.b, batch)
		for i := range n {
			data, _ := batch.Datagram(i)
			from := binary.BigEndian.Uint32(data)
			require.Equal(t, got[from], binary.BigEndian.Uint32(data[4:]), "of sender %d", from)
			got[from]++
		}
		count += n
	}
	require.NoError(t, s.a.Close())
	for _, sender := range senders {
		require.ErrorIs(t, sender.Flush(udp.NewQueue(1)), udp.ErrClosed)
	}
}
