package netem_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/tolkyn/tolkyn/bench/netem"
	"github.com/tolkyn/tolkyn/internal/netsim"
)

func TestMain(m *testing.M) {
	if os.Getenv(orphanEnv) != "" {
		orphan()
	}
	goleak.VerifyTestMain(m)
}

// open opens a network and closes it with the test. Without root the test fails: it says what it needs.
func open(t *testing.T, cfg netem.Config) *netem.Network {
	t.Helper()
	n, err := netem.Open(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, n.Close()) })
	return n
}

// udpPair is a socket on each side; what the client sends goes to the server.
func udpPair(t *testing.T, n *netem.Network, client, server netip.Addr) (*net.UDPConn, *net.UDPConn) {
	t.Helper()
	s, err := n.ListenUDP(netem.Server, netip.AddrPortFrom(server, 0))
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	require.NoError(t, s.SetReadBuffer(4<<20))
	c, err := n.ListenUDP(netem.Client, netip.AddrPortFrom(client, 0))
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c, s
}

// Each way takes what the model says: never less by anybody's clock, and what it takes more is what Late says.
func TestDelay(t *testing.T) {
	for name, addrs := range map[string][2]netip.Addr{
		"IPv4": {netem.ClientAddr(0), netem.ServerAddr},
		"IPv6": {netem.ClientAddr6(0), netem.ServerAddr6},
	} {
		t.Run(name, func(t *testing.T) {
			var trace passages
			n := open(t, netem.Config{Log: trace.add, Links: []netem.Path{{
				Up:   netsim.LinkConfig{Delay: 30 * time.Millisecond},
				Down: netsim.LinkConfig{Delay: 20 * time.Millisecond},
			}}})
			client, server := udpPair(t, n, addrs[0], addrs[1])
			go echo(server)
			const count = 20
			var fastest time.Duration = math.MaxInt64
			buf := make([]byte, 100)
			for range count {
				began := time.Now()
				_, err := client.WriteToUDPAddrPort(buf, address(server))
				require.NoError(t, err)
				require.NoError(t, client.SetReadDeadline(began.Add(10*time.Second)))
				_, from, err := client.ReadFromUDPAddrPort(buf)
				require.NoError(t, err)
				require.Equal(t, addrs[1], from.Addr())
				fastest = min(fastest, time.Since(began))
			}
			require.GreaterOrEqual(t, fastest, 50*time.Millisecond)
			for d, delay := range map[netem.Direction]time.Duration{netem.Up: 30 * time.Millisecond, netem.Down: 20 * time.Millisecond} {
				passed := trace.of(0, d)
				require.Len(t, passed, count, "nothing but the datagrams may be on the link")
				for _, p := range passed {
					require.Equal(t, delay, p.Fate.At-p.Sent)
				}
			}
			stats := n.Stats()
			require.EqualValues(t, count, stats.Links[0][netem.Up].Arrived)
			require.EqualValues(t, count, stats.Links[0][netem.Down].Arrived)
			t.Logf("fastest round trip %v; late by p50 %v, p99 %v, at most %v", fastest, stats.Late.P50, stats.Late.P99, stats.Late.Max)
		})
	}
}

// What is lost is what the model loses with this seed, packet by packet; its share is the probability's.
func TestLoss(t *testing.T) {
	const count, seed = 4000, 7
	cfg := netsim.LinkConfig{Loss: 0.1, Delay: time.Millisecond}
	var trace passages
	n := open(t, netem.Config{Seed: seed, Log: trace.add, Links: []netem.Path{{Up: cfg}}})
	client, server := udpPair(t, n, netem.ClientAddr(0), netem.ServerAddr)
	heard := make(chan []bool)
	go func() {
		got := make([]bool, count)
		buf := make([]byte, 100)
		for {
			size, _, err := server.ReadFromUDPAddrPort(buf)
			if err != nil || size != 4 {
				heard <- got
				return
			}
			got[binary.BigEndian.Uint32(buf)] = true
		}
	}()
	for i := range count {
		_, err := client.WriteToUDPAddrPort(binary.BigEndian.AppendUint32(nil, uint32(i)), address(server))
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool {
		up := n.Stats().Links[0][netem.Up]
		return up.Sent == count && up.Lost+up.Arrived == count
	}, 20*time.Second, 10*time.Millisecond)
	n.Set(0, netem.Up, netsim.LinkConfig{})
	_, err := client.WriteToUDPAddrPort([]byte("the end"), address(server))
	require.NoError(t, err)
	got := <-heard

	model := netsim.NewLink(cfg, seed)
	lost := 0
	for i, p := range trace.of(0, netem.Up)[:count] {
		want := model.Send(p.Sent, p.Size)
		require.Equal(t, want, p.Fate)
		require.Equal(t, want.Verdict == netsim.Arrives, got[i], "datagram %d", i)
		if !got[i] {
			lost++
		}
	}
	require.InDelta(t, 0.1, float64(lost)/count, 4*math.Sqrt(0.1*0.9/count), "four standard deviations")
}

