package turn

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime/debug"
	"sync"
	"time"

	"github.com/tolkyn/tolkyn/internal/udp"
	"github.com/tolkyn/tolkyn/turn/internal/control"
	"github.com/tolkyn/tolkyn/turn/internal/frame"
)

const (
	// maxData is the largest payload for which a Data indication still fits a datagram of ours, in bytes.
	maxData = udp.QueueRoom - 64
	// packetRoom holds any packet and its header.
	packetRoom = udp.MaxDatagram + 128
	// sweepEvery is how often deadlines of connections, permissions of links and quotas are looked at.
	sweepEvery = time.Second
	// turnBudget is how many datagrams of one port are handled before the others' turn.
	turnBudget = 4 * udp.MaxMessages
	// burst is how many datagrams to clients wait before they leave.
	burst = 256
)

var buffers = sync.Pool{New: func() any { return new([packetRoom]byte) }}

// lane is a share of the clients with all that belongs to them: those whom the kernel gives one socket of each address, and some
// connections. One worker serves it at a time; it moves from worker to worker as a whole.
type lane struct {
	// Fixed after newLane.
	server *Server
	index  int
	group  udp.Group
	core   *control.Core

	// Owned by the worker.
	clients      []udp.Port // by key
	things       []any      // by key: udp.Port of clients, *relayPort, *conn; nil: free
	free         []udp.Key
	conns        map[control.Client]*conn
	relays       map[netip.AddrPort]*relayPort
	now          time.Time
	ready        []udp.Key
	batch        *udp.Batch
	out          *udp.Queue // to clients of outPort
	outPort      udp.Port
	up           *udp.Queue // to peers of upPort
	upPort       udp.Port
	calledBefore []*conn
	room         []byte
	scratch      []byte
	spares       frame.Spares
	writing      []*conn // have something to send
	stalled      []*conn // have something that could not be sent
	again        []*conn // have more to read
	againBefore  []*conn
	linked       map[*allocation]struct{} // that have links
	ended        bool
	lastOf       cached
	next         time.Time // when it must have its next turn
	expiry       time.Time // of the core
	sweep        time.Time
	look         time.Time // of the stalled
	handled      int       // packets in this turn
	ways         [3]WayStats
	drops        [reasons]uint64
	changed      bool

	// Guarded by mu.
	mu     sync.Mutex
	posted []func(*lane)
	called []*conn
	stats  laneStats
}

// cached is the client that the last packet came from.
type cached struct {
	from control.Client
	a    *control.Allocation
}

// laneStats is what others see of a lane's counters.
type laneStats struct {
	ways  [3]WayStats
	drops [reasons]uint64
}

// post has the lane do something in its next turn. Any goroutine.
func (l *lane) post(f func(*lane)) {
	l.mu.Lock()
	l.posted = append(l.posted, f)
	l.mu.Unlock()
	l.group.Wake()
}

// call has the lane look at a connection. Any goroutine.
func (l *lane) call(c *conn) {
	if c.called.Swap(true) {
		return
	}
	l.mu.Lock()
	l.called = append(l.called, c)
	l.mu.Unlock()
	l.group.Wake()
}

// add gives a thing its key.
func (l *lane) add(thing any) udp.Key {
	if n := len(l.free); n > 0 {
		key := l.free[n-1]
		l.free = l.free[:n-1]
		l.things[key] = thing
		return key
	}
	l.things = append(l.things, thing)
	return udp.Key(len(l.things) - 1)
}

func (l *lane) remove(key udp.Key) {
	l.things[key] = nil
	l.free = append(l.free, key)
}

// turn does what is there to be done without waiting, and returns how many packets that were and when it must be called again.
func (l *lane) turn() (handled int, next time.Time) { return l.turnAt(time.Now()) }

func (l *lane) turnAt(now time.Time) (handled int, next time.Time) {
	l.now = now
	l.handled = 0
	var err error
	if l.ready, err = l.group.Wait(0, l.ready[:0]); err != nil {
		return 0, l.now.Add(time.Hour)
	}
	l.take() // after the Wait, which took what others woke the group with
	for _, key := range l.ready {
		thing := l.things[key]
		l.guard(thing, func() { l.tell(thing) })
	}
	l.more()
	l.flushClients()
	l.flushConns()
	if !l.now.Before(l.expiry) {
		l.guard(nil, func() { l.expiry = l.core.Expire(l.now) })
	}
	if !l.now.Before(l.sweep) {
		l.sweep = l.now.Add(sweepEvery)
		l.guard(nil, l.sweepAll)
	}
	l.publish()
	return l.handled, l.due()
}

