package udp_test

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/udp"
)

// floorReceiver in the environment makes the test binary the receiver of the floor benchmark.
const floorReceiver = "TOLKYN_FLOOR_RECEIVER"

func TestMain(m *testing.M) {
	if os.Getenv(floorReceiver) != "" {
		receiveForFloor()
		return
	}
	os.Exit(m.Run())
}

// receiveForFloor prints two addresses and drains them until its input ends. It has no GRO, which would make the sender look
// twice as cheap, and looks every millisecond, so that the sender does not pay for waking it.
func receiveForFloor() {
	ended := make(chan struct{})
	go func() {
		_, _ = os.Stdin.Read(make([]byte, 1))
		close(ended)
	}()
	var sockets [2]udp.Socket
	for i := range sockets {
		s, err := udp.Listen(netip.MustParseAddrPort("127.0.0.1:0"), udp.Config{DisableGRO: true, ReadBuffer: 32 << 20})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		sockets[i] = s
		fmt.Println(s.LocalAddr())
	}
	batch, tick := udp.NewBatch(), time.NewTicker(time.Millisecond)
	for {
		for _, s := range sockets {
			for n := -1; n != 0; {
				n, _ = s.Read(batch)
			}
		}
		select {
		case <-tick.C:
		case <-ended:
			return
		}
	}
}

func startReceiver(b *testing.B) (to [2]netip.AddrPort) {
	b.Helper()
	receiver := exec.Command(os.Args[0])
	receiver.Env = append(os.Environ(), floorReceiver+"=1")
	receiver.Stderr = os.Stderr
	in, err := receiver.StdinPipe()
	require.NoError(b, err)
	out, err := receiver.StdoutPipe()
	require.NoError(b, err)
	require.NoError(b, receiver.Start())
	b.Cleanup(func() {
		_ = in.Close()
		_ = receiver.Wait()
	})
	lines := bufio.NewScanner(out)
	for i := range to {
		require.True(b, lines.Scan(), "the receiver did not start")
		to[i] = netip.MustParseAddrPort(lines.Text())
	}
	return to
}

// cpuTime is what this process has used on all its threads, in the kernel too.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var usage unix.Rusage
	require.NoError(b, unix.Getrusage(unix.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkFloor is what sending alone costs, in CPU time of the sending process a datagram, on loopback to another process:
// nothing that rewrites and seals first can be cheaper. Eight datagrams in a row go to one destination.
// On loopback the sender pays the receiving half of the kernel's stack too.
func BenchmarkFloor(b *testing.B) {
	const inARow = 8
	to := startReceiver(b)
	flushing := func(cfg udp.Config) func(*testing.B, int) {
		return func(b *testing.B, size int) {
			s, err := udp.Listen(netip.MustParseAddrPort("127.0.0.1:0"), cfg)
			require.NoError(b, err)
			defer s.Close()
			q := udp.NewQueue(udp.MaxMessages * inARow)
			measure(b, func(n int) {
				for i := range n {
					q.Next(to[i/inARow%2])
					q.Commit(size)
					if q.Full() {
						_ = s.Flush(q)
					}
				}
				_ = s.Flush(q)
			})
			require.Zero(b, s.Stats().SendAgain+s.Stats().SendError)
			require.Zero(b, s.Stats().GSOFallbacks)
		}
	}
	ways := []struct {
		name string
		send func(b *testing.B, size int)
	}{
		{"net.UDPConn", func(b *testing.B, size int) {
			conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
			require.NoError(b, err)
			defer conn.Close()
			p := make([]byte, size)
			measure(b, func(n int) {
				for i := range n {
					_, _ = conn.WriteToUDPAddrPort(p, to[i/inARow%2])
				}
			})
		}},
		{"portable", flushing(udp.Config{Portable: true})},
		{"sendmmsg", flushing(udp.Config{DisableGSO: true})},
		{"sendmmsg+GSO8", flushing(udp.Config{})},
	}
	for _, size := range []int{120, 1100} {
		for _, way := range ways {
			b.Run(fmt.Sprintf("%s/%dB", way.name, size), func(b *testing.B) { way.send(b, size) })
		}
	}
}

// measure runs send for b.N datagrams and reports the process's CPU time of each.
func measure(b *testing.B, send func(n int)) {
	b.Helper()
	send(1000) // first uses
	b.ReportAllocs()
	b.ResetTimer()
	begin := cpuTime(b)
	send(b.N)
	b.StopTimer()
	b.ReportMetric(float64(cpuTime(b)-begin)/float64(b.N), "cpu-ns/datagram")
}

// BenchmarkTurn is a whole turn of a shard's loop without its work: 64 datagrams from socket to socket, in time a datagram.
func BenchmarkTurn(b *testing.B) {
	for name, cfg := range map[string]udp.Config{"raw": {}, "raw+ECN": {ECN: true}, "portable": {Portable: true}} {
		b.Run(name, func(b *testing.B) {
			s, err := udp.Listen(netip.MustParseAddrPort("127.0.0.1:0"), cfg)
			require.NoError(b, err)
			defer s.Close()
			q, batch, to := udp.NewQueue(64), udp.NewBatch(), s.LocalAddr()
			turn := func() {
				for !q.Full() {
					q.Next(to)
					if cfg.ECN {
						q.Mark(packet.ECT1)
					}
					q.Commit(1100)
				}
				_ = s.Flush(q)
				_ = s.Wait(time.Second)
				for n := -1; n != 0; {
					n, _ = s.Read(batch)
				}
			}
			turn()
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < b.N; i += 64 {
				turn()
			}
		})
	}
}
