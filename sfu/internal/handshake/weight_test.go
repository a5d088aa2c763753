package handshake

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// What one connected, idle peer with 3 + 9 slots weighs on the server: of the participant's 20 goroutines and 450 kB.
// The clients are in the same process, so they are opened alone first and taken off.
func TestWeightOfAConnectedPeer(t *testing.T) {
	const peers = 10
	measure := func() (goroutines int, bytes uint64) {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return runtime.NumGoroutine(), m.HeapAlloc + m.StackInuse
	}
	halls := make([]*hall, peers)
	for i := range halls {
		halls[i] = newHall(t, hallConfig{})
		halls[i].transceivers(1, 1, 3, 9)
		halls[i].negotiate(nil)
		<-halls[i].keys
	}
	connected, with := measure()
	for _, h := range halls {
		// The client must not hear of it, else it closes as well.
		h.mu.Lock()
		h.cut = true
		h.mu.Unlock()
		require.NoError(t, h.peer.Close())
	}
	for _, h := range halls {
		h.mu.Lock()
		h.peer, h.engine = nil, nil
		h.mu.Unlock()
	}
	alone, without := measure()
	for _, h := range halls {
		require.NoError(t, h.client.Close())
		require.NoError(t, h.socket.Close())
	}
	t.Logf("a peer: %d goroutines, %d kB of heap and stacks", (connected-alone)/peers, (int64(with)-int64(without))/peers/1000)
	require.LessOrEqual(t, (connected-alone)/peers, 16)
}
