package shard

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/sfu/internal/handshake"
)

func TestAdmitEndsWithItsPeerAndItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer b.close()
		b.shard.Post(Query{func(s *Shard) { s.gate = handshake.NewGate[PeerID, heldPacket](1) }})
		ctx := context.Background()
		for id := PeerID(1); id <= 4; id++ {
			b.shard.Post(AddPeer{ID: id})
		}
		start := time.Now()
		require.True(t, b.shard.Admit(ctx, 1), "the only place")

		granted := make(chan bool, 1)
		go func() { granted <- b.shard.Admit(ctx, 2) }()
		synctest.Wait()
		b.shard.Post(RemovePeer{ID: 2})
		require.False(t, <-granted, "its peer is gone")
		require.Zero(t, time.Since(start))

		short, cancel := context.WithCancel(ctx)
		go func() { granted <- b.shard.Admit(short, 3) }()
		synctest.Wait()
		cancel()
		require.False(t, <-granted, "nobody waits for it any more")
		require.Zero(t, time.Since(start))

		go func() { granted <- b.shard.Admit(ctx, 4) }()
		synctest.Wait()
		b.shard.Post(Wrote{ID: 1})
		require.True(t, <-granted, "the place that nobody took")
		require.Zero(t, time.Since(start))
	})
}
