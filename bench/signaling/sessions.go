//go:build linux

package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"github.com/quic-go/quic-go"

	"github.com/tolkyn/tolkyn/bench/netem"
	"github.com/tolkyn/tolkyn/bench/report"
	"github.com/tolkyn/tolkyn/bench/server"
	"github.com/tolkyn/tolkyn/signaling/wire"
)

// sessionsJob opens many sessions and keeps them.
type sessionsJob struct {
	Transport   string         `json:"transport"` // known or fresh: raw QUIC; wss; bare
	To          netip.AddrPort `json:"to"`
	Count       int            `json:"count"`
	Certificate certificate    `json:"certificate"`
	// PerSecond bounds how many begin to open in a second; 0: as many as the server takes.
	PerSecond int `json:"per_second"`
}

const (
	bare = "bare" // raw QUIC to the floor's server, which knows no Hello
	// perAddress sessions come from one source address, so that limits for an address are not met.
	perAddress = 10
	// openAtOnce handshakes are under way.
	openAtOnce = 16
)

// run answers true when all sessions are open. Commands: "send BATCH EVERY" lets every session send so many Pings each
// EVERY from now on; "count" answers how many have been answered so far.
func (j *sessionsJob) run(answers *json.Encoder, commands *bufio.Scanner) error {
	sessions, err := j.open()
	defer func() {
		for _, s := range sessions {
			s.close()
		}
	}()
	if err != nil {
		return err
	}
	var tally tally
	for _, s := range sessions {
		go tally.read(s, j.Transport == bare)
	}
	if err := answers.Encode(true); err != nil {
		return err
	}
	stop := make(chan struct{})
	var senders sync.WaitGroup
	defer senders.Wait()
	defer close(stop)
	for commands.Scan() {
		var batch int
		var every time.Duration
		if n, _ := fmt.Sscanf(commands.Text(), "send %d %d", &batch, &every); n == 2 {
			for i, s := range sessions {
				senders.Go(func() { tally.send(s, batch, every, time.Duration(i)*every/time.Duration(len(sessions)), stop) })
			}
		}
		if err := tally.failed(); err != nil {
			return err
		}
		if err := answers.Encode(tally.answered.Load()); err != nil {
			return err
		}
	}
	return commands.Err()
}

// open opens all sessions. Those that are open are returned with an error too.
func (j *sessionsJob) open() ([]*session, error) {
	config, err := j.Certificate.trust()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var (
		mu       sync.Mutex
		sessions []*session
		failed   error
		running  sync.WaitGroup
	)
	slots := make(chan struct{}, openAtOnce)
	var pace <-chan time.Time
	if j.PerSecond > 0 {
		ticks := time.NewTicker(perAddress * time.Second / time.Duration(j.PerSecond))
		defer ticks.Stop()
		pace = ticks.C
	}
	for i := range (j.Count + perAddress - 1) / perAddress {
		if pace != nil {
			<-pace
		}
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			opened, err := j.openFrom(ctx, netip.AddrFrom4([4]byte{127, 1, byte(i >> 8), byte(i)}), min(perAddress, j.Count-i*perAddress), config)
			mu.Lock()
			defer mu.Unlock()
			sessions, failed = append(sessions, opened...), errors.Join(failed, err)
		})
	}
	running.Wait()
	return sessions, failed
}

func (j *sessionsJob) openFrom(ctx context.Context, from netip.Addr, count int, config *tls.Config) ([]*session, error) {
	var sessions []*session
	var transport *quic.Transport
	if j.Transport != wss {
		socket, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0)))
		if err != nil {
			return nil, err
		}
		transport = &quic.Transport{Conn: socket} // both end with the process
	}
	for range count {
		var s *session
		var err error
		if j.Transport == wss {
			s, err = dialWSS(ctx, from, j.To, config)
		} else {
			s, err = dialQUIC(ctx, transport, j.To, config, nil)
		}
		if err != nil {
			return sessions, err
		}
		sessions = append(sessions, s)
		if j.Transport != bare {
			err = s.hello(ctx)
		} else {
			err = s.greetBare()
		}
		if err != nil {
			return sessions, err
		}
	}
	return sessions, nil
}

// greetBare has the floor's server read and write as much as one that answers a Hello.
func (s *session) greetBare() error {
	frame := wire.AppendFrame(nil, make([]byte, 300))
	if _, err := s.stream.Write(frame); err != nil {
		return err
	}
	_, err := s.reader.Next()
	return err
}

