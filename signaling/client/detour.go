package client

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/stun/v4"
)

const (
	warmEvery    = 15 * time.Second // between checks that keep the spare connection proved
	warmPatience = 5 * time.Second  // for the answer to one; TCP has repeated it by then
	redialFirst  = 5 * time.Second
	redialMost   = 2 * time.Minute
	redialDoubt  = 2 * time.Second // between connections that doubt has opened: where the server itself is away, all its clients doubt
	carryEvery   = 2 * time.Second // as warmEvery, while the connection carries the call
)

// detour carries the media of a PeerConnection over TCP when UDP has died, beneath ICE, which notices nothing: as soon as media
// flows over UDP it opens an ICE-TCP connection to the same server and keeps it proved by a check now and then. When the server
// is silent where packets were due (vigil), and answers over TCP but not over UDP, everything for it leaves over TCP from that
// moment on; a nomination there has the server follow, so that what was lost is half a round trip more than the silence. It
// goes back when UDP has answered for a while.
//
//	pion ──► socket ──► UDP ──────────► server
//	            │ when UDP is dead         ▲
//	            └─────► link (TCP) ────────┘
//
// A PeerConnection whose first path is TCP, because UDP never worked, is pion's own affair.
type detour struct {
	// Fixed.
	dial   func(ctx context.Context, network, address string) (net.Conn, error)
	began  time.Time
	ctx    context.Context
	cancel context.CancelFunc
	wake   chan struct{} // holds one token while watch has something to look at
	volume *volume       // counts UDP
	wg     sync.WaitGroup

	// Atomic.
	way  atomic.Pointer[way]
	over atomic.Pointer[link] // carries the call; nil: UDP does
	late atomic.Uint64        // packets too old to be sent over TCP

	// Guarded by mu.
	mu       sync.Mutex
	watching bool
	closed   bool
	names    iceNames
	servers  []netip.AddrPort // ICE-TCP addresses of the server
	spare    *link            // open; that in over is one
	dialing  bool
	dialAt   time.Time
	dialled  time.Time // the newest attempt
	redial   time.Duration
	vigil    vigil
	asked    map[[stun.TransactionIDSize]byte]question
	mapping  string                          // our address as the server sees it over UDP; empty: not known
	requests [8][stun.TransactionIDSize]byte // of the server over UDP, the newest ones: to be answered there
	request  int
}

// way is the socket and the address of the server that media takes.
type way struct {
	socket *mediaSocket
	server netip.AddrPort
}

// iceNames authenticate our checks and the answers to them (RFC 8445 §7.2.2).
type iceNames struct{ local, remote, password string }

// question is a check of ours without its answer.
type question struct {
	at        time.Time
	over      *link // nil: UDP
	nominates bool
}

func newDetour(dial func(ctx context.Context, network, address string) (net.Conn, error), counts *volume) *detour {
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	d := &detour{
		dial: dial, began: time.Now(), wake: make(chan struct{}, 1), redial: redialFirst, volume: counts,
		asked: map[[stun.TransactionIDSize]byte]question{},
	}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	return d
}

// aim takes an answer of the server, whose SDP names its ICE-TCP candidates, and forgets the path before it.
func (d *detour) aim(local, answer string) {
	names := iceNames{local: attribute(local, "ice-ufrag"), remote: attribute(answer, "ice-ufrag"), password: attribute(answer, "ice-pwd")}
	d.mu.Lock()
	defer d.mu.Unlock()
	if names == d.names {
		return
	}
	d.names, d.servers = names, tcpCandidates(answer)
	d.forget()
}

// forget ends what belongs to a path that is over. Under mu.
func (d *detour) forget() {
	d.way.Store(nil)
	d.over.Store(nil)
	if d.spare != nil {
		d.spare.close()
		d.spare = nil
	}
	d.vigil, d.dialAt, d.redial, d.mapping = vigil{}, time.Time{}, redialFirst, ""
	clear(d.asked)
}

// begin watches over the path that ICE has found; udp says whether it is one.
func (d *detour) begin(udp bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !udp || d.closed || len(d.servers) == 0 {
		return
	}
	d.vigil.hear(d.now())
	if !d.watching {
		d.watching = true
		d.wg.Go(d.watch)
	}
	d.kick()
}

func (d *detour) close() {
	d.mu.Lock()
	d.closed = true
	d.forget()
	d.mu.Unlock()
	d.cancel()
	d.wg.Wait()
}

func (d *detour) kick() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

func (d *detour) now() time.Duration { return time.Since(d.began) }

// watch looks after the path until the end.
func (d *detour) watch() {
	wait := time.NewTimer(0)
	defer wait.Stop()
	for {
		select {
		case <-d.ctx.Done():
			return
		case <-d.wake:
		case <-wait.C:
		}
		wait.Reset(d.look())
	}
}

