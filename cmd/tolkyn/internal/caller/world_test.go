package caller

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/webrtc/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/clip"
	"github.com/tolkyn/tolkyn/internal/netsim"
	"github.com/tolkyn/tolkyn/internal/udp"
	"github.com/tolkyn/tolkyn/sfu"
	"github.com/tolkyn/tolkyn/signaling"
	"github.com/tolkyn/tolkyn/signaling/client"
)

var key = signaling.Key{ID: "hs", Secret: []byte("0123456789abcdef0123456789abcdef")}

// world is a whole server on a simulated network; it ends with the test, inside a synctest bubble.
type world struct {
	t      *testing.T
	net    *netsim.Network
	host   *netsim.Host
	sfu    *sfu.SFU
	server atomic.Pointer[signaling.Server]
	web    *http.Server
	pipes  chan net.Conn
	closed chan struct{}
	hosts  byte
}

func inWorld(t *testing.T, play func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, net: netsim.New(1), pipes: make(chan net.Conn), closed: make(chan struct{})}
		w.host = w.net.Host(netip.MustParseAddr("10.0.0.1"))
		w.startServer()
		w.web = &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			w.server.Load().ServeHTTP(rw, r)
		})}
		var serving sync.WaitGroup
		serving.Go(func() { _ = w.web.Serve(w) }) // ends with Close
		t.Cleanup(func() {
			assert.NoError(t, w.server.Load().Close(context.Background()))
			assert.NoError(t, w.web.Close())
			serving.Wait()
			assert.NoError(t, w.sfu.Close())
			w.net.Close()
		})
		play(t, w)
	})
}

func (w *world) startServer() {
	socket, err := w.host.Socket(7882)
	require.NoError(w.t, err)
	w.sfu, err = sfu.New(sfu.Config{Sockets: []udp.Socket{socket}, Advertise: []netip.Addr{w.host.Addr()}})
	require.NoError(w.t, err)
	verifier, err := signaling.NewVerifier(key)
	require.NoError(w.t, err)
	server, err := signaling.New(signaling.Config{SFU: w.sfu, Verifier: verifier})
	require.NoError(w.t, err)
	w.server.Store(server)
}

// restartServer is SIGTERM and a new process: the media goes with the signaling.
func (w *world) restartServer() {
	require.NoError(w.t, w.server.Load().Close(w.t.Context()))
	require.NoError(w.t, w.sfu.Close())
	w.startServer()
}

// Accept implements net.Listener over pipes in memory: a bubble's clock stands still while a goroutine waits on a socket.
func (w *world) Accept() (net.Conn, error) {
	select {
	case c := <-w.pipes:
		return c, nil
	case <-w.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (w *world) Close() error {
	close(w.closed)
	return nil
}

// Addr implements net.Listener.
func (w *world) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func (w *world) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case w.pipes <- far:
		return near, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// config is a call of somebody behind a link with 20 ms each way and the given loss.
func (w *world) config(identity string, loss float64) Config {
	w.hosts++
	host := w.net.Host(netip.AddrFrom4([4]byte{10, 0, 1, w.hosts}))
	w.net.SetPath(w.host, host, netsim.LinkConfig{Delay: 20 * time.Millisecond, Loss: loss})
	conn, err := host.ListenUDP(0)
	require.NoError(w.t, err)
	mux := webrtc.NewICEUDPMux(nil, conn)
	context.AfterFunc(w.t.Context(), func() { _ = mux.Close() }) // closes conn too
	return Config{
		Server: "ws://server.example", Room: "r",
		Token: func(context.Context) (string, error) {
			g := signaling.Grants{Identity: identity, Tenant: "acme", Room: "r", Publish: true, Subscribe: true}
			return signaling.Mint(key, g, time.Now(), 0)
		},
		Client: client.Options{
			Dial: w.dial,
			Settings: func(s *webrtc.SettingEngine) {
				s.SetICEUDPMux(mux)
				s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
			},
		},
	}
}

// result is what Run returned.
type result struct {
	report Report
	err    error
}

// start runs a call beside the test.
func start(ctx context.Context, c Config) <-chan result {
	out := make(chan result, 1)
	go func() {
		r, err := Run(ctx, c)
		out <- result{r, err}
	}()
	return out
}

// film makes a clip of frames that nothing but their first bytes marks as VP8; mark and number tell each from all others.
func film(t *testing.T, dir, name string, mark byte, frames, keyEvery int) (path string, all [][]byte) {
	t.Helper()
	path = filepath.Join(dir, name)
	f, err := os.Create(path)
	require.NoError(t, err)
	w, err := clip.NewVideoWriter(f, 320, 180)
	require.NoError(t, err)
	for i := range frames {
		size := 300 + i*37%900
		b := []byte{0x11}
		if i%keyEvery == 0 {
			b = []byte{0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xb4, 0x00}
			size = 4000
		}
		b = append(b, bytes.Repeat([]byte{mark}, size)...)
		binary.BigEndian.PutUint32(b[20:], uint32(i))
		all = append(all, b)
		require.NoError(t, w.Write(int64(i)*3000, b))
	}
	require.NoError(t, w.Close())
	require.NoError(t, f.Close())
	return path, all
}

// sing makes a clip of 20 ms packets.
func sing(t *testing.T, dir, name string, mark byte, packets int) (path string, all []clip.AudioPacket) {
	t.Helper()
	path = filepath.Join(dir, name)
	var out bytes.Buffer
	w, err := clip.NewAudioWriter(&out, 1)
	require.NoError(t, err)
	for i := range packets {
		p := clip.AudioPacket{At: int64(i) * 960, Data: append([]byte{0xf8}, bytes.Repeat([]byte{mark}, 60)...)}
		binary.BigEndian.PutUint32(p.Data[10:], uint32(i))
		all = append(all, p)
		require.NoError(t, w.Write(p.At, p.Data))
	}
	require.NoError(t, w.Close())
	require.NoError(t, os.WriteFile(path, out.Bytes(), 0o644))
	return path, all
}

// watched reads a recording's frames and times.
func watched(t *testing.T, path string) (frames [][]byte, at []int64) {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	info, err := f.Stat()
	require.NoError(t, err)
	v, err := clip.ReadVideo(f, info.Size())
	require.NoError(t, err)
	for i, frame := range v.Frames {
		data, err := v.Frame(i, nil)
		require.NoError(t, err)
		frames, at = append(frames, data), append(at, frame.At)
	}
	return frames, at
}

func heard(t *testing.T, path string) []clip.AudioPacket {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	a, err := clip.ReadAudio(f)
	require.NoError(t, err)
	return a.Packets
}

// number is what film and sing wrote into a frame.
func number(frame []byte, at int) int { return int(binary.BigEndian.Uint32(frame[at:])) }