// tally counts answers.
type tally struct {
	answered atomic.Int64
	broken   atomic.Pointer[error]
}

func (t *tally) fail(err error) { t.broken.CompareAndSwap(nil, &err) }

func (t *tally) failed() error {
	if err := t.broken.Load(); err != nil {
		return *err
	}
	return nil
}

// read counts what comes until the session ends. Pongs are told from refusals.
func (t *tally) read(s *session, bare bool) {
	for {
		if bare {
			if _, err := s.reader.Next(); err != nil {
				return // the end, or what send sees too
			}
			t.answered.Add(1)
			continue
		}
		f, err := s.read(context.Background())
		switch {
		case err != nil:
			return // as above
		case f.GetPong() == nil:
			t.fail(fmt.Errorf("a Ping was answered by %v", f))
			return
		}
		t.answered.Add(1)
	}
}

// send writes batches of Pings, each batch at once, until stop.
func (t *tally) send(s *session, batch int, every, after time.Duration, stop <-chan struct{}) {
	timer := time.NewTimer(after)
	defer timer.Stop()
	var id uint64
	var b []byte
	for ; ; timer.Reset(every) { // late once, late for good: to catch up would break the limit
		select {
		case <-timer.C:
		case <-stop:
			return
		}
		b = b[:0]
		for range batch {
			id++
			frame, err := wire.Binary.EncodeClient(&wire.ClientFrame{Id: id + 1, Message: &wire.ClientFrame_Ping{
				Ping: &wire.Ping{ClientTimeMs: time.Now().UnixMilli()},
			}})
			if err != nil {
				t.fail(err)
				return
			}
			if s.ws != nil {
				err = s.ws.Write(context.Background(), websocket.MessageBinary, frame)
			} else {
				b = wire.AppendFrame(b, frame)
			}
			if err != nil {
				t.fail(err)
				return
			}
		}
		if s.stream != nil {
			if _, err := s.stream.Write(b); err != nil {
				t.fail(err)
				return
			}
		}
	}
}

// subject is a server under measurement on the loopback of its namespace, and the sessions it holds.
type subject struct {
	network *netem.Network
	pid     int
	to      netip.AddrPort
	memory  func(ctx context.Context) (memory, error)
	stop    func()
}

// subject is the server for a transport: the bare one for bare, tolkyn for all others.
func (b *bench) subject(transport string) (*subject, error) {
	if transport == bare {
		return b.floor()
	}
	return b.ours()
}

func (b *bench) ours() (*subject, error) {
	network, err := netem.Open(netem.Config{Links: []netem.Path{{}}})
	if err != nil {
		return nil, err
	}
	tolkyn, err := b.serve(network, loopback)
	if err != nil {
		return nil, errors.Join(err, network.Close())
	}
	client := admin(network)
	base := "http://" + netip.AddrPortFrom(loopback, adminPort).String()
	return &subject{
		network: network, pid: tolkyn.PID(), to: netip.AddrPortFrom(loopback, tlsPort),
		memory: func(ctx context.Context) (m memory, err error) {
			for range collections {
				if _, err := server.Get(ctx, client, base+"/debug/pprof/heap?gc=1"); err != nil {
					return m, err
				}
			}
			if m.Heap, err = server.Metric(ctx, client, base+"/metrics", "go_memstats_heap_alloc_bytes"); err != nil {
				return m, err
			}
			m.Stack, err = server.Metric(ctx, client, base+"/metrics", "go_memstats_stack_inuse_bytes")
			return m, err
		},
		stop: func() {
			tolkyn.Kill() // there is nobody to take leave of
			closeNetwork(network)
		},
	}, nil
}

// floor is the bare server.
func (b *bench) floor() (*subject, error) {
	network, err := netem.Open(netem.Config{Links: []netem.Path{{}}})
	if err != nil {
		return nil, err
	}
	to := netip.AddrPortFrom(loopback, barePort)
	c, err := start(network, netem.Server, job{Bare: &bareJob{Listen: to, Certificate: b.certificate}})
	if err == nil {
		var ready bool
		err = c.answer(&ready)
	}
	if err != nil {
		return nil, errors.Join(err, network.Close())
	}
	return &subject{
		network: network, pid: c.cmd.Process.Pid, to: to,
		memory: func(context.Context) (m memory, err error) { return m, c.ask("memory", &m) },
		stop: func() {
			c.end()
			closeNetwork(network)
		},
	}, nil
}

