//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/tolkyn/tolkyn/bench/server"
	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/seq"
	"github.com/tolkyn/tolkyn/internal/srtp"
	"github.com/tolkyn/tolkyn/internal/udp"
)

// floorJob is what the floor process sends, over its environment: the least work that forwards a packet, rewriting the
// header, sealing and a batched, segmented send, with nothing read and nothing decided.
type floorJob struct {
	To      []string      `json:"to"`
	Payload int           `json:"payload"`
	Burst   int           `json:"burst"`
	Every   time.Duration `json:"every"`
	For     time.Duration `json:"for"`
}

const floorEnv = "TOLKYN_FANOUT_FLOOR"

// runFloor is the floor process.
func runFloor(job floorJob) error {
	sock, err := udp.Listen(netip.MustParseAddrPort("127.0.0.1:0"), udp.Config{})
	if err != nil {
		return err
	}
	defer sock.Close()
	type subscriber struct {
		to     netip.AddrPort
		sealer *srtp.Sealer
		number seq.Extended
	}
	var subscribers []subscriber
	for i, to := range job.To {
		key := srtp.Key{Profile: srtp.AEADAES128GCM, Master: make([]byte, 16), Salt: make([]byte, 12)}
		key.Master[0], key.Master[1] = byte(i), byte(i>>8)
		sealer, err := srtp.NewSealer(key)
		if err != nil {
			return err
		}
		subscribers = append(subscribers, subscriber{netip.MustParseAddrPort(to), sealer, 1<<16 + 100})
	}
	q := udp.NewQueue(256)
	plain := make([]byte, job.Payload)
	sent, start := 0, time.Now()
	var used time.Duration
	for frame := 0; ; frame++ {
		if wait := time.Until(start.Add(time.Duration(frame) * job.Every)); wait > 0 {
			time.Sleep(wait)
		}
		if time.Since(start) > job.For {
			break
		}
		for i := range subscribers {
			s := &subscribers[i]
			for range job.Burst {
				if q.Full() {
					sock.Flush(q)
				}
				b := q.Next(s.to)
				n := packet.PutHeader(b, packet.Header{Sequence: s.number.Uint16(), Timestamp: uint32(frame) * 3000, SSRC: 1, PayloadType: 96})
				copy(b[n:], plain)
				q.Commit(s.sealer.SealRTP(b, n, n+job.Payload, s.number))
				s.number++
				sent++
			}
		}
		sock.Flush(q)
	}
	used, err = server.CPU(os.Getpid())
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]int64{"sent": int64(sent), "cpu_ns": int64(used)})
}

// floor runs the floor process against drained sockets and returns ns a packet.
func floor(ctx context.Context, job floorJob) (float64, error) {
	sinks := make([]udp.Socket, 100)
	for i := range sinks {
		s, err := udp.Listen(netip.MustParseAddrPort("127.0.0.1:0"), udp.Config{DisableGRO: true})
		if err != nil {
			return 0, err
		}
		defer s.Close()
		sinks[i] = s
		job.To = append(job.To, s.LocalAddr().String())
	}
	stop := make(chan struct{})
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		b := udp.NewBatch()
		tick := time.NewTicker(pollEvery)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			for _, s := range sinks {
				for n, err := s.Read(b); err == nil && n >= 32; n, err = s.Read(b) {
				}
			}
		}
	}()
	defer func() { close(stop); <-drained }()
	spec, err := json.Marshal(job)
	if err != nil {
		return 0, err
	}
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), floorEnv+"="+string(spec))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("floor process: %w", err)
	}
	var got struct {
		Sent int64 `json:"sent"`
		CPU  int64 `json:"cpu_ns"`
	}
	if err := json.NewDecoder(strings.NewReader(string(out))).Decode(&got); err != nil {
		return 0, err
	}
	return float64(got.CPU) / float64(got.Sent), nil
}