// A full link passes its rate: the last bit of n bytes arrives n × 8 / rate after the first was sent, or later.
func TestRate(t *testing.T) {
	const rate, count, payload = 8_000_000, 300, 972 // 1,000 bytes with headers: 1 ms each
	var trace passages
	n := open(t, netem.Config{Log: trace.add, Links: []netem.Path{{Up: netsim.LinkConfig{Rate: rate, Queue: 1 << 20}}}})
	client, server := udpPair(t, n, netem.ClientAddr(0), netem.ServerAddr)
	began := time.Now()
	for range count {
		_, err := client.WriteToUDPAddrPort(make([]byte, payload), address(server))
		require.NoError(t, err)
	}
	buf := make([]byte, 2000)
	for i := range count {
		require.NoError(t, server.SetReadDeadline(time.Now().Add(10*time.Second)))
		_, _, err := server.ReadFromUDPAddrPort(buf)
		require.NoError(t, err)
		require.GreaterOrEqual(t, time.Since(began), time.Duration(i+1)*time.Millisecond)
	}
	passed := trace.of(0, netem.Up)
	require.Len(t, passed, count)
	for i, p := range passed[1:] {
		require.Equal(t, 1000, p.Size)
		if before := passed[i]; p.Sent <= before.Fate.At {
			require.Equal(t, time.Millisecond, p.Fate.At-before.Fate.At)
		}
	}
	require.Zero(t, n.Stats().Links[0][netem.Up].QueueFull)

	n.Set(0, netem.Up, netsim.LinkConfig{Rate: rate, Queue: 10_000})
	for range count {
		_, err := client.WriteToUDPAddrPort(make([]byte, payload), address(server))
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool { return n.Stats().Links[0][netem.Up].Sent == 2*count }, 10*time.Second, 10*time.Millisecond)
	require.Positive(t, n.Stats().Links[0][netem.Up].QueueFull, "the queue is short now")
}

// TCP passes whole over a bad link, in packets that a wire would carry, and so do datagrams that the kernel segments.
func TestTCPAndSegments(t *testing.T) {
	bad := netsim.LinkConfig{Delay: 2 * time.Millisecond, Loss: 0.01, Reorder: 0.01, ReorderBy: 3 * time.Millisecond, Duplicate: 0.01}
	for name, addr := range map[string]netip.Addr{"IPv4": netem.ServerAddr, "IPv6": netem.ServerAddr6} {
		t.Run(name, func(t *testing.T) {
			n := open(t, netem.Config{Seed: 3, Links: []netem.Path{{Up: bad, Down: bad}}})
			listener, err := n.Listen(netem.Server, netip.AddrPortFrom(addr, 0))
			require.NoError(t, err)
			defer listener.Close()
			sum := make(chan string, 1)
			go func() {
				defer close(sum)
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				defer conn.Close()
				h := sha256.New()
				if _, err := io.Copy(h, conn); err == nil {
					sum <- fmt.Sprintf("%x", h.Sum(nil))
				}
			}()
			conn, err := n.Dial(t.Context(), netem.Client, "tcp", listener.Addr().String())
			require.NoError(t, err)
			data := bytes.Repeat([]byte("Tolkyn waves. "), 50_000)
			_, err = conn.Write(data)
			require.NoError(t, err)
			require.NoError(t, conn.Close())
			require.Equal(t, fmt.Sprintf("%x", sha256.Sum256(data)), <-sum)

			client, server := udpPair(t, n, map[bool]netip.Addr{true: netem.ClientAddr(0), false: netem.ClientAddr6(0)}[addr.Is4()], addr)
			n.Set(0, netem.Up, netsim.LinkConfig{})
			raw, err := client.SyscallConn()
			require.NoError(t, err)
			require.NoError(t, raw.Control(func(fd uintptr) {
				err = unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT, 1200)
			}))
			require.NoError(t, err)
			_, err = client.WriteToUDPAddrPort(make([]byte, 12_000), address(server))
			require.NoError(t, err)
			buf := make([]byte, 20_000)
			for range 10 {
				require.NoError(t, server.SetReadDeadline(time.Now().Add(10*time.Second)))
				size, _, err := server.ReadFromUDPAddrPort(buf)
				require.NoError(t, err)
				require.Equal(t, 1200, size)
			}
			up := n.Stats().Links[0][netem.Up]
			require.Equal(t, 1500, up.Largest)
			require.Positive(t, up.Lost)
			require.Positive(t, up.Duplicated)
		})
	}
}

