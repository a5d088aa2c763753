package udp

import (
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tolkyn/tolkyn/internal/packet"
)

const (
	// A message the kernel joined (GRO) is at most one IP packet long. The odd rest keeps the places from falling on the same
	// cache sets.
	joinedStride = 65536 + 320
	// Without GRO one byte more than MaxDatagram tells a longer datagram.
	singleStride = MaxDatagram + 64

	// Room for the control messages we ask for: UDP_GRO, SO_RXQ_OVFL and the traffic class of 24 bytes each, SCM_TIMESTAMPNS and
	// IP_PKTINFO of 32.
	receiveControl = 136
)

// receiveVector is the argument of recvmmsg: one message for each place of the batch.
type receiveVector struct {
	messages [MaxMessages]message
	iovecs   [MaxMessages]unix.Iovec
	names    [MaxMessages]unix.RawSockaddrInet6
	controls [MaxMessages][receiveControl / 8]uint64
	used     int    // messages of the last call, to be made ready again
	stride   int    // of the batch's memory when the vector was pointed into it
	head     int    // as Batch.Glance had it when the lengths were set,
	whole    uint64 // likewise
}

func (s *rawSocket) Read(b *Batch) (int, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	b.Reset()
	if s.closed {
		return 0, ErrClosed
	}
	v := b.point(s.gro)
	n, errno := recvmmsg(s.fd, v.messages[:])
	s.counters.receiveCalls.Add(1)
	if errno != 0 && errno != unix.EAGAIN { // an ICMP error that came back, or a signal: it is over, read on
		s.counters.receiveError.Add(1)
		s.counters.receiveCalls.Add(1)
		n, errno = recvmmsg(s.fd, v.messages[:])
	}
	if errno != 0 {
		return 0, nil
	}
	v.used = n
	bytes := 0
	for i := range n {
		bytes += s.take(b, i)
	}
	s.counters.received(b.Len(), bytes)
	return b.Len(), nil
}

// point returns the batch's vector, ready to receive into its memory.
func (b *Batch) point(gro bool) *receiveVector {
	stride := singleStride
	if gro {
		stride = joinedStride
	}
	b.reserve(stride)
	if b.vector == nil {
		b.vector = &receiveVector{}
	}
	v := b.vector
	if v.stride != b.stride {
		for i := range v.iovecs {
			v.iovecs[i].Base = &b.memory[i*b.stride]
			v.iovecs[i].SetLen(b.stride)
			h := &v.messages[i].header
			h.Name = (*byte)(unsafe.Pointer(&v.names[i]))
			h.Iov = &v.iovecs[i]
			h.SetIovlen(1)
			h.Control = (*byte)(unsafe.Pointer(&v.controls[i]))
		}
		v.stride, v.used, v.head = b.stride, MaxMessages, 0
	}
	if head := b.glance(gro); head != v.head || head > 0 && b.whole != v.whole {
		v.head, v.whole = head, b.whole
		for i := range v.iovecs {
			size := b.stride
			if head > 0 && b.whole&(1<<i) == 0 {
				size = head
			}
			v.iovecs[i].SetLen(size)
		}
	}
	for i := range v.used { // the kernel has written the sizes it used
		h := &v.messages[i].header
		h.Namelen = unix.SizeofSockaddrInet6
		h.SetControllen(receiveControl)
		h.Flags = 0
	}
	v.used = 1 // a call that fails may have begun with the first
	return v
}

// glance is how many bytes of a datagram are taken; 0: all. Joined datagrams cannot be told apart by their beginning.
func (b *Batch) glance(gro bool) int {
	if gro || b.head >= b.stride {
		return 0
	}
	return b.head
}

// take adds the datagrams of message i to b and returns their bytes.
func (s *rawSocket) take(b *Batch, i int) int {
	v := b.vector
	m := &v.messages[i]
	c := readControl(unsafe.Slice((*byte)(unsafe.Pointer(&v.controls[i])), receiveControl)[:m.header.Controllen])
	if c.hasOverflow {
		s.counters.overflow.Add(uint64(c.overflow - s.overflow))
		s.overflow = c.overflow
	}
	size, segment := int(m.size), c.segment
	if v.head > 0 && v.whole&(1<<i) == 0 && size <= MaxDatagram {
		b.add(i*b.stride, min(v.head, size), size, addrPort(&v.names[i]))
		s.note(b, &c)
		return size
	}
	if segment <= 0 {
		segment = max(size, 1)
	}
	if m.header.Flags&unix.MSG_TRUNC != 0 || segment > MaxDatagram {
		s.counters.truncated.Add(uint64((size + segment - 1) / segment))
		return 0
	}
	from := addrPort(&v.names[i])
	offset := i * b.stride
	if size == 0 {
		b.add(offset, 0, 0, from)
	}
	for at := 0; at < size; at += segment {
		b.add(offset+at, min(segment, size-at), min(segment, size-at), from)
	}
	s.note(b, &c)
	return size
}

// note keeps what the kernel told of the datagrams just added.
func (s *rawSocket) note(b *Batch, c *control) {
	if s.stamps {
		b.stamp(c.arrived)
	}
	for s.shared && len(b.to) < len(b.at) {
		b.to = append(b.to, c.to)
	}
	if s.ecn {
		b.mark(c.ecn)
	}
}

// control is what the kernel tells beside a message.
type control struct {
	segment     int    // bytes of each datagram that it joined; 0: it is one
	overflow    uint32 // the socket's count of datagrams that did not fit
	hasOverflow bool
	arrived     int64   // ns since the Unix epoch; 0 when it did not say
	to          [4]byte // the address of ours that it was sent to; zero when it did not say
	ecn         packet.ECN
}

func readControl(b []byte) (c control) {
	head := unix.CmsgLen(0)
	for len(b) >= head {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
		size := int(h.Len)
		if size < head || size > len(b) {
			return c
		}
		data := b[head:size]
		switch {
		case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_TOS && len(data) >= 1: // one byte, alone of all
			c.ecn = packet.ECNOf(data[0])
		case len(data) < 4:
		case h.Level == unix.IPPROTO_UDP && h.Type == unix.UDP_GRO:
			c.segment = int(int32(binary.NativeEndian.Uint32(data)))
		case h.Level == unix.SOL_SOCKET && h.Type == unix.SO_RXQ_OVFL:
			c.overflow, c.hasOverflow = binary.NativeEndian.Uint32(data), true
		case h.Level == unix.SOL_SOCKET && h.Type == unix.SCM_TIMESTAMPNS && len(data) >= int(unsafe.Sizeof(unix.Timespec{})):
			c.arrived = (*unix.Timespec)(unsafe.Pointer(&data[0])).Nano()
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_TCLASS:
			c.ecn = packet.ECNOf(uint8(binary.NativeEndian.Uint32(data)))
		case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			c.to = (*unix.Inet4Pktinfo)(unsafe.Pointer(&data[0])).Addr
		}
		b = b[min(unix.CmsgSpace(size-head), len(b)):]
	}
	return c
}

// recvmmsg has the kernel say how long a datagram was, even where it did not fit (MSG_TRUNC).
func recvmmsg(fd int, messages []message) (int, unix.Errno) {
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(fd),
		uintptr(unsafe.Pointer(&messages[0])), uintptr(len(messages)), unix.MSG_DONTWAIT|unix.MSG_TRUNC, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}
