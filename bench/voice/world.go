package voice

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/tolkyn/tolkyn/internal/netsim"
	"github.com/tolkyn/tolkyn/internal/udp"
)

// Server is what is measured: one that takes clients' offers.
type Server interface {
	// Join answers an offer. Slots of the client show all others.
	Join(ctx context.Context, j Join) (answer string, err error)
	Close() error
}

// Join is a client that comes into the one room.
type Join struct {
	Name       string
	Offer      string
	Microphone string // a=mid of the m-line on which it talks; empty: it only listens
	Saver      bool
}

// Start makes a server on a socket, which it owns and which clients reach at addr.
type Start func(socket udp.Socket, addr netip.Addr) (Server, error)

// Result is what came of a run.
type Result struct {
	Metrics map[Metric]float64
	Series  Series
}

// Series is how a run went, in steps of a second; means of all ears.
type Series struct {
	Concealed []float64 // %
	Copies    []float64 // a packet
	Delay     []float64 // ms
	Down      []float64 // bytes of RTP to ears, in kbit/s each
}

const (
	serverPort = 7882
	settle     = time.Second // from the last join on, before the links are as the case says
)

// world is one server and the clients of one case.
type world struct {
	c       Case
	random  *rand.Rand
	net     *netsim.Network
	host    *netsim.Host
	server  Server
	clients []*client // those with a mouth, then those with ears alone
	tap     *tap
	began   time.Time
	marks   []mark // at each second
}

// run plays a case once. It must be called in a bubble of testing/synctest.
func run(start Start, c Case, w Way, seed uint64) (Result, error) {
	all, err := loaded()
	if err != nil {
		return Result{}, err
	}
	wd := &world{c: c.changed(w), random: rand.New(rand.NewPCG(seed, 0x766f696365)), net: netsim.New(seed)}
	defer wd.net.Close()
	err = wd.open(start)
	if err != nil {
		return Result{}, err
	}
	defer func() {
		for _, cl := range wd.clients {
			cl.close()
		}
		_ = wd.server.Close() // nothing is asked of it any more
	}()
	if err := wd.fill(all, seed); err != nil {
		return Result{}, err
	}
	time.Sleep(settle)
	return wd.play()
}

// changed is the case as a way has it.
func (c Case) changed(w Way) Case {
	c.Voices, c.Ears = slices.Clone(c.Voices), slices.Clone(c.Ears)
	for i := range c.Voices {
		w.change(&c.Voices[i], &c.Both)
	}
	for i := range c.Ears {
		w.change(&Voice{}, &c.Ears[i])
	}
	return c
}

func (w *world) open(start Start) error {
	w.host = w.net.Host(netip.MustParseAddr("10.0.0.1"))
	socket, err := w.host.Socket(serverPort)
	if err != nil {
		return fmt.Errorf("open the server's socket: %w", err)
	}
	w.tap = &tap{Socket: socket, to: map[netip.Addr]*traffic{}}
	w.server, err = start(w.tap, w.host.Addr())
	if err != nil {
		return fmt.Errorf("start the server: %w", err)
	}
	return nil
}