// A rebind changes where the server sees the client, and the way back to the old place is closed.
func TestRebind(t *testing.T) {
	for name, addrs := range map[string][2]netip.Addr{
		"IPv4": {netem.ClientAddr(0), netem.ServerAddr},
		"IPv6": {netem.ClientAddr6(0), netem.ServerAddr6},
	} {
		t.Run(name, func(t *testing.T) {
			n := open(t, netem.Config{Links: []netem.Path{{}}})
			client, server := udpPair(t, n, addrs[0], addrs[1])
			buf := make([]byte, 100)
			exchange := func() netip.AddrPort {
				_, err := client.WriteToUDPAddrPort([]byte("where am I?"), address(server))
				require.NoError(t, err)
				require.NoError(t, server.SetReadDeadline(time.Now().Add(10*time.Second)))
				_, from, err := server.ReadFromUDPAddrPort(buf)
				require.NoError(t, err)
				_, err = server.WriteToUDPAddrPort([]byte("there"), from)
				require.NoError(t, err)
				require.NoError(t, client.SetReadDeadline(time.Now().Add(10*time.Second)))
				_, back, err := client.ReadFromUDPAddrPort(buf)
				require.NoError(t, err)
				require.Equal(t, address(server), back)
				return from
			}
			before := exchange()
			require.Equal(t, address(client), before)
			for range 3 {
				outer := n.Rebind(0)
				after := exchange()
				require.NotEqual(t, before.Addr(), after.Addr())
				require.Equal(t, before.Port(), after.Port())
				if outer.Is4() == after.Addr().Is4() {
					require.Equal(t, outer, after.Addr())
				}
				_, err := server.WriteToUDPAddrPort([]byte("too late"), before)
				require.NoError(t, err)
				before = after
			}
			require.Eventually(t, func() bool { return n.Stats().Links[0][netem.Down].Strayed == 3 }, 10*time.Second, time.Millisecond)
		})
	}
}

// TCP passes a NAT: its checksums are right after translation.
func TestTCPThroughRebind(t *testing.T) {
	n := open(t, netem.Config{Links: []netem.Path{{}}})
	n.Rebind(0)
	for _, addr := range []netip.Addr{netem.ServerAddr, netem.ServerAddr6} {
		listener, err := n.Listen(netem.Server, netip.AddrPortFrom(addr, 0))
		require.NoError(t, err)
		conn, err := n.Dial(t.Context(), netem.Client, "tcp", listener.Addr().String())
		require.NoError(t, err)
		accepted, err := listener.Accept()
		require.NoError(t, err)
		_, err = conn.Write([]byte("hello"))
		require.NoError(t, err)
		require.NoError(t, conn.Close())
		heard, err := io.ReadAll(accepted)
		require.NoError(t, err)
		require.Equal(t, "hello", string(heard))
		require.NoError(t, accepted.Close())
		require.NoError(t, listener.Close())
	}
}

