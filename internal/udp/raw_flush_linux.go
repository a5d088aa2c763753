package udp

import (
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tolkyn/tolkyn/internal/packet"
)

// maxPlain bounds the destinations remembered to refuse GSO. One forgotten costs a refused call and is remembered again.
const maxPlain = 4096

// sendVector is the argument of sendmmsg: one message for each run, or for each datagram where GSO is off.
type sendVector struct {
	messages [MaxMessages]message
	iovecs   [MaxMessages]unix.Iovec
	names    [MaxMessages]unix.RawSockaddrInet6
	controls [MaxMessages]sendControl
	parts    [MaxMessages]part
	count    int
}

// sendControl is the control messages of one message. What is not wanted of it is left out at its beginning or its end; in the
// middle a segment of 0 cuts nothing.
type sendControl struct {
	class   classControl
	segment segmentControl
	source  sourceControl
}

// classControl is the control message IP_TOS or IPV6_TCLASS.
type classControl struct {
	header unix.Cmsghdr
	class  int32
	_      [4]byte
}

// sourceControl is the control message IP_PKTINFO.
type sourceControl struct {
	header unix.Cmsghdr
	info   unix.Inet4Pktinfo
	_      [4]byte
}

// segmentControl is the control message UDP_SEGMENT.
type segmentControl struct {
	header  unix.Cmsghdr
	segment uint16
	_       [6]byte
}

// part is what a message of the vector carries.
type part struct {
	to        netip.AddrPort
	from      netip.Addr
	ecn       packet.ECN
	data      []byte
	segment   int
	datagrams int
}

func newSendVector() *sendVector {
	v := &sendVector{}
	for i := range v.messages {
		h := &v.messages[i].header
		h.Name = (*byte)(unsafe.Pointer(&v.names[i]))
		h.Iov = &v.iovecs[i]
		h.SetIovlen(1)
		c := &v.controls[i]
		c.class.header.SetLen(unix.CmsgLen(4))
		c.segment.header.Level, c.segment.header.Type = unix.IPPROTO_UDP, unix.UDP_SEGMENT
		c.segment.header.SetLen(unix.CmsgLen(2))
		c.source.prepare()
	}
	return v
}

func (c *sourceControl) prepare() {
	c.header.Level, c.header.Type = unix.IPPROTO_IP, unix.IP_PKTINFO
	c.header.SetLen(unix.CmsgLen(unix.SizeofInet4Pktinfo))
}

// rawSender is a writing half of a rawSocket: its owner's, or that of another goroutine.
type rawSender struct {
	// Fixed.
	socket *rawSocket

	// Owned by the caller of Flush.
	plain map[netip.Addr]struct{} // destinations that refuse GSO
}

func (s *rawSocket) Flush(q *Queue) error { return s.own.Flush(q) }

func (s *rawSocket) sender() Sender { return &rawSender{socket: s} }

// Flush is Socket.Flush.
func (w *rawSender) Flush(q *Queue) error {
	s := w.socket
	s.mu.RLock()
	defer s.mu.RUnlock()
	defer q.Reset()
	if s.closed {
		return ErrClosed
	}
	if q.vector == nil {
		q.vector = newSendVector()
	}
	v := q.vector
	for i := range q.runs {
		r := &q.runs[i]
		if r.count > 1 && w.segments(r.to) {
			w.add(v, part{to: r.to, from: r.from, ecn: r.ecn, data: q.bytes(r), segment: r.segment, datagrams: r.count})
			continue
		}
		for k := range r.count {
			w.add(v, part{to: r.to, from: r.from, ecn: r.ecn, data: q.datagram(r, k), datagrams: 1})
		}
	}
	w.send(v)
	return nil
}

// segments reports whether runs to this destination may leave as one message.
func (w *rawSender) segments(to netip.AddrPort) bool {
	if gso := w.socket.gso; !gso || len(w.plain) == 0 {
		return gso
	}
	_, refused := w.plain[to.Addr()]
	return !refused
}

// add puts a message into the vector and sends the vector when it is full.
func (w *rawSender) add(v *sendVector, p part) {
	s := w.socket
	size, ok := s.putName(&v.names[v.count], p.to)
	if !ok {
		s.counters.sendError.Add(uint64(p.datagrams))
		return
	}
	v.messages[v.count].header.Namelen = size
	v.parts[v.count] = p
	v.carry(v.count, p.data, p.segment)
	v.count++
	if v.count == MaxMessages {
		w.send(v)
	}
}

// carry lets message i carry data of its part, cut by the kernel into segments when segment is above 0, from the part's address
// when it is one and with its ECN bits.
func (v *sendVector) carry(i int, data []byte, segment int) {
	v.iovecs[i].Base = unsafe.SliceData(data)
	v.iovecs[i].SetLen(len(data))
	h, c, p := &v.messages[i].header, &v.controls[i], &v.parts[i]
	size := 0
	if p.from.Is4() {
		c.source.info.Spec_dst = p.from.As4()
		h.Control = (*byte)(unsafe.Pointer(&c.source))
		size = int(unsafe.Sizeof(c.source))
	}
	if segment > 0 || size > 0 && p.ecn != packet.NotECT {
		c.segment.segment = uint16(segment)
		h.Control = (*byte)(unsafe.Pointer(&c.segment))
		size += int(unsafe.Sizeof(c.segment))
	}
	if p.ecn != packet.NotECT {
		c.class.set(p.to.Addr(), p.ecn)
		h.Control = (*byte)(unsafe.Pointer(c))
		size += int(unsafe.Sizeof(c.class))
	}
	if size == 0 {
		h.Control = nil
	}
	h.SetControllen(size)
}

