package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/tolkyn/tolkyn/cmd/tolkyn/internal/config"
	"github.com/tolkyn/tolkyn/cmd/tolkyn/internal/oneport"
	"github.com/tolkyn/tolkyn/sfu"
	"github.com/tolkyn/tolkyn/turn"
)

// onePortKey is the front behind which everything is.
const onePortKey = "one_port.listen"

// sweepLinks is how often clients who have fallen silent are looked for.
const sweepLinks = 15 * time.Second

// onePort is the one number, TCP and UDP, behind which everything is found. It opens in steps, as the parts that stand behind it do:
//
//	openOnePort ─► media (feeds, front) ─► certificates ─► stand (mux, datagrams) ─► turn (relay reads UDP, strangers) ─► serve
type onePort struct {
	// Fixed after openOnePort.
	at       netip.AddrPort // bound, with the real number
	listener net.Listener
	packets  *oneport.Packets

	// Fixed after feeds.
	media []*oneport.Feed // ICE-TCP, one a shard

	// Fixed after stand.
	mux       *oneport.Mux
	datagrams *oneport.Datagrams
	redirect  *http.Server

	// Fixed before serve.
	relay *turn.Server
}

// openOnePort binds the number for TCP; nil when it is off. The relay binds it for UDP.
func openOnePort(c config.Config) (*onePort, error) {
	if c.OnePort.Listen == "" {
		return nil, nil
	}
	asked, err := addrPort(c.OnePort.Listen)
	if err != nil {
		return nil, fmt.Errorf("one_port.listen: %w", err)
	}
	for try := 1; ; try++ {
		listener, err := listenTCP(onePortKey, "one-port", asked.String())
		if err != nil {
			return nil, err
		}
		at := netip.AddrPortFrom(asked.Addr(), uint16(listener.Addr().(*net.TCPAddr).Port))
		// When any number will do, one that is free for TCP may be taken for UDP.
		socket, err := listenUDP(onePortKey, "one-port", at.String())
		if err == nil {
			_ = socket.Close()
			return &onePort{at: at, listener: listener, packets: oneport.NewPackets(at)}, nil
		}
		_ = listener.Close()
		if asked.Port() != 0 || try == 10 {
			return nil, err
		}
	}
}

// front is what the SFU tells clients instead of its own ports.
func (o *onePort) front() sfu.Front {
	if o == nil {
		return sfu.Front{}
	}
	return sfu.Front{UDP: o.at.Port(), TCP: o.at.Port(), Only: true}
}

// feeds are the listeners of ICE-TCP of so many shards.
func (o *onePort) feeds(shards int) []net.Listener {
	var all []net.Listener
	for range shards {
		o.media = append(o.media, oneport.NewFeed(o.listener))
		all = append(all, o.media[len(o.media)-1])
	}
	return all
}

// warn tells of what does not work everywhere: Chromium takes no candidate on a port below 1,024 but 80 and 443 of public addresses.
func (o *onePort) warn(advertise []netip.Addr, log *slog.Logger) {
	for _, a := range advertise {
		if o.at.Port() < 1024 && (a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast()) {
			log.Warn("Chromium sends no media to ports below 1024 of private addresses: "+
				"name this host's public address in media.advertise, or choose a number from 1024 on", "one_port.listen", o.at, "advertise", a)
		}
	}
}

// stand puts the SFU behind it. shown has the certificates.
func (o *onePort) stand(unit *sfu.SFU, shown *tls.Config, log *slog.Logger) {
	o.datagrams = oneport.NewDatagrams(unit, o.packets)
	o.mux = oneport.New(o.listener, oneport.Config{
		TLS: shown,
		TURN: func(conn net.Conn, secure bool, first []byte) {
			way := turn.TCP
			if secure {
				way = turn.TLS
			}
			o.relay.ServeConn(conn, way, first)
		},
		Media: func(conn net.Conn, ufrag string) {
			if shard, ok := unit.Home([]byte(ufrag)); ok {
				o.media[shard].Give(conn)
				return
			}
			_ = conn.Close()
		},
	})
	o.redirect = newHTTPServer(toHTTPS(int(o.at.Port())), log)
}

// openBehindOnePort puts the SFU and the page behind the one port; openRelay the relay.
func (n *node) openBehindOnePort(log *slog.Logger) {
	shown := n.shown.https()
	n.one.warn(n.media.advertise, log)
	n.one.stand(n.media.sfu, shown, log)
	n.fronts = append(n.fronts, front{key: onePortKey, scheme: "https", tls: shown, ready: true, listener: n.one.mux.HTTPS()})
}

// relays sets what a relay is told that reads the one port.
func (o *onePort) relays(cfg *turn.Config, advertise []netip.Addr) {
	cfg.UDP, cfg.TCP, cfg.TLS = []netip.AddrPort{o.at}, nil, nil
	cfg.Stranger = o.datagrams.Take
	cfg.Own = nil
	for _, a := range advertise {
		cfg.Own = append(cfg.Own, netip.AddrPortFrom(a, o.at.Port()))
	}
}

// serve accepts until close. It returns at once.
func (o *onePort) serve(running *sync.WaitGroup, ended <-chan struct{}) {
	running.Go(func() { _ = o.mux.Serve() })                  // until close
	running.Go(func() { _ = o.redirect.Serve(o.mux.HTTP()) }) // likewise
	running.Go(func() {
		ticker := time.NewTicker(sweepLinks)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				o.datagrams.Sweep()
			case <-ended:
				return
			}
		}
	})
}

// close ends what openOnePort and stand began. The relay is closed before, the SFU afterwards.
func (o *onePort) close() {
	if o.mux == nil {
		_ = o.listener.Close()
		return
	}
	if o.relay != nil {
		_ = o.relay.Close()
	}
	_ = o.mux.Close() // the listener's error: it is closed
	_ = o.redirect.Close()
	o.datagrams.Close()
	_ = o.packets.Close()
}

// collect turns its figures into metrics.
func (o *onePort) collect(e emitter) {
	taken, datagrams := o.mux.Stats(), o.datagrams.Stats()
	served := map[string]uint64{"nothing": taken.Strange, "crowded_out": taken.Lost}
	for what, n := range taken.Served {
		served[oneport.Served(what).String()] = n
	}
	e.by("tolkyn_oneport_connections_total", "Connections to the one port by what they were for.", "for", served)
	e.gauge("tolkyn_oneport_connections_waiting", "Connections of which it is not known yet what they are for.", float64(taken.Waiting))
	e.gauge("tolkyn_oneport_links", "Addresses whose media comes to the one port over UDP now.", float64(datagrams.Links))
	e.by("tolkyn_oneport_dropped_datagrams_total", "Datagrams of strangers that went no further, and links ended to make room for others.", "reason",
		map[string]uint64{"stray": datagrams.Stray, "crowded_out": datagrams.Crowded, "quic_late": datagrams.Late})
}

// toHTTPS leads browsers that came without TLS to the same page over HTTPS on a port.
func toHTTPS(port int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		if port != 443 {
			host = net.JoinHostPort(host, strconv.Itoa(port))
		}
		http.Redirect(w, r, "https://"+host+r.URL.RequestURI(), http.StatusPermanentRedirect)
	})
}