// With two links, whoever binds an address uses its link, and others the first that is plugged in.
func TestTwoLinks(t *testing.T) {
	n := open(t, netem.Config{Links: []netem.Path{{}, {}}})
	anywhere, server := udpPair(t, n, netip.IPv4Unspecified(), netem.ServerAddr)
	bound := make([]*net.UDPConn, 2)
	for i := range bound {
		var err error
		bound[i], err = n.ListenUDP(netem.Client, netip.AddrPortFrom(netem.ClientAddr(i), 0))
		require.NoError(t, err)
		defer bound[i].Close()
	}
	from := func(c *net.UDPConn) netip.Addr {
		_, err := c.WriteToUDPAddrPort([]byte("from where?"), address(server))
		require.NoError(t, err)
		require.NoError(t, server.SetReadDeadline(time.Now().Add(10*time.Second)))
		_, from, err := server.ReadFromUDPAddrPort(make([]byte, 100))
		require.NoError(t, err)
		return from.Addr()
	}
	require.Equal(t, netem.ClientAddr(0), from(anywhere))
	require.Equal(t, netem.ClientAddr(0), from(bound[0]))
	require.Equal(t, netem.ClientAddr(1), from(bound[1]))

	require.NoError(t, n.Unplug(0))
	require.Equal(t, netem.ClientAddr(1), from(anywhere))
	require.Equal(t, netem.ClientAddr(1), from(bound[1]))
	_, err := bound[0].WriteToUDPAddrPort([]byte("lost"), address(server))
	if err == nil { // then the kernel took another way with an address that is not this link's
		require.Eventually(t, func() bool { return n.Stats().Links[1][netem.Up].Strayed == 1 }, 10*time.Second, time.Millisecond)
	}

	require.NoError(t, n.Plug(0))
	require.Equal(t, netem.ClientAddr(0), from(anywhere))
	require.Equal(t, netem.ClientAddr(0), from(bound[0]))

	six, server6 := udpPair(t, n, netip.IPv6Unspecified(), netem.ServerAddr6)
	_, err = six.WriteToUDPAddrPort([]byte("six"), address(server6))
	require.NoError(t, err)
	require.NoError(t, server6.SetReadDeadline(time.Now().Add(10*time.Second)))
	_, where, err := server6.ReadFromUDPAddrPort(make([]byte, 100))
	require.NoError(t, err)
	require.Equal(t, netem.ClientAddr6(0), where.Addr())
}

// A firewall drops UDP and nothing else.
func TestCutUDP(t *testing.T) {
	n := open(t, netem.Config{Links: []netem.Path{{}}})
	client, server := udpPair(t, n, netem.ClientAddr(0), netem.ServerAddr)
	n.CutUDP(0, true)
	_, err := client.WriteToUDPAddrPort([]byte("dropped"), address(server))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return n.Stats().Links[0][netem.Up].Blocked == 1 }, 10*time.Second, time.Millisecond)
	listener, err := n.Listen(netem.Server, netip.AddrPortFrom(netem.ServerAddr, 0))
	require.NoError(t, err)
	defer listener.Close()
	conn, err := n.Dial(t.Context(), netem.Client, "tcp", listener.Addr().String())
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	n.CutUDP(0, false)
	_, err = client.WriteToUDPAddrPort([]byte("passes"), address(server))
	require.NoError(t, err)
	require.NoError(t, server.SetReadDeadline(time.Now().Add(10*time.Second)))
	buf := make([]byte, 100)
	size, _, err := server.ReadFromUDPAddrPort(buf)
	require.NoError(t, err)
	require.Equal(t, "passes", string(buf[:size]))
}

// Programs start inside, and die with the network.
func TestStart(t *testing.T) {
	n, err := netem.Open(netem.Config{Links: []netem.Path{{}}})
	require.NoError(t, err)
	var out bytes.Buffer
	show := exec.Command("ip", "-o", "address", "show", "up")
	show.Stdout = &out
	require.NoError(t, n.Start(netem.Server, show))
	require.NoError(t, show.Wait())
	require.Contains(t, out.String(), netem.ServerAddr.String())
	require.Contains(t, out.String(), netem.ServerAddr6.String())
	require.NotContains(t, out.String(), netem.ClientAddr(0).String())

	sleep := exec.Command("sleep", "600")
	require.NoError(t, n.Start(netem.Client, sleep))
	require.NoError(t, n.Close())
	require.EqualError(t, sleep.Wait(), "signal: killed")
	require.Error(t, n.Close())
	require.Error(t, n.In(netem.Client, func() error { return nil }))
}