// fill has all join, over paths that lose nothing yet.
func (w *world) fill(all *clips, seed uint64) error {
	mouths := len(w.c.Voices)
	slots := mouths // of who only listens
	for i := range mouths + len(w.c.Ears) {
		host := w.net.Host(netip.AddrFrom4([4]byte{10, 0, 1, byte(i + 1)}))
		hop := w.c.Down
		if i < mouths {
			hop = w.c.Up
		}
		w.net.SetPath(w.host, host, netsim.LinkConfig{Delay: hop.RTT / 2})
		c, err := newClient(fmt.Sprintf("client-%d", i), host, netip.AddrPortFrom(w.host.Addr(), serverPort), w.split())
		if err != nil {
			return err
		}
		w.clients = append(w.clients, c)
		w.tap.to[host.Addr()] = &traffic{}
		var lines []mline
		ear, n, saver := Ear{}, 0, false
		if i < mouths {
			v := w.c.Voices[i]
			c.mouth = newMouth(c, v, all, i+int(seed), w.split())
			// A browser's audio that is to be sent again carries no transport-wide number, so it is offered to all servers and
			// left out by the answer.
			lines = append(lines, mline{sends: true, ssrc: c.mouth.ssrc, transport: true, red: !v.Opaque, nack: v.Opaque})
			saver = v.Saver
			if len(w.c.Ears) == 0 {
				ear, n = w.c.Both, mouths-1
			}
		} else {
			ear, n = w.c.Ears[i-mouths], slots
		}
		for range n {
			c.ears = append(c.ears, newEar(c, ear, w.split()))
			lines = append(lines, mline{red: ear.RED, nack: ear.Offers, transport: ear.Transport})
		}
		if err := c.join(w.server, lines, saver); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) split() *rand.Rand {
	return rand.New(rand.NewPCG(w.random.Uint64(), w.random.Uint64()))
}

// play has the links be as the case says, and all talk and listen.
func (w *world) play() (Result, error) {
	w.began = time.Now()
	var mouths []*mouth
	for i, c := range w.clients {
		hop := w.c.Down
		if c.mouth != nil {
			hop = w.c.Up
			mouths = append(mouths, c.mouth)
		}
		there, back := hop.traces()
		if i < len(w.c.Voices) {
			w.net.Follow(c.host, w.host, there)
			w.net.Follow(w.host, c.host, back)
		} else {
			w.net.Follow(w.host, c.host, there)
			w.net.Follow(c.host, w.host, back)
		}
	}
	for _, c := range w.clients {
		c.mu.Lock()
		for _, e := range c.ears {
			others := slices.DeleteFunc(slices.Clone(mouths), func(m *mouth) bool { return m == c.mouth })
			base := w.c.Up.RTT/2 + w.c.Down.RTT/2
			rtt := w.c.Down.RTT
			if c.mouth != nil {
				base, rtt = w.c.Up.RTT, w.c.Up.RTT
			}
			if err := e.start(w.began, others, rtt, base); err != nil {
				c.mu.Unlock()
				return Result{}, err
			}
		}
		if len(c.ears) > 0 {
			c.listen(w.split())
		}
		c.mu.Unlock()
	}
	for _, m := range mouths {
		time.Sleep(time.Duration(w.random.Int64N(int64(frameTime)))) // they do not breathe in step
		m.c.mu.Lock()
		m.start(w.began)
		m.c.mu.Unlock()
	}
	for at := time.Duration(0); at <= w.c.Duration; at += time.Second {
		w.marks = append(w.marks, w.until(at))
	}
	return w.result(), nil
}

// lastly is how long before the end CopiesEnd counts.
const lastly = 5 * time.Second

// mark is all figures at one moment.
type mark struct {
	at       time.Duration
	ears     []counts
	up, down []traffic // by client: what it sent, and what was sent to it
}

// until lets time pass.
func (w *world) until(at time.Duration) mark {
	time.Sleep(at - time.Since(w.began))
	m := mark{at: at}
	for _, c := range w.clients {
		c.mu.Lock()
		for _, e := range c.ears {
			m.ears = append(m.ears, e.counts())
		}
		m.up = append(m.up, c.sent)
		c.mu.Unlock()
		m.down = append(m.down, w.tap.sent(c.host.Addr()))
	}
	return m
}

// tap is the server's socket, and what leaves by it.
type tap struct {
	udp.Socket

	mu sync.Mutex // guards what is in to, and its traffic
	to map[netip.Addr]*traffic
}

// Flush is udp.Socket.Flush.
func (t *tap) Flush(q *udp.Queue) error {
	t.mu.Lock()
	for head, b := range q.Datagrams() {
		t.count(head.To.Addr(), b)
	}
	t.mu.Unlock()
	return t.Socket.Flush(q)
}

// WriteTo is udp.Socket.WriteTo.
func (t *tap) WriteTo(b []byte, to netip.AddrPort) (int, error) {
	t.mu.Lock()
	t.count(to.Addr(), b)
	t.mu.Unlock()
	return t.Socket.WriteTo(b, to)
}

func (t *tap) count(to netip.Addr, b []byte) {
	if traffic := t.to[to.Unmap()]; traffic != nil {
		traffic.count(b)
	}
}

func (t *tap) sent(to netip.Addr) traffic {
	t.mu.Lock()
	defer t.mu.Unlock()
	return *t.to[to]
}
