package netem

import (
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// tunQueue packets may wait for the pump. It never gets near: the pump is a real-time thread.
const tunQueue = 10_000

// openTUN makes an interface in the namespace of the calling thread; its packets are read from and written to fd, one a
// call. No offload is switched on, so the kernel cuts and sums them as for a wire.
func openTUN(name string) (fd int, err error) {
	fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open /dev/net/tun: %w", err)
	}
	request, err := unix.NewIfreq(name)
	if err == nil {
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_TUN_EXCL)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("make interface %s: %w", name, err)
	}
	return fd, nil
}

// interfaceIndex asks the namespace of the calling thread; package net would ask that of another.
func interfaceIndex(name string) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq(name)
	if err == nil {
		err = unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, request)
	}
	if err != nil {
		return 0, fmt.Errorf("find interface %s: %w", name, err)
	}
	return int(request.Uint32()), nil
}

// quiet keeps the kernel from sending anything of its own, from being strict about where packets come from, and one
// connection from teaching the next. It holds for the namespace of the calling thread.
func quiet() error {
	for _, setting := range []struct{ name, value string }{
		{"ipv4/conf/all/rp_filter", "0"},
		{"ipv4/conf/default/rp_filter", "0"},
		{"ipv4/tcp_no_metrics_save", "1"},
		{"ipv6/conf/all/disable_ipv6", "0"},
		{"ipv6/conf/default/disable_ipv6", "0"},
		{"ipv6/conf/default/addr_gen_mode", "1"}, // no link-local address
		{"ipv6/conf/default/router_solicitations", "0"},
		{"ipv6/conf/default/accept_ra", "0"},
	} {
		if err := os.WriteFile("/proc/sys/net/"+setting.name, []byte(setting.value), 0); err != nil {
			return fmt.Errorf("set net/%s: %w", setting.name, err)
		}
	}
	return nil
}

// plugServer configures the server's end of a link. Its addresses stand on the loopback interface; each link leads to the
// subnets behind it.
func plugServer(n *netlink, index int, subnets ...netip.Prefix) error {
	if err := n.size(index, mtu, tunQueue); err != nil {
		return fmt.Errorf("set its size: %w", err)
	}
	if err := n.up(index, true); err != nil {
		return fmt.Errorf("switch it on: %w", err)
	}
	for _, subnet := range subnets {
		if err := n.route(unix.RT_TABLE_MAIN, subnet, index, 1); err != nil {
			return err
		}
	}
	return nil
}

// plugClient configures the client's end of link number i: its addresses, a default route that counts while no link with a
// lower number is plugged in, and one for whoever has bound its address.
func plugClient(n *netlink, i, index int, addrs ...netip.Addr) error {
	if err := n.size(index, mtu, tunQueue); err != nil {
		return fmt.Errorf("set its size: %w", err)
	}
	if err := n.up(index, true); err != nil {
		return fmt.Errorf("switch it on: %w", err)
	}
	for _, addr := range addrs {
		if err := n.address(index, addr, true); err != nil {
			return err
		}
		everywhere := netip.PrefixFrom(addr, 0).Masked()
		if err := n.route(unix.RT_TABLE_MAIN, everywhere, index, uint32(10+i)); err != nil {
			return err
		}
		if err := n.route(table(i), everywhere, index, 1); err != nil {
			return err
		}
	}
	return nil
}

// unplugClient takes the addresses and routes away, as when Wi-Fi is out of reach: who has bound them hears of it when it
// sends.
func unplugClient(n *netlink, index int, addrs ...netip.Addr) error {
	for _, addr := range addrs {
		if err := n.address(index, addr, false); err != nil {
			return err
		}
	}
	return n.up(index, false)
}

// table is the routing table of those who have bound the address of link i.
func table(i int) uint8 { return uint8(100 + i) }
