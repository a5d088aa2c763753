package client_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media/ivfwriter"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/tolkyn/tolkyn/internal/udp"
	"github.com/tolkyn/tolkyn/sfu"
	"github.com/tolkyn/tolkyn/signaling"
	"github.com/tolkyn/tolkyn/signaling/client"
	"github.com/tolkyn/tolkyn/signaling/wire"
)

// localServer is a whole server on this machine, over real sockets.
type localServer struct {
	url      string
	stop     func()
	dropQUIC func()       // closes the UDP port and leaves the rest
	noWeb    *atomic.Bool // refuses WebSockets
}

func loopback() localServer {
	s, err := newLocalServer()
	if err != nil {
		log.Fatal(err)
	}
	return s
}

func newLocalServer() (localServer, error) {
	media, err := udp.Listen(netip.MustParseAddrPort("127.0.0.1:0"), udp.Config{})
	if err != nil {
		return localServer{}, err
	}
	forwarder, err := sfu.New(sfu.Config{Sockets: []udp.Socket{media}, Advertise: []netip.Addr{netip.MustParseAddr("127.0.0.1")}})
	if err != nil {
		return localServer{}, err
	}
	verifier, err := signaling.NewVerifier(key)
	if err != nil {
		return localServer{}, err
	}
	certificate, err := makeCertificate()
	if err != nil {
		return localServer{}, err
	}
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return localServer{}, err
	}
	hash := sha256.Sum256(certificate.Certificate[0])
	ways := []*wire.Transport{{
		Kind: wire.Transport_QUIC, Port: uint32(socket.LocalAddr().(*net.UDPAddr).Port), CertificateSha256: [][]byte{hash[:]},
	}}
	server, err := signaling.New(signaling.Config{
		SFU: forwarder, Verifier: verifier, Transports: func() []*wire.Transport { return ways },
	})
	if err != nil {
		return localServer{}, err
	}
	served := make(chan error, 1)
	go func() {
		served <- server.ServeQUIC(socket, signaling.QUICConfig{
			Certificate: func() *tls.Certificate { return &certificate }, Secret: signaling.NewSecret(),
		})
	}()
	pages := http.NewServeMux()
	noWeb := new(atomic.Bool)
	pages.HandleFunc("/v1/ws", func(w http.ResponseWriter, r *http.Request) {
		if noWeb.Load() {
			http.Error(w, "not now", http.StatusServiceUnavailable)
			return
		}
		server.ServeHTTP(w, r)
	})
	pages.Handle("/v1/transports", server.TransportsHandler())
	web := httptest.NewServer(pages)
	closed := make(chan struct{})
	dropQUIC := func() {
		_ = socket.Close() // twice is an error that does not matter
		<-served
		close(closed)
	}
	return localServer{
		url: web.URL,
		stop: func() {
			if err := server.Close(context.Background()); err != nil {
				log.Print(err)
			}
			select {
			case <-closed:
			default:
				<-served
				_ = socket.Close() // nothing was left to send
			}
			web.Close()
			if err := forwarder.Close(); err != nil {
				log.Print(err)
			}
		},
		dropQUIC: dropQUIC, noWeb: noWeb,
	}, nil
}

func TestALocalServerIsReachedOverQUIC(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	server, err := newLocalServer()
	require.NoError(t, err)
	defer server.stop()
	options := client.Options{Memory: client.NewMemory()}
	server.noWeb.Store(true) // a machine under load may take longer than the head start of QUIC
	for range 3 {
		c, err := client.Dial(t.Context(), server.url, token("aru"), options)
		require.NoError(t, err)
		require.Equal(t, client.QUIC, c.Transport())
		c.NetworkChanged()
		_, err = c.Ping(t.Context())
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			stats := c.SessionStats()
			return stats.Moved+stats.Resumed > 0
		}, 10*time.Second, 5*time.Millisecond)
		require.NoError(t, c.Close())
	}

	c, err := client.Dial(t.Context(), server.url, token("aru"), options)
	require.NoError(t, err)
	defer c.Close()
	server.noWeb.Store(false)
	server.dropQUIC() // the system refuses what comes for this port from now on
	require.Eventually(t, func() bool {
		_, err := c.Ping(t.Context())
		return err == nil && c.Transport() == client.WebSocket
	}, 20*time.Second, 5*time.Millisecond)
}

// someClip writes a VP8 file of 15 frames.
func someClip() (name string, remove func()) {
	dir, err := os.MkdirTemp("", "clip")
	if err != nil {
		log.Fatal(err)
	}
	name = filepath.Join(dir, "clip.ivf")
	w, err := ivfwriter.New(name, ivfwriter.WithCodec(webrtc.MimeTypeVP8))
	if err != nil {
		log.Fatal(err)
	}
	for i := range uint16(15) {
		p := &rtp.Packet{
			Header:  rtp.Header{Version: 2, Marker: true, SequenceNumber: i, Timestamp: uint32(i) * 3000},
			Payload: vp8Frame(i == 0, i),
		}
		if err := w.WriteRTP(p); err != nil {
			log.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		log.Fatal(err)
	}
	return name, func() { _ = os.RemoveAll(dir) } // the system clears up what is left
}

// speaker is a client that sends sound until ctx ends.
type speaker struct {
	*client.Client

	room *client.Room
}

func speak(ctx context.Context, url, identity string) speaker {
	c, err := client.Dial(ctx, url, token(identity), client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	mic, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}, "mic", identity)
	if err != nil {
		log.Fatal(err)
	}
	room, err := c.Join(ctx, client.JoinOptions{
		Name: identity, Tracks: []client.LocalTrack{{Source: client.Microphone, Track: mic}},
	})
	if err != nil {
		log.Fatal(err)
	}
	m := &member{name: identity, stopping: make(chan struct{})}
	context.AfterFunc(ctx, func() { close(m.stopping) })
	go m.talk(mic)
	return speaker{c, room}
}
