package netem

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// netlink talks to the network stack of the namespace it was opened in.
type netlink struct {
	fd  int
	seq uint32
}

func openNetlink() (*netlink, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, os.NewSyscallError("netlink socket", err)
	}
	return &netlink{fd: fd}, nil
}

func (n *netlink) close() { unix.Close(n.fd) } // nothing was written that close could lose

// attribute is one value of a request.
type attribute struct {
	kind  uint16
	value []byte
}

func number(kind uint16, v uint32) attribute {
	return attribute{kind, binary.NativeEndian.AppendUint32(nil, v)}
}

// encode puts attributes one after the other, also into the value of another.
func encode(attributes ...attribute) []byte {
	var all []byte
	for _, a := range attributes {
		all = binary.NativeEndian.AppendUint16(all, uint16(unix.SizeofRtAttr+len(a.value)))
		all = binary.NativeEndian.AppendUint16(all, a.kind)
		all = append(all, a.value...)
		for len(all)%unix.RTA_ALIGNTO != 0 {
			all = append(all, 0)
		}
	}
	return all
}

// request sends one request and waits for the kernel's word on it.
func (n *netlink) request(kind uint16, flags uint16, header []byte, attributes ...attribute) error {
	n.seq++
	body := append(append([]byte(nil), header...), encode(attributes...)...)
	msg := binary.NativeEndian.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+len(body)))
	msg = binary.NativeEndian.AppendUint16(msg, kind)
	msg = binary.NativeEndian.AppendUint16(msg, flags|unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	msg = binary.NativeEndian.AppendUint32(msg, n.seq)
	msg = binary.NativeEndian.AppendUint32(msg, 0) // the kernel fills in who asks
	if err := unix.Sendto(n.fd, append(msg, body...), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return os.NewSyscallError("netlink send", err)
	}
	answer := make([]byte, 4096)
	size, _, err := unix.Recvfrom(n.fd, answer, 0)
	if err != nil {
		return os.NewSyscallError("netlink receive", err)
	}
	if size < unix.SizeofNlMsghdr+4 || binary.NativeEndian.Uint16(answer[4:]) != unix.NLMSG_ERROR {
		return errors.New("netlink: an answer that is no acknowledgement")
	}
	if code := int32(binary.NativeEndian.Uint32(answer[unix.SizeofNlMsghdr:])); code != 0 {
		return unix.Errno(-code)
	}
	return nil
}

// bytesOf shows a kernel structure as the bytes it is.
func bytesOf[T unix.IfInfomsg | unix.IfAddrmsg | unix.RtMsg](v *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v))
}

// up switches an interface on or off.
func (n *netlink) up(index int, on bool) error {
	msg := unix.IfInfomsg{Family: unix.AF_UNSPEC, Index: int32(index), Change: unix.IFF_UP}
	if on {
		msg.Flags = unix.IFF_UP
	}
	return n.request(unix.RTM_NEWLINK, 0, bytesOf(&msg))
}

// size sets an interface's MTU and how many packets may wait for its reader.
func (n *netlink) size(index, mtu, queue int) error {
	msg := unix.IfInfomsg{Family: unix.AF_UNSPEC, Index: int32(index)}
	return n.request(unix.RTM_NEWLINK, 0, bytesOf(&msg),
		number(unix.IFLA_MTU, uint32(mtu)), number(unix.IFLA_TXQLEN, uint32(queue)))
}

// address gives an interface one address, or takes it away.
func (n *netlink) address(index int, addr netip.Addr, present bool) error {
	msg := unix.IfAddrmsg{Family: family(addr), Prefixlen: uint8(addr.BitLen()), Index: uint32(index), Flags: unix.IFA_F_NODAD}
	kind, flags := uint16(unix.RTM_NEWADDR), uint16(unix.NLM_F_CREATE|unix.NLM_F_REPLACE)
	if !present {
		kind, flags = unix.RTM_DELADDR, 0
	}
	err := n.request(kind, flags, bytesOf(&msg),
		attribute{unix.IFA_LOCAL, addr.AsSlice()}, attribute{unix.IFA_ADDRESS, addr.AsSlice()})
	if err == nil && present && addr.Is6() {
		err = settle(addr)
	}
	if err != nil {
		return fmt.Errorf("address %v: %w", addr, err)
	}
	return nil
}

// settle waits until the namespace of the calling thread takes what is sent to an IPv6 address of its own. The kernel has a
// worker make that route after it has acknowledged the address, and on a busy machine the first packets come before it.
func settle(addr netip.Addr) error {
	own := fmt.Sprintf("%x 80 ", addr.AsSlice())
	for began := time.Now(); time.Since(began) < 10*time.Second; time.Sleep(100 * time.Microsecond) {
		routes, err := os.ReadFile("/proc/thread-self/net/ipv6_route")
		if err != nil {
			return err
		}
		for route := range strings.Lines(string(routes)) {
			// destination, length, source, length, next hop, metric, references, uses, flags, interface
			fields := strings.Fields(route)
			if strings.HasPrefix(route, own) && len(fields) > 8 && isLocal(fields[8]) {
				return nil
			}
		}
	}
	return errors.New("the kernel makes no route to it: is net.ipv6.conf.all.disable_ipv6 set?")
}

// isLocal reads the flags of a route.
func isLocal(hex string) bool {
	flags, err := strconv.ParseUint(hex, 16, 32)
	return err == nil && flags&unix.RTF_LOCAL != 0
}

// route sends packets for a prefix out of an interface. Of two routes in one table that with the lower metric counts.
func (n *netlink) route(table uint8, to netip.Prefix, index int, metric uint32) error {
	msg := unix.RtMsg{
		Family: family(to.Addr()), Dst_len: uint8(to.Bits()), Table: table,
		Protocol: unix.RTPROT_STATIC, Scope: unix.RT_SCOPE_LINK, Type: unix.RTN_UNICAST,
	}
	attributes := []attribute{number(unix.RTA_OIF, uint32(index)), number(unix.RTA_PRIORITY, metric)}
	if to.Bits() > 0 {
		attributes = append(attributes, attribute{unix.RTA_DST, to.Addr().AsSlice()})
	}
	if err := n.request(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, bytesOf(&msg), attributes...); err != nil {
		return fmt.Errorf("route to %v: %w", to, err)
	}
	return nil
}

// ruleFrom has packets with this source address look into a table of their own first.
func (n *netlink) ruleFrom(addr netip.Addr, table uint8) error {
	// struct fib_rule_hdr has the size and, so far as we fill it, the layout of struct rtmsg.
	msg := unix.RtMsg{Family: family(addr), Src_len: uint8(addr.BitLen()), Table: table, Type: unix.FR_ACT_TO_TBL}
	if err := n.request(unix.RTM_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_EXCL, bytesOf(&msg),
		attribute{unix.FRA_SRC, addr.AsSlice()}); err != nil {
		return fmt.Errorf("rule for %v: %w", addr, err)
	}
	return nil
}

func family(addr netip.Addr) uint8 {
	if addr.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}