// look does what is due and returns when to look again.
func (d *detour) look() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	w := d.way.Load()
	if w == nil || d.closed {
		return time.Second
	}
	now := d.now()
	if gone := d.tendSpare(); gone && d.over.Load() != nil {
		d.over.Store(nil) // UDP may be dead or not: there is nothing else
		d.vigil.back(now)
	} else if gone {
		d.vigil.lostTCP()
	}
	for {
		order, wait := d.vigil.poll(now, d.over.Load() != nil)
		switch order {
		case rest:
			return max(min(wait, d.untilSpare()), time.Millisecond)
		case askUDP:
			// A nomination while in doubt: where a NAT has given us another mapping, the server sends there a round trip later.
			d.ask(nil, w, d.over.Load() == nil)
		case askTCP:
			if d.spare != nil {
				d.ask(d.spare, w, false)
			} else if !d.dialing && time.Since(d.dialled) >= redialDoubt {
				d.open(w)
			}
		case takeTCP:
			if d.spare == nil {
				d.vigil.back(now)
				break
			}
			d.over.Store(d.spare)
			d.ask(d.spare, w, true)
		case nominateUDP:
			d.ask(nil, w, true)
		case takeUDP:
			d.over.Store(nil)
		}
	}
}

// tendSpare opens and proves the spare connection; gone: one has ended.
func (d *detour) tendSpare() (gone bool) {
	now, w := time.Now(), d.way.Load()
	if l := d.spare; l != nil {
		if l.ended() || l.waits(now) {
			l.close()
			d.spare, gone = nil, true
			d.dialAt, d.redial = now.Add(d.redial), min(2*d.redial, redialMost)
		} else if now.Sub(l.asked) >= d.pace() {
			d.ask(l, w, false)
		}
	}
	if d.spare == nil && !d.dialing && !now.Before(d.dialAt) {
		d.open(w)
	}
	return gone
}

func (d *detour) pace() time.Duration {
	if d.over.Load() != nil {
		return carryEvery
	}
	return warmEvery
}

// untilSpare is when tendSpare has something to do.
func (d *detour) untilSpare() time.Duration {
	switch {
	case d.dialing:
		return warmEvery
	case d.spare == nil:
		return time.Until(d.dialAt)
	case d.spare.answered.Before(d.spare.asked):
		return min(warmPatience-time.Since(d.spare.asked), d.pace())
	}
	return d.pace() - time.Since(d.spare.asked)
}

// open dials the server's ICE-TCP address, that of the way's host before others.
func (d *detour) open(w *way) {
	var to netip.AddrPort
	for _, s := range d.servers {
		if s.Addr() == w.server.Addr() || !to.IsValid() {
			to = s
		}
	}
	names := d.names
	d.dialing, d.dialled = true, time.Now()
	d.wg.Go(func() {
		ctx, cancel := context.WithTimeout(d.ctx, warmPatience)
		defer cancel()
		conn, err := d.dial(ctx, "tcp", to.String())
		d.mu.Lock()
		defer d.mu.Unlock()
		defer d.kick()
		d.dialing = false
		switch current := !d.closed && d.names == names; {
		case err == nil && current:
			d.spare = d.newLink(conn)
			d.ask(d.spare, d.way.Load(), false)
		case err == nil:
			_ = conn.Close() // nothing was sent
		case current: // else it says nothing of the path of now
			d.dialAt, d.redial = time.Now().Add(d.redial), min(2*d.redial, redialMost)
		}
	})
}

// ask sends a check: over a link, or over UDP without.
func (d *detour) ask(over *link, w *way, nominate bool) {
	if w == nil {
		return
	}
	setters := []stun.Setter{
		stun.BindingRequest, stun.TransactionID, stun.NewUsername(d.names.remote + ":" + d.names.local),
		ice.AttrControlling(1), ice.PriorityAttr(1), // only who takes part in a nomination looks at these
	}
	if nominate {
		setters = append(setters, ice.UseCandidate())
	}
	m, err := stun.Build(append(setters, stun.NewShortTermIntegrity(d.names.password), stun.Fingerprint)...)
	if err != nil {
		return // names of the server's that no check can hold
	}
	now := time.Now()
	for id, q := range d.asked {
		if now.Sub(q.at) > warmPatience {
			delete(d.asked, id)
		}
	}
	d.asked[m.TransactionID] = question{at: now, over: over, nominates: nominate}
	if over != nil {
		over.asked = now
		over.out.Send(m.Raw, true)
		return
	}
	_, _ = w.socket.write(m.Raw, w.server) // lost, as any packet may be
}

