package shard

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestBusyIsTheTimeNotSlept: work is simulated by a command that takes its time; all else takes none.
func TestBusyIsTheTimeNotSlept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer b.close()
		work := func(d time.Duration) { b.shard.Post(Query{func(*Shard) { time.Sleep(d) }}) }
		time.Sleep(time.Second)
		require.Zero(t, b.shard.Busy(), "idle")
		for range 10 {
			work(30 * time.Millisecond)
			time.Sleep(100 * time.Millisecond)
		}
		require.Equal(t, 300*time.Millisecond, b.shard.Busy(), "30 of each 100 ms")

		work(time.Second)
		time.Sleep(400 * time.Millisecond)
		require.Equal(t, 700*time.Millisecond, b.shard.Busy(), "a loop that is stuck is busy")
		time.Sleep(time.Minute)
		require.Equal(t, 1300*time.Millisecond, b.shard.Busy())
		st, ok := b.shard.Stats()
		require.True(t, ok)
		require.Equal(t, 1300*time.Millisecond, st.Busy)
	})
}

// TestAFullShardIsBusyAllTheTime: with always something to do it never sleeps.
func TestAFullShardIsBusyAllTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer b.close()
		for range 1000 {
			b.shard.Post(Query{func(*Shard) { time.Sleep(time.Millisecond) }})
		}
		time.Sleep(900 * time.Millisecond)
		require.Equal(t, 900*time.Millisecond, b.shard.Busy())
		time.Sleep(time.Second)
		require.Equal(t, time.Second, b.shard.Busy())
	})
}