// guard keeps a fault to what it came from: that is closed, all others go on.
func (l *lane) guard(thing any, f func()) {
	defer func() {
		if r := recover(); r != nil {
			l.dropped(faults, 1)
			l.server.log.fault(fmt.Sprint(r), debug.Stack())
			defer func() { _ = recover() }() // what was half done may not be undone either
			switch thing := thing.(type) {
			case *conn:
				l.close(thing)
			case *relayPort:
				if thing.of != nil {
					l.core.Drop(func(a *control.Allocation) bool { return a == thing.of.a })
				}
			}
		}
	}()
	f()
}

// take does what others asked for.
func (l *lane) take() {
	l.mu.Lock()
	posted, called := l.posted, l.called
	l.posted, l.called = nil, l.calledBefore[:0]
	l.mu.Unlock()
	for _, f := range posted {
		l.guard(nil, func() { f(l) })
	}
	for _, c := range called {
		c.called.Store(false)
		if !c.gone {
			if c.pumped {
				l.guard(c, func() { l.readConn(c) })
			}
			l.write(c)
		}
	}
	clear(called)
	l.calledBefore = called
}

// tell handles what the group told of.
func (l *lane) tell(thing any) {
	switch thing := thing.(type) {
	case udp.Port:
		l.readClients(thing)
	case *relayPort:
		l.readPeers(thing)
	case *conn:
		l.readConn(thing)
	}
}

func (l *lane) readClients(port udp.Port) {
	for budget := turnBudget; budget > 0; budget -= udp.MaxMessages {
		n, err := port.Read(l.batch)
		if err != nil || n == 0 {
			break
		}
		l.handled += n
		from := control.Client{Local: port.LocalAddr(), Way: UDP}
		for i := range n {
			var data []byte
			data, from.Addr = l.batch.Datagram(i)
			l.datagram(port, from, data)
		}
		if n < udp.MaxMessages {
			break
		}
	}
	l.flushPeers()
}

// datagram is one from a client over UDP.
func (l *lane) datagram(port udp.Port, from control.Client, b []byte) {
	if len(b) < 4 || b[0] > l.server.lastChannel || b[0] > 3 && b[0] < 0x40 {
		l.stranger(port, from.Addr, b)
		return
	}
	if b[0] >= 0x40 {
		a := l.find(from)
		if a == nil {
			l.stranger(port, from.Addr, b)
			return
		}
		l.channelData(a, b)
		return
	}
	if l.data(from, b) {
		return
	}
	if l.server.cfg.Stranger != nil && !forTURN(b) && l.server.cfg.Stranger(b, from.Addr, port) {
		return
	}
	reply := l.request(from, b, port, nil)
	if len(reply) > 0 && len(reply) <= udp.QueueRoom {
		l.out.Commit(copy(l.toClient(port, from.Addr), reply))
	}
}

func (l *lane) stranger(port udp.Port, from netip.AddrPort, b []byte) {
	if l.server.cfg.Stranger == nil || !l.server.cfg.Stranger(b, from, port) {
		l.dropped(unknown, 1)
	}
}

// find is the client's allocation: often that of the packet before.
func (l *lane) find(from control.Client) *control.Allocation {
	if l.lastOf.a != nil && l.lastOf.from == from {
		return l.lastOf.a
	}
	a := l.core.Find(from)
	l.lastOf = cached{from, a}
	return a
}

// channelData is ChannelData of a client, with its header and perhaps padding behind it.
func (l *lane) channelData(a *control.Allocation, b []byte) {
	size := int(b[2])<<8 | int(b[3])
	al, ok := a.Value.(*allocation)
	if !ok || size > len(b)-4 {
		l.dropped(malformed, 1)
		return
	}
	peer, verdict := a.Peer(l.now, uint16(b[0])<<8|uint16(b[1]))
	if !peer.IsValid() {
		l.dropped(noChannel, 1)
		return
	}
	al.toPeer(peer, verdict, b[4:4+size])
}

