package udp

import "net/netip"

// ListenSingle is the portable form as it is on systems where golang.org/x/net moves one datagram a call.
func ListenSingle(addr netip.AddrPort) (Socket, error) {
	conn, err := listenConn(addr, Config{}.withDefaults())
	if err != nil {
		return nil, err
	}
	return newPortable(conn, &singleMover{conn: conn}, nil), nil
}
