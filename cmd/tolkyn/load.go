package main

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/tolkyn/tolkyn/cmd/tolkyn/internal/config"
)

const (
	// sampleEvery: long enough that one garbage collection is not a load, short enough that a rush of joins is seen.
	sampleEvery = time.Second
	// sampleWeight of the newest sample: the average follows in about three seconds.
	sampleWeight = 0.3
	// busyRetry is what a refused client is told to wait: a few samples, so that the average has moved.
	busyRetry = 5 * time.Second
)

// refusal says why a join is refused; the empty one admits.
type refusal string

// The reasons.
const (
	admitted      refusal = ""
	refuseCPU     refusal = "cpu"
	refuseShard   refusal = "shard"
	refusePackets refusal = "packets"
	refuseDrain   refusal = "draining"
)

// load watches what the process spends and decides whether it takes on more.
type load struct {
	// Fixed after newLoad.
	cpuBudget    float64 // cores
	shardBudget  float64 // share of a shard's core
	packetBudget float64 // packets a second; 0: none

	// Owned by run.
	seen        bool
	lastAt      time.Duration
	lastCPU     time.Duration
	lastPackets uint64
	lastBusy    []time.Duration
	cpu         float64   // cores, average
	shards      []float64 // share of its core that each shard uses, average
	packets     float64   // packets a second, average

	// Atomic.
	verdict  atomic.Value // refusal
	draining atomic.Bool
	shown    atomic.Pointer[loadStats]
	refused  [4]atomic.Uint64 // by reason: cpu, packets, draining, shard
}

// loadStats is what metrics show of a load.
type loadStats struct {
	CPU, CPUBudget         float64 // cores
	Packets, PacketsBudget float64 // a second
	Shard, ShardBudget     float64 // share of its core that the busiest shard uses
}

func newLoad(limits config.Limits) *load {
	l := &load{
		cpuBudget: limits.CPUBudget(), packetBudget: float64(limits.PacketsPerSecond), shardBudget: float64(limits.CPUPercent) / 100,
	}
	l.verdict.Store(admitted)
	l.show()
	return l
}

// Handle takes one sample: the CPU time and the packets of the process so far, and how long each shard has been busy. A
// shard is one goroutine: its core can be full while the machine has others to spare, and every call on it suffers.
func (l *load) Handle(now, cpu time.Duration, packets uint64, busy []time.Duration) {
	elapsed := (now - l.lastAt).Seconds()
	if l.seen && elapsed > 0 {
		l.cpu += sampleWeight * ((cpu-l.lastCPU).Seconds()/elapsed - l.cpu)
		l.packets += sampleWeight * (float64(packets-l.lastPackets)/elapsed - l.packets)
		for i := range l.shards {
			l.shards[i] += sampleWeight * ((busy[i]-l.lastBusy[i]).Seconds()/elapsed - l.shards[i])
		}
	}
	if !l.seen {
		l.shards = make([]float64, len(busy))
	}
	l.seen, l.lastAt, l.lastCPU, l.lastPackets, l.lastBusy = true, now, cpu, packets, busy

	verdict := admitted
	switch {
	case l.cpu > l.cpuBudget:
		verdict = refuseCPU
	case l.busiest() > l.shardBudget:
		verdict = refuseShard
	case l.packetBudget > 0 && l.packets > l.packetBudget:
		verdict = refusePackets
	}
	l.verdict.Store(verdict)
	l.show()
}

func (l *load) show() {
	l.shown.Store(&loadStats{
		CPU: l.cpu, CPUBudget: l.cpuBudget, Packets: l.packets, PacketsBudget: l.packetBudget,
		Shard: l.busiest(), ShardBudget: l.shardBudget,
	})
}

// busiest is the share of its core that the busiest shard uses.
func (l *load) busiest() (share float64) {
	for _, s := range l.shards {
		share = max(share, s)
	}
	return share
}

// Admit says whether a new join is taken, and how long a refused one should wait. Safe from any goroutine.
func (l *load) Admit() (retryAfter time.Duration, ok bool) {
	verdict := l.verdict.Load().(refusal)
	if l.draining.Load() {
		verdict = refuseDrain
	}
	switch verdict {
	case admitted:
		return 0, true
	case refuseCPU:
		l.refused[0].Add(1)
	case refusePackets:
		l.refused[1].Add(1)
	case refuseDrain:
		l.refused[2].Add(1)
	case refuseShard:
		l.refused[3].Add(1)
	}
	return busyRetry, false
}

// Drain refuses every join from now on. Safe from any goroutine.
func (l *load) Drain() { l.draining.Store(true) }

// Draining says whether Drain was called. Safe from any goroutine.
func (l *load) Draining() bool { return l.draining.Load() }

// run samples until ctx ends. packets counts what the media sockets moved so far, busy how long each shard has not slept.
func (l *load) run(ctx context.Context, packets func() uint64, busy func() []time.Duration, log *slog.Logger) {
	ticker := time.NewTicker(sampleEvery)
	defer ticker.Stop()
	start, before := time.Now(), admitted
	for {
		l.Handle(time.Since(start), processCPU(), packets(), busy())
		if verdict := l.verdict.Load().(refusal); verdict != before {
			before = verdict
			log.Warn("admission changed", "refused_for", string(verdict), "cpu_cores", l.cpu, "shard_share", l.busiest(), "packets_per_second", l.packets)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