// closeNetwork: a measurement that is over does not fail for its remains.
func closeNetwork(network *netem.Network) {
	if err := network.Close(); err != nil {
		fmt.Println("close the network:", err)
	}
}

// sessions opens so many on the subject's own loopback.
func (s *subject) sessions(transport string, count, perSecond int, c certificate) (*child, error) {
	clients, err := start(s.network, netem.Server, job{Sessions: &sessionsJob{
		Transport: transport, To: s.to, Count: count, PerSecond: perSecond, Certificate: c,
	}})
	if err != nil {
		return nil, err
	}
	var ready bool
	if err := clients.answer(&ready); err != nil {
		return nil, err
	}
	return clients, nil
}

// settle is how long sessions are left alone before their memory is read: handshakes leave timers and buffers. Readings are
// apart by readAgain, so that a keep-alive under way in one is not in the next.
const (
	settle    = 12 * time.Second
	readings  = 3
	readAgain = 2 * time.Second
)

// weight is what one session adds to a server, in KiB: heap and stack after collections, and the resident set.
type weight struct{ heap, stack, resident float64 }

func (w weight) inUse() float64       { return w.heap + w.stack }
func (w weight) residentSet() float64 { return w.resident }

// weigh reads the memory of a server with sessions over one transport, some times.
func (b *bench) weigh(ctx context.Context, transport string) ([]weight, error) {
	s, err := b.subject(transport)
	if err != nil {
		return nil, err
	}
	defer s.stop()
	warm, err := s.sessions(transport, 20, b.joins, b.certificate)
	if err != nil {
		return nil, err
	}
	defer warm.end()
	before, err := s.weight(ctx)
	if err != nil {
		return nil, err
	}
	clients, err := s.sessions(transport, b.sessions, b.joins, b.certificate)
	if err != nil {
		return nil, err
	}
	defer clients.end()
	var all []weight
	for wait := settle; len(all) < readings; wait = readAgain {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(wait):
		}
		after, err := s.weight(ctx)
		if err != nil {
			return nil, err
		}
		n := float64(b.sessions)
		all = append(all, weight{
			heap: (after.heap - before.heap) / n, stack: (after.stack - before.stack) / n, resident: (after.resident - before.resident) / n,
		})
	}
	return all, nil
}

// weight is what the whole server holds now.
func (s *subject) weight(ctx context.Context) (weight, error) {
	m, err := s.memory(ctx)
	if err != nil {
		return weight{}, err
	}
	kB, err := server.ResidentKB(s.pid)
	return weight{heap: m.Heap / 1024, stack: m.Stack / 1024, resident: float64(kB)}, err
}

// weighings are servers of each kind, one after another by turns: what one keeps of the sessions' handshakes is chance, and
// readings of the same server share it.
const weighings = 3

// memoryRow weighs an idle session over raw QUIC and over WSS beside a bare connection. tight: all servers run with a small
// GOGC. By default a Go process keeps room for as much garbage as it has memory in use, so that what is resident grows by up to
// twice what a session holds; how much of it depends on when the last collection before the rest came.
func memoryRow(tight bool) func(ctx context.Context, b *bench, name string) error {
	return func(ctx context.Context, b *bench, name string) error {
		if !tight {
			return b.weighAll(ctx, name)
		}
		before, set := os.LookupEnv(gogc)
		if err := os.Setenv(gogc, "10"); err != nil {
			return err
		}
		err := b.weighAll(ctx, name)
		if set {
			return errors.Join(err, os.Setenv(gogc, before))
		}
		return errors.Join(err, os.Unsetenv(gogc))
	}
}

// gogc is the variable of Go's collector: garbage in percent of what is in use, 100 by default. Servers inherit it.
const gogc = "GOGC"

