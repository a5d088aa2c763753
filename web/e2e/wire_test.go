package e2e

import (
	"bytes"
	"math/rand/v2"
	"net"
	"net/netip"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// wire is the way that a page's media takes to the server: it counts what passes, and loses some of it if it is told to. To the
// server it looks like a NAT.
type wire struct {
	// Fixed after startWire.
	udp    *net.UDPConn // towards the page
	behind *net.UDPConn // towards the server

	running sync.WaitGroup

	// Guarded by mu.
	mu       sync.Mutex
	page     netip.AddrPort
	up, down traffic
	loss     float64 // of what is left to pass, each way
	random   *rand.Rand
}

// traffic is what wanted to pass one way.
type traffic struct {
	packets, bytes int // with headers of IP and UDP
	checks         int // packets of STUN
	types          map[uint8]int
	first          map[[6]byte][]byte // RTP by SSRC and number: it is never sealed twice under one number
	again, other   int                // came once more: the same bytes, others
}

// startWire opens the wire; it ends with the test.
func startWire(t *testing.T, s *server) *wire {
	t.Helper()
	told := regexp.MustCompile(`media\.listen=(\S+)`).FindStringSubmatch(s.log.String())
	require.NotNil(t, told, "the server logs its media address:\n%s", s.log)
	server, err := net.ResolveUDPAddr("udp", told[1])
	require.NoError(t, err)
	w := &wire{random: rand.New(rand.NewPCG(1, 2))}
	w.udp, err = net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	w.behind, err = net.DialUDP("udp", nil, server)
	require.NoError(t, err)
	w.running.Go(func() {
		b := make([]byte, 2048)
		for {
			n, from, err := w.udp.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			if w.passes(&w.up, b[:n], from) {
				_, _ = w.behind.Write(b[:n]) // UDP may be lost
			}
		}
	})
	w.running.Go(func() {
		b := make([]byte, 2048)
		for {
			n, err := w.behind.Read(b)
			if err != nil {
				return
			}
			w.mu.Lock()
			page := w.page
			w.mu.Unlock()
			if w.passes(&w.down, b[:n], page) {
				_, _ = w.udp.WriteToUDPAddrPort(b[:n], page)
			}
		}
	})
	t.Cleanup(func() {
		require.NoError(t, w.udp.Close())
		require.NoError(t, w.behind.Close())
		w.running.Wait()
	})
	return w
}

// port is where the page's media has to go.
func (w *wire) port() int { return w.udp.LocalAddr().(*net.UDPAddr).Port }

// passes counts a packet; false: it is lost.
func (w *wire) passes(way *traffic, b []byte, page netip.AddrPort) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.page = page
	way.packets++
	way.bytes += len(b) + 28
	if len(b) > 0 && b[0] < 4 {
		way.checks++
	}
	if isMedia := len(b) > 12 && b[0]&0xc0 == 0x80 && (b[1] < 192 || b[1] > 223); isMedia {
		if way.types == nil {
			way.types, way.first = map[uint8]int{}, map[[6]byte][]byte{}
		}
		way.types[b[1]&0x7f]++
		number := [6]byte(append(append([]byte(nil), b[8:12]...), b[2:4]...))
		switch before, came := way.first[number]; {
		case !came:
			way.first[number] = bytes.Clone(b)
		case bytes.Equal(before, b):
			way.again++
		default:
			way.other++
		}
	}
	return w.loss == 0 || w.random.Float64() >= w.loss
}

// lose has this share of packets not pass, each way.
func (w *wire) lose(share float64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.loss = share
}

// during counts what passes in so long a time.
func (w *wire) during(d time.Duration) (up, down traffic) {
	w.mu.Lock()
	w.up, w.down = traffic{}, traffic{}
	w.mu.Unlock()
	time.Sleep(d)
	return w.sofar()
}

// sofar is what has passed since the last during.
func (w *wire) sofar() (up, down traffic) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.up, w.down
}