func TestOpenRefusesNoLinks(t *testing.T) {
	_, err := netem.Open(netem.Config{})
	require.ErrorContains(t, err, "Config.Links")
	_, err = netem.Open(netem.Config{Links: make([]netem.Path, netem.MaxLinks+1)})
	require.ErrorContains(t, err, "Config.Links")
}

// stack is a namespace. Its name carries a number that the kernel gives to the next one, anybody's, as soon as it is free: what
// else runs on the machine may have it then. No other ever has its cookie.
type stack struct {
	name   string
	cookie uint64
}

// present is the namespace that this thread is in.
func present() (s stack, err error) {
	if s.name, err = os.Readlink("/proc/thread-self/ns/net"); err != nil {
		return s, err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return s, err
	}
	s.cookie, err = unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	return s, errors.Join(err, unix.Close(fd))
}

// stackOf is the namespace that a side's thread is in.
func stackOf(t *testing.T, n *netem.Network, side netem.Side) (s stack) {
	t.Helper()
	require.NoError(t, n.In(side, func() (err error) {
		s, err = present()
		return err
	}))
	return s
}

// leadsTo says whether a file is that namespace; false where it has ended since.
func (s stack) leadsTo(t *testing.T, file string) bool {
	t.Helper()
	there, err := unix.Open(file, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(there)
	runtime.LockOSThread()
	own, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	require.NoError(t, err)
	defer unix.Close(own)
	if unix.Setns(there, unix.CLONE_NEWNET) != nil {
		runtime.UnlockOSThread()
		return false // the descriptor is another file by now
	}
	found, err := present()
	require.NoError(t, unix.Setns(own, unix.CLONE_NEWNET)) // else the thread stays locked, and ends
	runtime.UnlockOSThread()
	require.NoError(t, err)
	return found == s
}

// inUse says whether any thread of any process is in one of the namespaces, has it open, or it is mounted.
func inUse(t *testing.T, stacks ...stack) bool {
	t.Helper()
	places, err := filepath.Glob("/proc/[0-9]*/task/[0-9]*/ns/net")
	require.NoError(t, err)
	files, err := filepath.Glob("/proc/[0-9]*/fd/*")
	require.NoError(t, err)
	for _, place := range append(places, files...) {
		to, err := os.Readlink(place)
		if err != nil {
			continue // it has ended since
		}
		for _, s := range stacks {
			if s.name == to && s.leadsTo(t, place) {
				return true
			}
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	require.NoError(t, err)
	for line := range strings.Lines(string(mounts)) {
		for _, s := range stacks { // the fourth field is what is mounted, the fifth where (proc_pid_mountinfo(5))
			if f := strings.Fields(line); f[3] == s.name && s.leadsTo(t, f[4]) {
				return true
			}
		}
	}
	return false
}

// Nothing is left after Close: no namespace, no descriptor, no thread in another namespace than before.
func TestCloseLeavesNothing(t *testing.T) {
	own, err := os.Readlink("/proc/self/ns/net")
	require.NoError(t, err)
	descriptors := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		require.NoError(t, err)
		return len(entries)
	}
	before := descriptors()
	var stacks []stack
	for range 5 {
		n, err := netem.Open(netem.Config{Links: []netem.Path{{}, {}}})
		require.NoError(t, err)
		client, server := stackOf(t, n, netem.Client), stackOf(t, n, netem.Server)
		require.NotEqual(t, client, server)
		require.NotEqual(t, own, client.name)
		require.True(t, inUse(t, client) && inUse(t, server))
		require.NoError(t, n.Close())
		stacks = append(stacks, client, server)
	}
	require.Eventually(t, func() bool { return !inUse(t, stacks...) }, 10*time.Second, 10*time.Millisecond)
	require.Equal(t, before, descriptors())
	now, err := os.Readlink("/proc/self/ns/net")
	require.NoError(t, err)
	require.Equal(t, own, now)
}

const orphanEnv = "TOLKYN_NETEM_ORPHAN"

// orphan is another process that makes a network with a program in it and dies without a word.
func orphan() {
	n, err := netem.Open(netem.Config{Links: []netem.Path{{}}})
	if err == nil {
		err = n.Start(netem.Server, exec.Command("sleep", "600"))
	}
	for _, side := range []netem.Side{netem.Client, netem.Server} {
		if err == nil {
			err = n.In(side, func() error {
				s, err := present()
				fmt.Println(s.name, s.cookie)
				return err
			})
		}
	}
	if err != nil {
		fmt.Println(err)
	}
	_ = unix.Kill(os.Getpid(), unix.SIGKILL) // cannot fail: it is us
	select {}
}

// A process that is killed leaves nothing either.
func TestCrashLeavesNothing(t *testing.T) {
	cmd := exec.CommandContext(context.Background(), os.Args[0])
	cmd.Env = append(os.Environ(), orphanEnv+"=1")
	out, err := cmd.Output()
	require.EqualError(t, err, "signal: killed")
	var stacks [2]stack
	_, err = fmt.Sscanln(strings.ReplaceAll(string(out), "\n", " "), &stacks[0].name, &stacks[0].cookie, &stacks[1].name, &stacks[1].cookie)
	require.NoError(t, err, string(out))
	require.Contains(t, stacks[0].name, "net:[")
	require.Eventually(t, func() bool { return !inUse(t, stacks[:]...) }, 10*time.Second, 10*time.Millisecond)
}

// UDP and TCP share a link and not its loss.
func TestTCPLosesApart(t *testing.T) {
	bad := netsim.LinkConfig{Loss: 1, LossTCP: -1}
	n := open(t, netem.Config{Links: []netem.Path{{Up: bad, Down: bad}}})
	client, server := udpPair(t, n, netem.ClientAddr(0), netem.ServerAddr)
	for range 10 {
		_, err := client.WriteToUDPAddrPort([]byte("lost"), address(server))
		require.NoError(t, err)
	}
	listener, err := n.Listen(netem.Server, netip.AddrPortFrom(netem.ServerAddr, 0))
	require.NoError(t, err)
	defer listener.Close()
	conn, err := n.Dial(t.Context(), netem.Client, "tcp", listener.Addr().String())
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	require.Eventually(t, func() bool { return n.Stats().Links[0][netem.Up].Lost == 10 }, 10*time.Second, time.Millisecond)
	up := n.Accounts()[0][netem.Up]
	require.Positive(t, up.Did.Arrived)
	require.InDelta(t, up.Asked.Loss, up.Did.Loss, 1e-9)
	require.Less(t, up.Did.Loss, 1.0)
}

// Events happen to a network as they do to a line.
func TestNetworkEvents(t *testing.T) {
	happened := make(chan netem.Event, 20)
	n := open(t, netem.Config{
		Links: []netem.Path{{}, {}},
		Events: []netem.Event{
			{At: 10 * ms, Kind: netem.EventRebind},
			{At: 20 * ms, Kind: netem.EventSet, Path: netem.RoundTrip(10 * ms)},
			{At: 30 * ms, Kind: netem.EventBlackout, For: ms},
			{At: 40 * ms, Kind: netem.EventMove, Link: 1},
			{At: 50 * ms, Kind: netem.EventCutUDP, Link: 1},
			{At: 60 * ms, Kind: netem.EventMendUDP, Link: 1},
		},
		On: func(e netem.Event, err error) {
			assert.NoError(t, err)
			happened <- e
		},
	})
	client, server := udpPair(t, n, netip.IPv4Unspecified(), netem.ServerAddr)
	from := func() netip.Addr {
		_, err := client.WriteToUDPAddrPort([]byte("from where?"), address(server))
		require.NoError(t, err)
		require.NoError(t, server.SetReadDeadline(time.Now().Add(10*time.Second)))
		_, from, err := server.ReadFromUDPAddrPort(make([]byte, 100))
		require.NoError(t, err)
		return from.Addr()
	}
	for range 2 {
		for _, kind := range []netem.EventKind{"rebind", "set", "blackout", "move", "cut_udp", "mend_udp"} {
			require.Equal(t, kind, (<-happened).Kind)
		}
		require.Equal(t, netem.ClientAddr(1), from())
		require.NoError(t, n.Restart())
	}
	for range 6 { // before Close, so that none is in its way
		<-happened
	}
	n.Blackout(1, true)
	_, err := client.WriteToUDPAddrPort([]byte("dark"), address(server))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return n.Stats().Links[1][netem.Up].Dark == 1 }, 10*time.Second, time.Millisecond)
}