func (b *bench) weighAll(ctx context.Context, name string) error {
	weights := map[string][]weight{}
	for turn := range weighings {
		for _, transport := range []string{bare, fresh, wss} {
			if transport == wss && turn > 0 {
				continue // it has no floor to be compared with
			}
			all, err := b.weigh(ctx, transport)
			if err != nil {
				return fmt.Errorf("%s: %w", transport, err)
			}
			w := weight{
				heap:     report.Median(values(all, func(w weight) float64 { return w.heap })),
				stack:    report.Median(values(all, func(w weight) float64 { return w.stack })),
				resident: report.Median(values(all, weight.residentSet)),
			}
			fmt.Printf("  %s: heap %.1f, stack %.1f, resident %.1f KiB a session\n", transport, w.heap, w.stack, w.resident)
			weights[transport] = append(weights[transport], w)
		}
	}
	for _, row := range []struct {
		suffix string
		of     func(weight) float64
	}{{"", weight.inUse}, {"_rss", weight.residentSet}} {
		suffix, of := row.suffix, row.of
		floor, quic := values(weights[bare], of), values(weights[fresh], of)
		var above []float64
		for i, v := range quic {
			above = append(above, v-floor[i])
		}
		b.add(name+"_quic"+suffix, "KiB", quic, floor)
		b.add(name+"_quic"+suffix+"_above_bare", "KiB", above, nil)
		b.add(name+"_wss"+suffix, "KiB", values(weights[wss], of), nil)
	}
	return nil
}

func values(all []weight, of func(weight) float64) []float64 {
	var v []float64
	for _, w := range all {
		v = append(v, of(w))
	}
	return v
}

// messages is a load of Pings. No session sends more than the limits let it: 50 frames a second, 100 at once. So it takes many
// sessions to load a server, each on one stream.
type messages struct {
	Sessions int
	Batch    int // Pings that each sends at once
	Every    time.Duration
	QUICOnly bool // more than a WebSocket carries here
}

// messagesRow measures the server's CPU time for a message, over raw QUIC beside the bare server, and over WSS.
func messagesRow(m messages) func(ctx context.Context, b *bench, name string) error {
	return func(ctx context.Context, b *bench, name string) error {
		floor, err := b.cost(ctx, bare, m)
		if err != nil {
			return fmt.Errorf("bare: %w", err)
		}
		quic, err := b.cost(ctx, fresh, m)
		if err != nil {
			return fmt.Errorf("quic: %w", err)
		}
		b.add(name+"_quic", "ns", quic, floor)
		b.add(name+"_quic_per_core", "1/s", perSecond(quic), perSecond(floor))
		if m.QUICOnly {
			return nil
		}
		webSocket, err := b.cost(ctx, wss, m)
		if err != nil {
			return fmt.Errorf("wss: %w", err)
		}
		b.add(name+"_wss", "ns", webSocket, nil)
		return nil
	}
}

func perSecond(ns []float64) []float64 {
	var all []float64
	for _, v := range ns {
		all = append(all, 1e9/v)
	}
	return all
}

// costRuns windows are measured of each load.
const costRuns = 3

// cost returns the CPU time of a message in ns, in each window.
func (b *bench) cost(ctx context.Context, transport string, m messages) ([]float64, error) {
	s, err := b.subject(transport)
	if err != nil {
		return nil, err
	}
	defer s.stop()
	clients, err := s.sessions(transport, m.Sessions, 0, b.certificate)
	if err != nil {
		return nil, err
	}
	defer clients.end()
	var count int64
	if err := clients.ask(fmt.Sprintf("send %d %d", m.Batch, m.Every.Nanoseconds()), &count); err != nil {
		return nil, err
	}
	window := func(d time.Duration) (float64, error) {
		cpu0, err := server.CPU(s.pid)
		if err != nil {
			return 0, err
		}
		var before, after int64
		if err := clients.ask("count", &before); err != nil {
			return 0, err
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(d):
		}
		cpu1, err := server.CPU(s.pid)
		if err != nil {
			return 0, err
		}
		if err := clients.ask("count", &after); err != nil {
			return 0, err
		}
		// The cost of a message holds for less than the whole load, but not for a few stragglers.
		if offered := float64(m.Sessions*m.Batch) * d.Seconds() / m.Every.Seconds(); float64(after-before) < offered/2 {
			return 0, fmt.Errorf("%d of %.0f Pings were answered in %v: this machine is too slow or too busy", after-before, offered, d)
		}
		return float64(cpu1-cpu0) / float64(after-before), nil
	}
	if _, err := window(2 * time.Second); err != nil { // all have begun
		return nil, err
	}
	var costs []float64
	for range costRuns {
		ns, err := window(b.window)
		if err != nil {
			return nil, err
		}
		costs = append(costs, ns)
	}
	return costs, nil
}
