package client

import (
	"errors"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// addressNews has a token whenever the system's addresses, links or routes may have changed. Where the system does not tell
// (a sandbox), it never has one.
func addressNews() (news <-chan struct{}, stop func()) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, func() {}
	}
	var groups uint32
	for _, group := range []int{
		unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE,
	} {
		groups |= 1 << (group - 1)
	}
	socket := os.NewFile(uintptr(fd), "netlink")
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		_ = socket.Close() // nothing was read from it
		return nil, func() {}
	}
	all := make(chan struct{}, 1)
	var reader sync.WaitGroup
	reader.Go(func() {
		for message := make([]byte, 4096); ; {
			// What it says does not matter, only that something was said. ENOBUFS: too much was.
			if _, err := socket.Read(message); err != nil && !isOverflow(err) {
				return
			}
			select {
			case all <- struct{}{}:
			default:
			}
		}
	})
	return all, func() {
		_ = socket.Close() // ends the reader
		reader.Wait()
	}
}

func isOverflow(err error) bool { return errors.Is(err, unix.ENOBUFS) }
