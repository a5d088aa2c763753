//go:build linux

package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/tolkyn/tolkyn/bench/server"
	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/udp"
)

// participants measures what one participant costs the server in memory and goroutines: n callers with the web SDK's
// m-lines in rooms of four, everybody sending audio and hearing three others.
func (b *bench) participants(ctx context.Context, name string, n int) error {
	srv, err := startServer(b.binary)
	if err != nil {
		return err
	}
	defer srv.Stop()
	sdk := shape{sendAudio: true, sendVideo: true, audioSlots: 3, videoSlots: 9}
	warm, err := dialAll(ctx, srv.base, "warm", "warm", 4, sdk)
	defer closeAll(warm)
	if err != nil {
		return err
	}
	pid := srv.PID()
	kb0, err := server.ResidentKB(pid)
	if err != nil {
		return err
	}
	goroutines0, err := srv.metric(ctx, "go_goroutines")
	if err != nil {
		return err
	}
	var callers []*caller
	defer func() { closeAll(callers) }()
	for i := range n / 4 {
		four, err := dialAll(ctx, srv.base, fmt.Sprintf("room%d", i), fmt.Sprintf("room%d-", i), 4, sdk)
		callers = append(callers, four...)
		if err != nil {
			return err
		}
	}
	poll := newPoller(callers)
	defer poll.close()
	stop := make(chan struct{})
	var sending sync.WaitGroup
	for _, c := range callers {
		sending.Go(func() {
			publish([]*caller{c}, pattern{payload: 84, burst: 1, every: 20 * time.Millisecond}, stop)
		})
	}
	defer sending.Wait()
	defer close(stop)
	pause(ctx, b.window)
	kb1, err := server.ResidentKB(pid)
	if err != nil {
		return err
	}
	goroutines1, err := srv.metric(ctx, "go_goroutines")
	if err != nil {
		return err
	}
	received, lost := poll.tally.received.Load(), poll.tally.lost.Load()
	b.add(name+"_rss", "kB", []float64{float64(kb1-kb0) / float64(n)}, nil)
	b.add(name+"_goroutines", "1", []float64{(goroutines1 - goroutines0) / float64(n)}, nil)
	b.add(name+"_received", "share", []float64{float64(received) / (float64(received) + float64(max(lost, 0)))}, nil)
	return nil
}

// delay measures how long forwarding takes while others join: the time from just before a packet is sent to just after
// its receipt, which includes two trips through the kernel. The joins are another process's; this one's receiver runs at
// a higher priority, so that what is seen is the server's delay and not our own.
func (b *bench) delay(ctx context.Context, name string, joinsPerSecond int) error {
	srv, err := startServer(b.binary)
	if err != nil {
		return err
	}
	defer srv.Stop()
	pub, err := dial(ctx, srv.base, name, "pub", shape{sendAudio: true})
	if err != nil {
		return err
	}
	defer pub.close()
	sub, err := dial(ctx, srv.base, name, "sub", shape{audioSlots: 1})
	if err != nil {
		return err
	}
	defer sub.close()
	for _, load := range []struct {
		name  string
		joins int
	}{{"forward_delay_idle", 0}, {name, joinsPerSecond}} {
		var joiner *exec.Cmd
		if load.joins > 0 {
			if joiner, err = startJoiner(ctx, srv.base, load.joins, b.window+2*time.Second); err != nil {
				return err
			}
			pause(ctx, time.Second)
		}
		delays := forwardDelays(pub, sub, b.window)
		if joiner != nil {
			if err := joiner.Wait(); err != nil {
				return fmt.Errorf("joins beside the call: %w", err)
			}
		}
		if len(delays) < 100 {
			return fmt.Errorf("only %d packets came through", len(delays))
		}
		slices.Sort(delays)
		for _, q := range []struct {
			name string
			at   float64
		}{{"p50", .5}, {"p99", .99}, {"max", 1}} {
			at := min(int(q.at*float64(len(delays))), len(delays)-1)
			b.add(load.name+"_"+q.name, "ms", []float64{float64(delays[at]) / 1e6}, nil)
		}
	}
	return nil
}