// data handles a Send indication; false: b is something else.
func (l *lane) data(from control.Client, b []byte) bool {
	if b[0] != 0 || b[1] != sendIndication {
		return false
	}
	a := l.find(from)
	if a == nil {
		l.dropped(unknown, 1)
		return true
	}
	peer, data, ok := control.ParseSend(b)
	al, held := a.Value.(*allocation)
	if !ok || !held {
		l.dropped(malformed, 1)
		return true
	}
	al.toPeer(peer, a.May(l.now, peer), data)
	return true
}

// sendIndication is the second byte of its type, 0x0016; the first is 0.
const sendIndication = 0x16

// forTURN says whether a STUN message is one for a TURN server rather than of ICE: a check has a USERNAME, and its answer and its
// indication are no requests.
func forTURN(b []byte) bool {
	const binding, class = 0x0001, 0x0110
	kind := int(b[0])<<8 | int(b[1])
	return kind&^class != binding || kind == binding && len(b) <= 20+8 // a bare one, perhaps with FINGERPRINT
}

// request lets the core answer, and gives a new allocation its data side.
func (l *lane) request(from control.Client, b []byte, port udp.Port, c *conn) []byte {
	l.lastOf = cached{}
	reply := l.core.Handle(l.now, from, b)
	if a := l.core.Find(from); a != nil {
		if a.Value == nil {
			l.newAllocation(a, port, c)
		}
		if c != nil && !c.proven {
			c.proven = true
			l.server.quotas.prove(from.Addr.Addr())
		}
	}
	return reply
}

func (l *lane) newAllocation(a *control.Allocation, port udp.Port, c *conn) {
	al := &allocation{lane: l, a: a, port: port, conn: c}
	al.user, al.ip = l.server.quotas.accounts(a.Subject, a.Client.Addr.Addr())
	for _, relayed := range a.Relayed {
		if rp := l.relays[relayed]; rp != nil {
			rp.of = al
		}
	}
	a.Value = al
	ways := &l.ways[a.Client.Way]
	ways.Allocated++
	ways.Allocations++
	l.changed = true
}

func (l *lane) readPeers(rp *relayPort) {
	for budget := turnBudget; budget > 0 && rp.of != nil; {
		n, err := rp.port.Read(l.batch)
		if err != nil || n == 0 {
			return
		}
		budget -= n
		l.handled += n
		for i := range n {
			data, from := l.batch.Datagram(i)
			rp.of.fromPeer(from, data)
		}
		if n < udp.MaxMessages {
			return
		}
	}
}

// toPeer sends data to the peer. Datagrams of one allocation that follow each other leave together.
func (l *lane) toPeer(port udp.Port, peer netip.AddrPort, data []byte) {
	if l.upPort != port || l.up.Full() {
		l.flushPeers()
		l.upPort = port
	}
	if len(data) == 0 || len(data) > udp.QueueRoom {
		_, _ = port.WriteTo(data, peer) // counted by the port
		return
	}
	l.up.Commit(copy(l.up.Next(peer), data))
}

func (l *lane) flushPeers() {
	if l.up.Len() > 0 {
		_ = l.upPort.Flush(l.up) // a closed port's datagrams go nowhere
	}
	l.upPort = nil
}

// toClient is where the next datagram to a client is written to.
func (l *lane) toClient(port udp.Port, to netip.AddrPort) []byte {
	if l.outPort != port || l.out.Full() {
		l.flushClients()
		l.outPort = port
	}
	return l.out.Next(to)
}

func (l *lane) flushClients() {
	if l.out.Len() > 0 {
		_ = l.outPort.Flush(l.out)
	}
	l.outPort = nil
}

// indication appends a Data indication.
func (l *lane) indication(b []byte, peer netip.AddrPort, data []byte) []byte {
	var id [12]byte
	for i := 0; i < len(id); i += 4 {
		r := rand.Uint32()
		id[i], id[i+1], id[i+2], id[i+3] = byte(r>>24), byte(r>>16), byte(r>>8), byte(r)
	}
	return control.AppendData(b, peer, data, id)
}

// publish lets others see the counters.
func (l *lane) publish() {
	if l.handled == 0 && !l.changed {
		return
	}
	l.changed = false
	l.mu.Lock()
	l.stats = laneStats{l.ways, l.drops}
	l.mu.Unlock()
}

func (l *lane) dropped(why reason, count int) {
	if count > 0 {
		l.drops[why] += uint64(count)
		l.changed = true
	}
}
