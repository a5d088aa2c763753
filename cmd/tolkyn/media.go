package main

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"

	"github.com/tolkyn/tolkyn/cmd/tolkyn/internal/config"
	"github.com/tolkyn/tolkyn/internal/udp"
	"github.com/tolkyn/tolkyn/sfu"
	"github.com/tolkyn/tolkyn/sfu/bwe"
)

// media is the SFU and the sockets it owns, one a shard.
type media struct {
	sfu       *sfu.SFU
	sockets   []udp.Socket
	advertise []netip.Addr
}

// openMedia opens the media ports, UDP and TCP on the same number, one for each shard, and starts the SFU on them. Behind the one
// port, which is nil without, they are for nobody: then they are on loopback, and ICE-TCP comes from there.
func openMedia(c config.Config, one *onePort, log *slog.Logger) (*media, error) {
	address, err := addrPort(c.Media.Listen)
	if err != nil {
		return nil, fmt.Errorf("media.listen: %w", err)
	}
	shards := c.Media.ShardsOf(runtime.GOMAXPROCS(0))
	var listeners []net.Listener
	if one != nil {
		address = one.at
	}
	advertise, err := advertised(c.Media.Advertise, address.Addr())
	if err != nil {
		return nil, fmt.Errorf("media.advertise: %w", err)
	}
	if one != nil {
		address, c.Media.TCP = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0), false
		listeners = one.feeds(shards)
	}
	m := &media{advertise: advertise}
	fail := func(err error) (*media, error) {
		for _, s := range m.sockets {
			_ = s.Close()
		}
		for _, l := range listeners {
			_ = l.Close()
		}
		return nil, err
	}
	for range shards {
		socket, tcp, err := mediaSockets(address, c.Media)
		if err != nil {
			return fail(err)
		}
		m.sockets = append(m.sockets, socket)
		if tcp != nil {
			listeners = append(listeners, tcp)
		}
		if address.Port() != 0 {
			address = netip.AddrPortFrom(address.Addr(), address.Port()+1)
		}
	}
	m.sfu, err = sfu.New(sfu.Config{
		Sockets:       m.sockets,
		TCP:           listeners,
		Advertise:     advertise,
		Front:         one.front(),
		MaxPeers:      c.Limits.PeersPerRoom,
		MaxAudioSlots: c.Limits.AudioSlots,
		MaxVideoSlots: c.Limits.VideoSlots,
		MaxPeerRate:   sfu.Rate{PacketsPerSecond: c.Limits.PeerPacketsPerSecond, BitsPerSecond: c.Limits.PeerBitsPerSecond},
		Congestion: sfu.Congestion{
			Off:   !c.Media.CongestionControl,
			Start: bwe.Bitrate(c.Media.StartBitrate), Min: bwe.Bitrate(c.Media.MinBitrate), Max: bwe.Bitrate(c.Media.MaxBitrate),
		},
		Logger: log,
	})
	if err != nil {
		return fail(fmt.Errorf("start the SFU: %w", err))
	}
	return m, nil
}

// mediaSockets opens one number for UDP and TCP. When any number will do, one that is free for UDP may be taken for TCP:
// then it tries another.
func mediaSockets(address netip.AddrPort, c config.Media) (udp.Socket, net.Listener, error) {
	for try := 1; ; try++ {
		socket, err := udp.Listen(address, udp.Config{ECN: true})
		if err != nil {
			return nil, nil, explainListen("media.listen", "media", "udp", address.String(), err)
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

// packets counts what the media ports moved so far, in and out.
func (m *media) packets() (n uint64) {
	for _, s := range m.sockets {
		stats := s.Stats()
		n += stats.ReceivedDatagrams + stats.SentDatagrams
	}
	return n
}
