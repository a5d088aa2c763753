package server

import (
	"context"
	"errors"
	"net/netip"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tolkyn/tolkyn/internal/packet"
	"github.com/tolkyn/tolkyn/internal/seq"
	"github.com/tolkyn/tolkyn/internal/srtp"
	"github.com/tolkyn/tolkyn/internal/udp"
)

// What Floor sends: runs as a server has them of one frame, to as many receivers as keep a socket's buffer from being the subject.
const (
	floorReceivers = 32
	floorRun       = 8
	floorPayload   = 1060 // with header and tag 1,088 bytes
	floorTime      = 400 * time.Millisecond
)

// Floor measures the least that forwarding a packet costs on this machine: a header is written, the payload copied and sealed, and
// runs of eight leave with as few system calls as the kernel allows. It returns nanoseconds of CPU a packet, of the sending thread
// alone. What others do meanwhile makes it larger, never smaller.
func Floor(ctx context.Context) (float64, error) {
	loopback := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0)
	var sinks []udp.Socket
	defer func() {
		for _, s := range sinks {
			_ = s.Close() // it was only read
		}
	}()
	for range floorReceivers {
		s, err := udp.Listen(loopback, udp.Config{DisableGRO: true})
		if err != nil {
			return 0, err
		}
		sinks = append(sinks, s)
	}
	ctx, cancel := context.WithTimeout(ctx, floorTime)
	defer cancel()
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		b := udp.NewBatch()
		for ctx.Err() == nil {
			for _, s := range sinks {
				for n, err := s.Read(b); err == nil && n > 0; n, err = s.Read(b) {
				}
			}
			time.Sleep(time.Millisecond)
		}
	}()
	defer func() { cancel(); <-drained }()
	return sendFloor(ctx, sinks)
}

func sendFloor(ctx context.Context, sinks []udp.Socket) (float64, error) {
	socket, err := udp.Listen(netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0), udp.Config{})
	if err != nil {
		return 0, err
	}
	defer func() { _ = socket.Close() }() // it was only written
	sealer, err := srtp.NewSealer(srtp.Key{
		Profile: srtp.AEADAES128GCM, Master: make([]byte, srtp.AEADAES128GCM.KeyLen()), Salt: make([]byte, srtp.AEADAES128GCM.SaltLen()),
	})
	if err != nil {
		return 0, err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	queue := udp.NewQueue(floorReceivers * floorRun)
	plain := make([]byte, floorPayload)
	number := seq.Extended(1 << 16)
	before, err := threadCPU()
	if err != nil {
		return 0, err
	}
	sent := 0
	for ctx.Err() == nil {
		for _, to := range sinks {
			for range floorRun {
				b := queue.Next(to.LocalAddr())
				n := packet.PutHeader(b, packet.Header{Sequence: number.Uint16(), Timestamp: uint32(sent), SSRC: 1, PayloadType: 96})
				copy(b[n:], plain)
				queue.Commit(sealer.SealRTP(b, n, n+floorPayload, number))
				number++
				sent++
			}
		}
		if err := socket.Flush(queue); err != nil {
			return 0, err
		}
		time.Sleep(time.Millisecond) // so that the receivers keep up
	}
	after, err := threadCPU()
	if err != nil {
		return 0, err
	}
	if sent == 0 {
		return 0, errors.New("nothing was sent")
	}
	return float64(after-before) / float64(sent), nil
}

// threadCPU is what the calling thread has used.
func threadCPU() (time.Duration, error) {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		return 0, err
	}
	return time.Duration(t.Nano()), nil
}
