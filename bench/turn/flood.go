//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/stun/v4"

	"github.com/tolkyn/tolkyn/bench/report"
)

const (
	floodFor = 60 * time.Second
	// floodRate is of all kinds together, datagrams a second: what a hundred and twenty calls send.
	floodRate = 20_000
	// floodAddresses are the addresses of loopback that it comes from, as if spoofed; a port each.
	floodAddresses = 512
	// headers of IPv4 and UDP, which count in what is sent and what is answered.
	headers = 28
)

// flood has ten calls go through the relay while strangers send all that they can think of, over UDP from many addresses and over
// TCP, and tells what became of the calls, of the server's memory and of its log, and how many bytes the strangers were sent for
// each of theirs.
func (b *bench) flood(binary, dir string, certificate pair) error {
	s, err := startTolkyn(binary, dir, certificate)
	if err != nil {
		return err
	}
	defer s.stop()
	peer, port, err := startPeer()
	if err != nil {
		return err
	}
	defer peer.Stop()
	_, before, err := weigh(s.pid)
	if err != nil {
		return err
	}
	lines := s.lines()
	ctx, cancel := context.WithTimeout(b.ctx, floodFor)
	defer cancel()
	var strangers sync.WaitGroup
	f := &flood{to: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), s.port)}
	strangers.Go(func() { err = f.datagrams(ctx) })
	strangers.Go(func() { f.connections(ctx) })
	calls := load{size: 120, interval: 20}
	sent, lost, failed := calls.play(b.ctx, s, port, int((floodFor-10*time.Second)/(20*time.Millisecond)), 10)
	_, after, errWeigh := weigh(s.pid)
	strangers.Wait()
	if err := errors.Join(failed, err, errWeigh); err != nil {
		return err
	}
	share := float64(lost) / float64(sent)
	for _, r := range []report.Result{
		report.New(command, "turn_flood_calls_lost", "share", []float64{share}, nil),
		report.New(command, "turn_flood_memory_growth", "KiB", []float64{float64(after - before)}, nil),
		report.New(command, "turn_flood_log", "lines/s", []float64{float64(s.lines()-lines) / floodFor.Seconds()}, nil),
		report.New(command, "turn_flood_answered", "bytes out / in", []float64{float64(f.in.Load()) / float64(f.out.Load())}, nil),
		report.New(command, "turn_flood_rate", "datagrams/s", []float64{float64(f.count.Load()) / floodFor.Seconds()}, nil),
	} {
		b.results = append(b.results, r)
		fmt.Printf("%-32s %9.4g %s\n", r.Name, r.Value, r.Unit)
	}
	return nil
}

type flood struct {
	to             netip.AddrPort
	out, in, count atomic.Uint64
}

// datagrams sends every kind in turn, from every address in turn.
func (f *flood) datagrams(ctx context.Context) error {
	kinds, err := kindsOfJunk()
	if err != nil {
		return err
	}
	conns := make([]*net.UDPConn, floodAddresses)
	for i := range conns {
		from := net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 9, byte(i >> 8), byte(i)}), 0))
		if conns[i], err = net.DialUDP("udp4", from, net.UDPAddrFromAddrPort(f.to)); err != nil {
			return err
		}
		defer conns[i].Close()
	}
	const each = time.Millisecond
	tick := time.NewTicker(each)
	defer tick.Stop()
	began, n, answer := time.Now(), 0, make([]byte, 2000)
	for ctx.Err() == nil {
		<-tick.C
		for due := int(time.Since(began) * floodRate / time.Second); n < due; n++ {
			c, b := conns[n%len(conns)], kinds[n%len(kinds)]
			if len(b) >= 20 && b[0] < 4 {
				binary.BigEndian.PutUint64(b[8:], rand.Uint64()) // another transaction each time
			}
			if _, err := c.Write(b); err == nil {
				f.count.Add(1)
				f.out.Add(uint64(len(b) + headers))
			}
		}
		f.drain(conns, answer)
	}
	time.Sleep(100 * time.Millisecond)
	f.drain(conns, answer)
	return nil
}

// drain counts what was answered.
func (f *flood) drain(conns []*net.UDPConn, b []byte) {
	for _, c := range conns {
		raw, err := c.SyscallConn()
		if err != nil {
			return
		}
		_ = raw.Read(func(fd uintptr) bool {
			for {
				n, ok := receive(fd, b)
				if !ok {
					return true
				}
				f.in.Add(uint64(n + headers))
			}
		})
	}
}

// connections opens twenty a second that send what no client would, or nothing, and stay until they are closed.
func (f *flood) connections(ctx context.Context) {
	hellos := [][]byte{
		{0x40, 0, 0xFF, 0xFC, 1, 2, 3, 4, 5}, bytes.Repeat([]byte{0}, 3000), []byte("GET / HTTP/1.1\r\n\r\n"), {0, 1}, nil,
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ctx.Err() == nil; i++ {
		<-tick.C
		c, err := net.DialTimeout("tcp", f.to.String(), time.Second)
		if err != nil {
			continue
		}
		_, _ = c.Write(hellos[i%len(hellos)])
		context.AfterFunc(ctx, func() { _ = c.Close() })
	}
}

// kindsOfJunk are datagrams of who has no credentials.
func kindsOfJunk() ([][]byte, error) {
	allocate := stun.NewType(stun.MethodAllocate, stun.ClassRequest)
	udp := stun.RawAttribute{Type: stun.AttrRequestedTransport, Value: []byte{17, 0, 0, 0}}
	var all [][]byte
	for _, setters := range [][]stun.Setter{
		{allocate, udp},
		{stun.BindingRequest},
		{allocate, udp, stun.NewUsername("bench"), stun.NewRealm(realm), stun.NewNonce("0123456789abcdef"), stun.NewLongTermIntegrity("bench", realm, "wrong")},
		{stun.NewType(stun.MethodCreatePermission, stun.ClassRequest), stun.RawAttribute{Type: stun.AttrXORPeerAddress, Value: make([]byte, 8)}},
		{stun.NewType(stun.MethodSend, stun.ClassIndication), stun.RawAttribute{Type: stun.AttrData, Value: make([]byte, 200)}},
		{stun.NewType(stun.MethodRefresh, stun.ClassRequest), stun.RawAttribute{Type: stun.AttrLifetime, Value: make([]byte, 4)}},
		{allocate, stun.RawAttribute{Type: 0x7FF0, Value: make([]byte, 40)}},
	} {
		m, err := stun.Build(append([]stun.Setter{stun.TransactionID}, setters...)...)
		if err != nil {
			return nil, err
		}
		all = append(all, m.Raw)
	}
	channel := append([]byte{0x40, 0x01, 0, 160}, make([]byte, 160)...)
	return append(all, channel, make([]byte, 1400), []byte{0, 3}, bytes.Repeat([]byte{0x16, 0xfe, 0xfd}, 60)), nil
}