// A veth pair carries everything both ways, segments whole or cut.
func TestVeth(t *testing.T) {
	for _, cut := range []bool{false, true} {
		n := open(t, netem.Config{Veth: true, NoSegments: cut})
		for _, addrs := range [][2]netip.Addr{{netem.ClientAddr(0), netem.ServerAddr}, {netem.ClientAddr6(0), netem.ServerAddr6}} {
			client, server := udpPair(t, n, addrs[0], addrs[1])
			raw, err := client.SyscallConn()
			require.NoError(t, err)
			require.NoError(t, raw.Control(func(fd uintptr) {
				err = unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT, 1200)
			}))
			require.NoError(t, err)
			_, err = client.WriteToUDPAddrPort(make([]byte, 12_000), address(server))
			require.NoError(t, err)
			for range 10 {
				require.NoError(t, server.SetReadDeadline(time.Now().Add(10*time.Second)))
				size, from, err := server.ReadFromUDPAddrPort(make([]byte, 20_000))
				require.NoError(t, err)
				require.Equal(t, 1200, size)
				require.Equal(t, address(client), from)
			}
			_, err = server.WriteToUDPAddrPort([]byte("back"), address(client))
			require.NoError(t, err)
			require.NoError(t, client.SetReadDeadline(time.Now().Add(10*time.Second)))
			_, _, err = client.ReadFromUDPAddrPort(make([]byte, 100))
			require.NoError(t, err)

			listener, err := n.Listen(netem.Server, netip.AddrPortFrom(addrs[1], 0))
			require.NoError(t, err)
			conn, err := n.Dial(t.Context(), netem.Client, "tcp", listener.Addr().String())
			require.NoError(t, err)
			require.NoError(t, conn.Close())
			require.NoError(t, listener.Close())
		}
		require.Equal(t, !cut, segments(t, n))
		require.NoError(t, n.Unplug(0))
		require.NoError(t, n.Plug(0))
		n.Set(0, netem.Up, netsim.LinkConfig{Loss: 1}) // has no model, so nothing changes
		require.Empty(t, n.Accounts())
	}
}

