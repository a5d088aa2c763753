package netem

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// vethPeer is VETH_INFO_PEER of linux/veth.h: the other end's interface, as a message of its own.
const vethPeer = 1

// vethPeerIndex is the number of the server's interface: one that the client's does not get.
const vethPeerIndex = 100

// join makes a veth pair with one end in each namespace, with the addresses that link 0 would have.
func (n *Network) join(noSegments bool) error {
	var server int
	if err := n.sides[Server].do(func() (err error) {
		server, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		return err
	}); err != nil {
		return fmt.Errorf("open the server's: %w", err)
	}
	defer unix.Close(server)
	if err := n.inside(Client, func(kernel *netlink) error { return kernel.veth("link0", server) }); err != nil {
		return fmt.Errorf("make a veth pair: %w", err)
	}
	for _, side := range []Side{Client, Server} {
		if err := n.inside(side, func(kernel *netlink) error { return n.plugVeth(kernel, side, noSegments) }); err != nil {
			return fmt.Errorf("interface of the %v: %w", side, err)
		}
	}
	for _, side := range []Side{Client, Server} {
		if err := n.sides[side].do(func() error { return running("link0") }); err != nil {
			return fmt.Errorf("interface of the %v: %w", side, err)
		}
	}
	return nil
}

// running waits until an interface says that it is: packets pass before that, but programs that look for addresses leave out those
// of others. The kernel has a worker note it, a while after both ends are up.
func running(name string) error {
	for began := time.Now(); time.Since(began) < 10*time.Second; time.Sleep(100 * time.Microsecond) {
		i, err := net.InterfaceByName(name)
		if err != nil {
			return err
		}
		if i.Flags&net.FlagRunning != 0 {
			return nil
		}
	}
	return errors.New("it does not run")
}

// inside runs f in a side's namespace, with a netlink socket there.
func (n *Network) inside(side Side, f func(*netlink) error) error {
	return n.sides[side].do(func() error {
		kernel, err := openNetlink()
		if err != nil {
			return err
		}
		defer kernel.close()
		return f(kernel)
	})
}

func (n *Network) plugVeth(kernel *netlink, side Side, noSegments bool) error {
	index, err := interfaceIndex("link0")
	if err != nil {
		return err
	}
	n.index[side] = append(n.index[side], index)
	if noSegments {
		if err := offload("link0", "tx-udp-segmentation", false); err != nil {
			return err
		}
	}
	if side == Client {
		for _, addr := range clientAddrs(0) {
			if err := kernel.ruleFrom(addr, table(0)); err != nil {
				return err
			}
		}
		return plugClient(kernel, 0, index, clientAddrs(0)...)
	}
	if err := plugServer(kernel, index, subnets(0)...); err != nil {
		return err
	}
	// On this interface, not on loopback: it has to answer when the client asks who has them.
	for _, addr := range []netip.Addr{ServerAddr, ServerAddr6} {
		if err := kernel.address(index, addr, true); err != nil {
			return err
		}
	}
	return nil
}

// veth makes a pair of interfaces of one name, one here and one in the namespace that fd is open on.
func (n *netlink) veth(name string, fd int) error {
	called := attribute{unix.IFLA_IFNAME, append([]byte(name), 0)}
	var none unix.IfInfomsg
	// With one number for both ends, which would be the first that is free in either namespace, the kernel takes the interface for
	// no half of a pair, and lets a second go by before it says that it runs.
	other := unix.IfInfomsg{Index: vethPeerIndex}
	peer := append(bytes.Clone(bytesOf(&other)), encode(called, number(unix.IFLA_NET_NS_FD, uint32(fd)))...)
	return n.request(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, bytesOf(&none), called,
		attribute{unix.IFLA_LINKINFO, encode(
			attribute{unix.IFLA_INFO_KIND, []byte("veth")},
			attribute{unix.IFLA_INFO_DATA, encode(attribute{vethPeer, peer})},
		)})
}

// Of linux/ethtool.h.
const (
	featureStrings = 4  // ETH_SS_FEATURES
	stringSize     = 32 // ETH_GSTRING_LEN
	mostFeatures   = 256
)

// offload switches a feature of an interface on or off, in the namespace of the calling thread, as ethtool -K does.
func offload(name, feature string, on bool) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	// The numbers of features differ from kernel to kernel: their names are asked for first, and before that how many.
	info := make([]byte, 20) // cmd, reserved, mask of sets (8 bytes), count
	binary.NativeEndian.PutUint32(info, unix.ETHTOOL_GSSET_INFO)
	binary.NativeEndian.PutUint64(info[8:], 1<<featureStrings)
	if err := ethtool(fd, name, info); err != nil {
		return fmt.Errorf("count the features of %s: %w", name, err)
	}
	count := min(int(binary.NativeEndian.Uint32(info[16:])), mostFeatures)
	names := make([]byte, 12+count*stringSize) // cmd, set, count, strings
	binary.NativeEndian.PutUint32(names, unix.ETHTOOL_GSTRINGS)
	binary.NativeEndian.PutUint32(names[4:], featureStrings)
	binary.NativeEndian.PutUint32(names[8:], uint32(count))
	if err := ethtool(fd, name, names); err != nil {
		return fmt.Errorf("list the features of %s: %w", name, err)
	}
	blocks := (count + 31) / 32
	set := make([]byte, 8+blocks*8) // cmd, blocks, of each 32 features: valid, requested
	binary.NativeEndian.PutUint32(set, unix.ETHTOOL_SFEATURES)
	binary.NativeEndian.PutUint32(set[4:], uint32(blocks))
	for i := range count {
		label, _, _ := bytes.Cut(names[12+i*stringSize:12+(i+1)*stringSize], []byte{0})
		if string(label) != feature {
			continue
		}
		at := 8 + i/32*8
		binary.NativeEndian.PutUint32(set[at:], 1<<(i%32))
		if on {
			binary.NativeEndian.PutUint32(set[at+4:], 1<<(i%32))
		}
		if err := ethtool(fd, name, set); err != nil {
			return fmt.Errorf("switch %s of %s: %w", feature, name, err)
		}
		return nil
	}
	return fmt.Errorf("interface %s has no feature %s", name, feature)
}

// ethtool has the kernel read and fill a request.
func ethtool(fd int, name string, request []byte) error {
	var ifreq struct { // struct ifreq of net/if.h
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}
	copy(ifreq.name[:unix.IFNAMSIZ-1], name)
	ifreq.data = unsafe.Pointer(&request[0])
	// A positive answer of SFEATURES says that other features changed along, which is no failure.
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&ifreq))); errno != 0 {
		return errno
	}
	return nil
}
