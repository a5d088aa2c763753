package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"syscall"
)

// listenTCP opens the listener of a key. Its errors say what hinders and which flag gets around it.
func listenTCP(key, flag, address string) (net.Listener, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, explainListen(key, flag, "tcp", address, err)
	}
	return listener, nil
}

// listenUDP opens the UDP socket of a key, as listenTCP does.
func listenUDP(key, flag, address string) (*net.UDPConn, error) {
	socket, err := net.ListenPacket("udp", address)
	if err != nil {
		return nil, explainListen(key, flag, "udp", address, err)
	}
	return socket.(*net.UDPConn), nil
}

func explainListen(key, flag, network, address string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s: %s (%s) is in use by another program, perhaps another tolkyn: stop it, or choose another with --%s",
			key, address, network, flag)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%s: this machine has no address %s: choose one that it has, or :PORT for all, with --%s",
			key, address, flag)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s: not allowed to listen on %s (%s): ports below 1024 need CAP_NET_BIND_SERVICE; choose another with --%s",
			key, address, network, flag)
	default:
		return fmt.Errorf("%s: listen on %s (%s): %w", key, address, network, err)
	}
}

// addrPort reads host:port; a missing host is every interface, localhost is 127.0.0.1. Config has checked it before.
func addrPort(address string) (netip.AddrPort, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return netip.AddrPort{}, err
	}
	switch host {
	case "":
		host = "0.0.0.0"
		if hasIPv6() {
			host = "::"
		}
	case "localhost":
		host = "127.0.0.1"
	}
	return netip.ParseAddrPort(net.JoinHostPort(host, port))
}

// hasIPv6 says whether this machine can open IPv6 sockets at all; containers often cannot.
func hasIPv6() bool {
	listener, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		return false
	}
	_ = listener.Close()
	return true
}
