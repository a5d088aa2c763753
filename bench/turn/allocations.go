//go:build linux

package main

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/stun/v4"

	"github.com/tolkyn/tolkyn/bench/server"
)

// allocations measures CPU time and resident memory of an allocation, with thousands held: after a hundred that are not
// counted, each client makes one by the two round trips of RFC 8489 §9.2 (refused for want of a nonce, then granted).
func (b *bench) allocations() error {
	ours, theirs, err := b.alternate(func(s side) ([]float64, error) {
		one, err := s.start()
		if err != nil {
			return nil, err
		}
		defer one.stop()
		to := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), one.port)
		warm, err := allocate(to, 100)
		defer closeAll(warm)
		if err != nil {
			return nil, err
		}
		cpu, memory, err := weigh(one.pid)
		if err != nil {
			return nil, err
		}
		held, err := allocate(to, b.held)
		defer closeAll(held)
		if err != nil {
			return nil, err
		}
		cpuAfter, memoryAfter, err := weigh(one.pid)
		if err != nil {
			return nil, err
		}
		n := float64(b.held)
		return []float64{float64(cpuAfter-cpu) / 1000 / n, float64(memoryAfter-memory) / n}, nil
	})
	if err != nil {
		return err
	}
	b.keep("turn_allocation_cpu", "us", 0, ours, theirs)
	b.keep("turn_allocation_memory", "KiB", 1, ours, theirs)
	return nil
}

// weigh reads the CPU time and the resident KiB of a process, once it has been idle for a moment.
func weigh(pid int) (time.Duration, int, error) {
	time.Sleep(500 * time.Millisecond)
	cpu, err := server.CPU(pid)
	if err != nil {
		return 0, 0, err
	}
	kb, err := server.ResidentKB(pid)
	return cpu, kb, err
}

// allocate makes n allocations from as many sockets, 32 at a time.
func allocate(to netip.AddrPort, n int) ([]*net.UDPConn, error) {
	conns, errs := make([]*net.UDPConn, n), make([]error, n)
	places := make(chan struct{}, 32)
	var all sync.WaitGroup
	for i := range n {
		places <- struct{}{}
		all.Go(func() {
			conns[i], errs[i] = allocateOne(to)
			<-places
		})
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return conns, err
		}
	}
	return conns, nil
}

func closeAll(conns []*net.UDPConn) {
	for _, c := range conns {
		if c != nil {
			_ = c.Close()
		}
	}
}

func allocateOne(to netip.AddrPort) (*net.UDPConn, error) {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		return nil, err
	}
	request := stun.NewType(stun.MethodAllocate, stun.ClassRequest)
	udp := stun.RawAttribute{Type: stun.AttrRequestedTransport, Value: []byte{17, 0, 0, 0}}
	refused, err := ask(conn, request, udp)
	if err != nil {
		return conn, err
	}
	var nonce stun.Nonce
	var realm stun.Realm
	if err := refused.Parse(&nonce, &realm); err != nil {
		return conn, fmt.Errorf("refusal of an Allocate: %w", err)
	}
	granted, err := ask(conn, request, udp, stun.NewUsername(user), realm, nonce,
		stun.NewLongTermIntegrity(user, realm.String(), password))
	if err != nil {
		return conn, err
	}
	if granted.Type.Class != stun.ClassSuccessResponse {
		return conn, fmt.Errorf("allocate: %v", granted)
	}
	return conn, nil
}

// ask sends a request, again each half second, and returns the answer.
func ask(conn *net.UDPConn, kind stun.MessageType, attributes ...stun.Setter) (*stun.Message, error) {
	m, err := stun.Build(append([]stun.Setter{stun.TransactionID, kind}, attributes...)...)
	if err != nil {
		return nil, err
	}
	buffer := make([]byte, 1500)
	for range 10 {
		if _, err := conn.Write(m.Raw); err != nil {
			return nil, err
		}
		_ = conn.SetReadDeadline(time.Now().Add(500 * time.Millisecond)) // an open socket takes it
		n, err := conn.Read(buffer)
		if err != nil {
			continue
		}
		answer := &stun.Message{Raw: buffer[:n]}
		if answer.Decode() == nil && answer.TransactionID == m.TransactionID {
			return answer, nil
		}
	}
	return nil, fmt.Errorf("no answer to an Allocate")
}
