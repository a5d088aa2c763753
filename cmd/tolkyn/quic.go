package main

import (
	"fmt"
	"log/slog"
	"net"
	"os"

	"github.com/tolkyn/tolkyn/cmd/tolkyn/internal/config"
	"github.com/tolkyn/tolkyn/signaling"
	"github.com/tolkyn/tolkyn/signaling/wire"
)

// quicPort is the UDP socket of QUIC and WebTransport.
type quicPort struct {
	// Fixed after openQUIC.
	socket net.PacketConn
	secret signaling.Secret
	shown  certificates
	// told says whether clients are told of it: those that cannot reach it would only lose time.
	told bool
}

// openQUIC opens the port; nil when it is switched off. one is the one port, behind which it then is; nil without.
func openQUIC(c config.Config, one *onePort, s *state, shown certificates, log *slog.Logger) (*quicPort, error) {
	if c.QUIC.Listen == "" && one == nil {
		return nil, nil
	}
	secret, err := s.secret()
	if err != nil {
		return nil, err
	}
	// The library takes buffers as large as it may have, and would say on standard error, which holds our log, that it
	// wanted more: those are for downloads, not for a few small frames. The name is valid: it cannot fail.
	_ = os.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true")
	if one != nil {
		return &quicPort{socket: one.packets, secret: secret, shown: shown, told: true}, nil
	}
	socket, err := listenUDP("quic.listen", "quic", c.QUIC.Listen)
	if err != nil {
		return nil, err
	}
	q := &quicPort{socket: socket, secret: secret, shown: shown, told: true}
	if isLoopback(c.QUIC.Listen) && !isLoopback(c.Media.Listen) {
		q.told = false
		log.Info("QUIC and WebTransport can be reached from this machine alone, so clients are not told of them: " +
			"all use WebSocket; quic.listen opens the port, for example :8443")
	}
	return q, nil
}

// number is the UDP port.
func (q *quicPort) number() uint16 { return uint16(q.socket.LocalAddr().(*net.UDPAddr).Port) }

// pagePorts are the ports on which the page may open WebTransport.
func (q *quicPort) pagePorts() []uint16 {
	if q == nil || !q.told {
		return nil
	}
	return []uint16{q.number()}
}

// transports is what clients are told. Safe from any goroutine.
func (q *quicPort) transports() []*wire.Transport {
	if q == nil || !q.told {
		return nil
	}
	port, hashes := uint32(q.number()), q.shown.hashes()
	return []*wire.Transport{
		{Kind: wire.Transport_QUIC, Port: port, CertificateSha256: hashes},
		{Kind: wire.Transport_WEBTRANSPORT, Port: port, Path: signaling.WebTransportPath, CertificateSha256: hashes},
	}
}

// serve takes sessions until they are closed.
func (q *quicPort) serve(sessions *signaling.Server) error {
	err := sessions.ServeQUIC(q.socket, signaling.QUICConfig{Certificate: q.shown.forQUIC, Secret: q.secret})
	if err != nil {
		return fmt.Errorf("quic.listen: %w", err)
	}
	return nil
}