// answered takes what may be the answer to a check of ours; false: it is not.
func (d *detour) answered(b []byte, over *link) bool {
	var id [stun.TransactionIDSize]byte
	copy(id[:], b[8:])
	d.mu.Lock()
	defer d.mu.Unlock()
	q, ok := d.asked[id]
	if over == nil {
		d.noteMapping(b)
	}
	if !ok {
		if over == nil {
			d.vigil.answer(d.now(), false) // to a check of pion's
		}
		return false
	}
	m := stun.Message{Raw: b}
	if q.over != over || m.Decode() != nil || m.Type != stun.BindingSuccess || stun.NewShortTermIntegrity(d.names.password).Check(&m) != nil {
		return true // forged, or a refusal
	}
	delete(d.asked, id)
	if over == nil {
		d.vigil.answer(d.now(), q.nominates)
	} else {
		over.answered, over.trip = time.Now(), time.Since(q.at)
		d.redial = redialFirst
		d.vigil.answerTCP(d.now(), q.at.Sub(d.began))
	}
	d.kick()
	return true
}

// noteMapping takes from an answer over UDP as whom the server sees us. A NAT that has forgotten us has most likely forgotten the spare
// connection as well, which would be found out when it is needed. Under mu.
func (d *detour) noteMapping(answer []byte) {
	m := stun.Message{Raw: answer}
	var mapped stun.XORMappedAddress
	if m.Decode() != nil || mapped.GetFrom(&m) != nil {
		return
	}
	now := mapped.String()
	if before := d.mapping; before != "" && before != now && d.spare != nil && time.Since(d.spare.asked) >= redialDoubt {
		d.ask(d.spare, d.way.Load(), false)
		d.kick()
	}
	d.mapping = now
}

// arrived notes a packet from a socket; false: it is not for pion.
func (d *detour) arrived(s *mediaSocket, b []byte, from netip.AddrPort) bool {
	w := d.way.Load()
	if w == nil || w.socket != s || w.server != from {
		return true
	}
	answer := isSTUN(b) && b[0] == 1
	d.mu.Lock()
	d.vigil.hear(d.now())
	if isSTUN(b) && !answer {
		copy(d.requests[d.request%len(d.requests)][:], b[8:])
		d.request++
	}
	d.mu.Unlock()
	return !answer || !d.answered(b, nil)
}

// takes sends a packet over TCP if that carries the call; false: it is the socket's to send.
func (d *detour) takes(s *mediaSocket, b []byte, to netip.AddrPort) bool {
	w, l := d.way.Load(), d.over.Load()
	if isSTUN(b) {
		if l == nil || w == nil || w.socket != s || w.server != to || b[0] == 1 && d.cameOverUDP(b) {
			return false
		}
		l.out.Send(b, true) // a queue that is full loses it
		return true
	}
	if w == nil || w.socket != s || w.server != to {
		d.mu.Lock()
		if !d.closed && d.over.Load() == nil {
			d.way.Store(&way{s, to})
		}
		d.mu.Unlock()
		return false
	}
	if l == nil {
		return false
	}
	l.out.Send(b, b[0] < 64) // DTLS must arrive; what is late of media need not
	return true
}

func (d *detour) cameOverUDP(answer []byte) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, id := range d.requests {
		if string(id[:]) == string(answer[8:8+len(id)]) {
			return true
		}
	}
	return false
}

// path corrects what pion knows of the path.
func (d *detour) path(of PathStats) PathStats {
	l := d.over.Load()
	if l == nil {
		return of
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return PathStats{Protocol: "tcp", Local: l.conn.LocalAddr().String(), Remote: l.conn.RemoteAddr().String(), RTT: l.trip}
}

// isSTUN says whether a packet is one of STUN's (RFC 9443).
func isSTUN(b []byte) bool { return len(b) >= 20 && b[0] < 4 }

// attribute is the first value of an attribute in an SDP.
func attribute(sdp, name string) string {
	_, rest, _ := strings.Cut(sdp, "a="+name+":")
	value, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(value)
}

// tcpCandidates are the addresses at which the server takes ICE-TCP connections (RFC 6544 §4.5).
func tcpCandidates(sdp string) (all []netip.AddrPort) {
	for line := range strings.Lines(sdp) {
		f := strings.Fields(line)
		if len(f) < 8 || !strings.HasPrefix(f[0], "a=candidate:") || !strings.EqualFold(f[2], "tcp") || !strings.Contains(line, "tcptype passive") {
			continue
		}
		addr, err := netip.ParseAddr(f[4])
		port, err2 := strconv.ParseUint(f[5], 10, 16)
		if err == nil && err2 == nil {
			all = append(all, netip.AddrPortFrom(addr.Unmap(), uint16(port)))
		}
	}
	return all
}