// segments says whether the server's end of a veth pair takes segmented UDP whole, as its packets say: one reader that
// takes several at once (UDP_GRO) is given them together, or each alone.
func segments(t *testing.T, n *netem.Network) bool {
	t.Helper()
	client, server := udpPair(t, n, netem.ClientAddr(0), netem.ServerAddr)
	for conn, option := range map[*net.UDPConn][2]int{client: {unix.UDP_SEGMENT, 1200}, server: {unix.UDP_GRO, 1}} {
		raw, err := conn.SyscallConn()
		require.NoError(t, err)
		require.NoError(t, raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_UDP, option[0], option[1]) }))
		require.NoError(t, err)
	}
	_, err := client.WriteToUDPAddrPort(make([]byte, 12_000), address(server))
	require.NoError(t, err)
	require.NoError(t, server.SetReadDeadline(time.Now().Add(10*time.Second)))
	size, _, err := server.ReadFromUDPAddrPort(make([]byte, 20_000))
	require.NoError(t, err)
	return size > 1200
}

func TestOpenNamesWhatIsWrong(t *testing.T) {
	_, err := netem.Open(netem.Config{Veth: true, Links: []netem.Path{{}}})
	require.ErrorContains(t, err, "Config.Veth")
	_, err = netem.Open(netem.Config{NoSegments: true, Links: []netem.Path{{}}})
	require.ErrorContains(t, err, "Config.NoSegments")
	_, err = netem.Open(netem.Config{Links: []netem.Path{{}}, Events: []netem.Event{{Kind: "flood"}}})
	require.ErrorContains(t, err, `Config.Events[0]: unknown kind "flood"`)
}