// forwardDelays sends 200 packets a second and returns how long each took.
func forwardDelays(pub, sub *caller, window time.Duration) []time.Duration {
	start := time.Now()
	var delays []time.Duration
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		runtime.LockOSThread() // for good: its priority goes with it
		syscall.Setpriority(syscall.PRIO_PROCESS, 0, -15)
		b := udp.NewBatch()
		check := time.Now()
		for {
			select {
			case <-stop:
				return
			default:
			}
			sub.sock.Wait(100 * time.Millisecond)
			sub.sock.Read(b)
			now := time.Since(start)
			for i := range b.Len() {
				data, from := b.Datagram(i)
				switch packet.Classify(data) {
				case packet.RTP:
					h, ok := packet.ParseHeader(data)
					if !ok {
						continue
					}
					if size, _, v := sub.opener.OpenRTP(data, &h); v == 0 && size >= h.Size+24 {
						sent := time.Duration(binary.BigEndian.Uint64(data[h.Size+16:]))
						delays = append(delays, now-sent)
					}
				case packet.STUN:
					sub.stun(data, from)
				}
			}
			if time.Since(check) > checkEvery {
				check = time.Now()
				sub.check()
				pub.check()
			}
		}
	})
	q := udp.NewQueue(8)
	if pub.next == 0 {
		pub.next = 1<<16 + 100
	}
	for time.Since(start) < window {
		time.Sleep(4*time.Millisecond + time.Duration(rand.IntN(2000))*time.Microsecond)
		b := q.Next(pub.server)
		n := packet.PutHeader(b, packet.Header{Sequence: pub.next.Uint16(), Timestamp: uint32(pub.next) * 240, SSRC: pub.ssrcA, PayloadType: ptOpus})
		clear(b[n : n+84])
		b[n] = 0x78
		binary.BigEndian.PutUint64(b[n+16:], uint64(time.Since(start)))
		q.Commit(pub.sealer.SealRTP(b, n, n+84, pub.next))
		pub.sock.Flush(q)
		pub.next++
	}
	time.Sleep(50 * time.Millisecond)
	close(stop)
	wg.Wait()
	return delays
}

const joinerEnv = "TOLKYN_FANOUT_JOINER"

type joinerJob struct {
	Base   string        `json:"base"`
	Joins  int           `json:"joins"` // a second
	For    time.Duration `json:"for"`
	Linger time.Duration `json:"linger"` // how long each stays
}

func startJoiner(ctx context.Context, base string, joins int, d time.Duration) (*exec.Cmd, error) {
	spec, err := json.Marshal(joinerJob{Base: base, Joins: joins, For: d, Linger: time.Second})
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), joinerEnv+"="+string(spec))
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd, cmd.Start()
}

// runJoiner is the joiner process: it joins at a steady rate, rooms of four, and leaves again. It gives way to the server
// and the running call as clients elsewhere would.
func runJoiner(spec string) error {
	var job joinerJob
	if err := json.Unmarshal([]byte(spec), &job); err != nil {
		return err
	}
	syscall.Setpriority(syscall.PRIO_PROCESS, 0, 10)
	ctx, cancel := context.WithTimeout(context.Background(), job.For+10*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	var mu sync.Mutex
	failed, joined := 0, 0
	var last error
	start := time.Now()
	for i := 0; time.Since(start) < job.For; i++ {
		if wait := time.Until(start.Add(time.Duration(i) * time.Second / time.Duration(job.Joins))); wait > 0 {
			time.Sleep(wait)
		}
		wg.Go(func() {
			c, err := dial(ctx, job.Base, fmt.Sprintf("join%d", i/4), fmt.Sprintf("j%d", i), shape{sendAudio: true, sendVideo: true, audioSlots: 3, videoSlots: 9})
			mu.Lock()
			if err != nil {
				failed++
				last = err
			} else {
				joined++
			}
			mu.Unlock()
			if err == nil {
				time.Sleep(job.Linger)
				c.close()
			}
		})
	}
	wg.Wait()
	fmt.Printf("joined %d in %v, %d failed\n", joined, job.For, failed)
	if failed > joined/50 {
		return fmt.Errorf("%d of %d joins failed: %w", failed, failed+joined, last)
	}
	return nil
}
