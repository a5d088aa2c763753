package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/cmd/tolkyn/internal/config"
)

// feed gives l one sample a second for n seconds, each with this much CPU time and this many packets.
func feed(l *load, from time.Duration, n int, cpu time.Duration, packets uint64) (now time.Duration) {
	now = from
	for range n {
		now += time.Second
		l.Handle(now, l.lastCPU+cpu, l.lastPackets+packets, nil)
	}
	return now
}

func TestLoadRefusesAboveItsBudgets(t *testing.T) {
	for _, test := range []struct {
		name    string
		seconds int
		cpu     time.Duration
		packets uint64
		want    refusal
	}{
		{"idle", 30, 10 * time.Millisecond, 0, admitted},
		{"a burst of one second is no load", 1, 2 * time.Second, 0, admitted},
		{"all of the processor", 30, 2 * time.Second, 0, refuseCPU},
		{"just below the budget", 30, 1690 * time.Millisecond, 0, admitted},
		{"too many packets", 30, 0, 600_000, refusePackets},
		{"packets below the budget", 30, 0, 499_000, admitted},
	} {
		t.Run(test.name, func(t *testing.T) {
			limits := config.Default().Limits
			limits.PacketsPerSecond = 500_000
			l := newLoad(limits)
			l.cpuBudget = 1.7
			l.Handle(0, time.Hour, 1<<40, nil) // What happened before the first sample counts for nothing.
			feed(l, 0, test.seconds, test.cpu, test.packets)
			retryAfter, ok := l.Admit()
			require.Equal(t, test.want == admitted, ok)
			require.Equal(t, test.want, l.verdict.Load())
			if !ok {
				require.Equal(t, busyRetry, retryAfter)
			}
		})
	}
}

func TestLoadAdmitsAgainWhenItIsOver(t *testing.T) {
	l := newLoad(config.Default().Limits)
	l.cpuBudget = 1.7
	now := feed(l, 0, 30, 2*time.Second, 0)
	_, ok := l.Admit()
	require.False(t, ok)
	require.Equal(t, uint64(1), l.refused[0].Load())
	feed(l, now, 5, time.Second, 0)
	_, ok = l.Admit()
	require.True(t, ok)
}

// TestLoadRefusesWhenOneShardIsFull: the machine has cores to spare, the shard has not.
func TestLoadRefusesWhenOneShardIsFull(t *testing.T) {
	for _, test := range []struct {
		name string
		busy []time.Duration // what each second adds
		want refusal
	}{
		{"idle", []time.Duration{10 * time.Millisecond}, admitted},
		{"just below the budget", []time.Duration{849 * time.Millisecond}, admitted},
		{"full", []time.Duration{time.Second}, refuseShard},
		{"one of two full", []time.Duration{0, 900 * time.Millisecond}, refuseShard},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := newLoad(config.Default().Limits)
			l.cpuBudget = 64
			total := make([]time.Duration, len(test.busy))
			sample := func(n int) {
				for range n {
					before := total
					total = make([]time.Duration, len(before))
					for i := range before {
						total[i] = before[i] + test.busy[i]
					}
					l.Handle(l.lastAt+time.Second, 0, 0, total)
				}
			}
			sample(30)
			retryAfter, ok := l.Admit()
			require.Equal(t, test.want == admitted, ok)
			require.Equal(t, test.want, l.verdict.Load())
			if ok {
				return
			}
			require.Equal(t, busyRetry, retryAfter)
			require.Equal(t, uint64(1), l.refused[3].Load())
			require.Greater(t, l.shown.Load().Shard, l.shown.Load().ShardBudget)
			test.busy = make([]time.Duration, len(test.busy))
			sample(5)
			_, ok = l.Admit()
			require.True(t, ok, "over")
		})
	}
}

func TestLoadRefusesWhileDraining(t *testing.T) {
	l := newLoad(config.Default().Limits)
	l.Drain()
	_, ok := l.Admit()
	require.False(t, ok)
	require.Equal(t, uint64(1), l.refused[2].Load())
}

func TestNoPacketBudget(t *testing.T) {
	limits := config.Default().Limits
	limits.PacketsPerSecond = 0
	l := newLoad(limits)
	feed(l, 0, 30, 0, 10_000_000)
	_, ok := l.Admit()
	require.True(t, ok)
}

func TestProcessCPURises(t *testing.T) {
	before := processCPU()
	for i := 0; processCPU() == before; i++ {
		require.Less(t, i, 1<<30)
	}
}
