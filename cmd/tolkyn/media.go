package main

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"

	"github.com/tolkyn/tolkyn/cmd/tolkyn/internal/config"
	"github.com/tolkyn/tolkyn/internal/udp"
	"github.com/tolkyn/tolkyn/sfu"
)

// media is the SFU and the sockets it owns.
type media struct {
	sfu       *sfu.SFU
	socket    udp.Socket
	advertise []netip.Addr
}

// openMedia opens the media port, UDP and TCP on the same number, and starts the SFU on it.
func openMedia(c config.Config, log *slog.Logger) (*media, error) {
	address, err := addrPort(c.Media.Listen)
	if err != nil {
		return nil, fmt.Errorf("media.listen: %w", err)
	}
	advertise, err := advertised(c.Media.Advertise, address.Addr())
	if err != nil {
		return nil, fmt.Errorf("media.advertise: %w", err)
	}
	socket, tcp, err := mediaSockets(address, c.Media)
	if err != nil {
		return nil, err
	}
	var listeners []net.Listener
	if tcp != nil {
		listeners = append(listeners, tcp)
	}
	unit, err := sfu.New(sfu.Config{
		Sockets:       []udp.Socket{socket},
		TCP:           listeners,
		Advertise:     advertise,
		MaxPeers:      c.Limits.PeersPerRoom,
		MaxAudioSlots: c.Limits.AudioSlots,
		MaxVideoSlots: c.Limits.VideoSlots,
		MaxPeerRate:   sfu.Rate{PacketsPerSecond: c.Limits.PeerPacketsPerSecond, BitsPerSecond: c.Limits.PeerBitsPerSecond},
		Logger:        log,
	})
	if err != nil {
		_ = socket.Close()
		if tcp != nil {
			_ = tcp.Close()
		}
		return nil, fmt.Errorf("start the SFU: %w", err)
	}
	return &media{unit, socket, advertise}, nil
}

// mediaSockets opens one number for UDP and TCP. When any number will do, one that is free for UDP may be taken for TCP:
// then it tries another.
func mediaSockets(address netip.AddrPort, c config.Media) (udp.Socket, net.Listener, error) {
	for try := 1; ; try++ {
		socket, err := udp.Listen(address, udp.Config{})
		if err != nil {
			return nil, nil, explainListen("media.listen", "media", "udp", c.Listen, err)
		}
		if !c.TCP {
			return socket, nil, nil
		}
		beside := netip.AddrPortFrom(address.Addr(), socket.LocalAddr().Port())
		tcp, err := net.Listen("tcp", beside.String())
		if err == nil {
			return socket, tcp, nil
		}
		_ = socket.Close()
		if address.Port() != 0 || try == 10 {
			return nil, nil, explainListen("media.listen", "media", "tcp", beside.String(), err)
		}
	}
}

// packets counts what the media port moved so far, in and out.
func (m *media) packets() uint64 {
	stats := m.socket.Stats()
	return stats.ReceivedDatagrams + stats.SentDatagrams
}
