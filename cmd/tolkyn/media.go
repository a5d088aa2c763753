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
	socket, err := udp.Listen(address, udp.Config{})
	if err != nil {
		return nil, explainListen("media.listen", "media", "udp", c.Media.Listen, err)
	}
	var tcp net.Listener
	if c.Media.TCP {
		// The UDP socket knows the number when any was asked for.
		beside := netip.AddrPortFrom(address.Addr(), socket.LocalAddr().Port())
		tcp, err = net.Listen("tcp", beside.String())
		if err != nil {
			_ = socket.Close()
			return nil, explainListen("media.listen", "media", "tcp", beside.String(), err)
		}
	}
	unit, err := sfu.New(sfu.Config{
		Socket:        socket,
		TCP:           tcp,
		Advertise:     advertise,
		MaxPeers:      c.Limits.PeersPerRoom,
		MaxAudioSlots: c.Limits.AudioSlots,
		MaxVideoSlots: c.Limits.VideoSlots,
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

// packets counts what the media port moved so far, in and out.
func (m *media) packets() uint64 {
	stats := m.socket.Stats()
	return stats.ReceivedDatagrams + stats.SentDatagrams
}