// set writes the traffic class: of IPv4 also where an IPv6 socket reaches it by a mapped address.
func (c *classControl) set(to netip.Addr, ecn packet.ECN) {
	c.header.Level, c.header.Type = unix.IPPROTO_IP, unix.IP_TOS
	if to.Is6() && !to.Is4In6() {
		c.header.Level, c.header.Type = unix.IPPROTO_IPV6, unix.IPV6_TCLASS
	}
	c.class = int32(ecn)
}

// send sends the vector. The kernel stops at the first message it refuses and tells why only when that is the first of a call.
func (w *rawSender) send(v *sendVector) {
	s := w.socket
	for at := 0; at < v.count; {
		n, errno := s.sendmmsg(s.fd, v.messages[at:v.count])
		s.counters.sendCalls.Add(1)
		if errno == 0 && n > 0 {
			s.sent(v.parts[at : at+n])
			at += n
			continue
		}
		switch p := &v.parts[at]; {
		case errno == unix.EINTR:
		case errno == unix.EAGAIN || errno == unix.ENOBUFS:
			// The buffer is full: no spinning, and nothing is worth less than media that waits. What is left of this call goes.
			s.counters.sendAgain.Add(datagrams(v.parts[at:v.count]))
			at = v.count
		case p.segment > 0 && refusesGSO(errno):
			w.sendPlain(v, at)
			at++
		default:
			s.counters.sendError.Add(uint64(p.datagrams))
			at++
		}
	}
	v.count = 0
}

// refusesGSO reports whether the error may come from UDP_SEGMENT: EIO without checksum offload, EINVAL or EMSGSIZE (by kernel
// version) when a segment with its headers exceeds the path's MTU.
func refusesGSO(errno unix.Errno) bool {
	return errno == unix.EIO || errno == unix.EINVAL || errno == unix.EMSGSIZE
}

// sendPlain sends the run of message i datagram by datagram and, where that works, remembers its destination.
func (w *rawSender) sendPlain(v *sendVector, i int) {
	p, s := v.parts[i], w.socket
	s.counters.gsoFallbacks.Add(1)
	worked := false
	for at := 0; at < len(p.data); at += p.segment {
		data := p.data[at:min(at+p.segment, len(p.data))]
		v.carry(i, data, 0)
		n, errno := s.sendmmsg(s.fd, v.messages[i:i+1])
		s.counters.sendCalls.Add(1)
		switch {
		case errno == 0 && n == 1:
			s.counters.sent(1, len(data))
			worked = true
		case errno == unix.EAGAIN || errno == unix.ENOBUFS:
			s.counters.sendAgain.Add(1)
		default:
			s.counters.sendError.Add(1)
		}
	}
	if !worked {
		return
	}
	if len(w.plain) == maxPlain {
		clear(w.plain)
	}
	if w.plain == nil {
		w.plain = make(map[netip.Addr]struct{})
	}
	w.plain[p.to.Addr()] = struct{}{}
}

func (s *rawSocket) sent(parts []part) {
	count, bytes := 0, 0
	for i := range parts {
		count += parts[i].datagrams
		bytes += len(parts[i].data)
	}
	s.counters.sent(count, bytes)
}

func datagrams(parts []part) uint64 {
	count := 0
	for i := range parts {
		count += parts[i].datagrams
	}
	return uint64(count)
}

func (s *rawSocket) WriteTo(p []byte, to netip.AddrPort) (int, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return 0, ErrClosed
	}
	var name unix.RawSockaddrInet6
	size, ok := s.putName(&name, to)
	errno := unix.EAFNOSUPPORT
	if ok {
		errno = sendto(s.fd, p, &name, size)
		s.counters.sendCalls.Add(1)
	}
	switch errno {
	case 0:
		s.counters.sent(1, len(p))
		return len(p), nil
	case unix.EAGAIN, unix.ENOBUFS:
		s.counters.sendAgain.Add(1)
	default:
		s.counters.sendError.Add(1)
	}
	return 0, errno
}

// sendmmsg does not keep its processor from other goroutines (Syscall6, not RawSyscall6): 64 messages take tens of microseconds.
func sendmmsg(fd int, messages []message) (int, unix.Errno) {
	n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(fd),
		uintptr(unsafe.Pointer(&messages[0])), uintptr(len(messages)), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

func sendto(fd int, p []byte, name *unix.RawSockaddrInet6, size uint32) unix.Errno {
	_, _, errno := unix.Syscall6(unix.SYS_SENDTO, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), unix.MSG_DONTWAIT,
		uintptr(unsafe.Pointer(name)), uintptr(size))
	return errno
}
