package oneport

import (
	"container/list"
	"hash/maphash"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/tolkyn/tolkyn/internal/handover"
	"github.com/tolkyn/tolkyn/internal/udp"
)

// maxUnproved bounds the links of who has sent no more than a check, which anybody can write: then the oldest ends. The SFU proves a
// link within a turn of a shard's.
const maxUnproved = 4096

// buckets is a power of two.
const buckets = 1 << 14

// links are the clients whose media comes to the one port, by their addresses. Finding one takes no lock and no memory.
type links struct {
	// Fixed after newLinks.
	sfu  SFU
	seed maphash.Seed

	// Written with mu held, read by anybody.
	table [buckets]atomic.Pointer[entry]

	// Guarded by mu.
	mu       sync.Mutex
	all      map[*handover.Link]*entry
	unproved list.List // of *entry, oldest first
	crowded  uint64
	closed   bool
}

// entry is one client.
type entry struct {
	// Fixed.
	from netip.AddrPort
	link *handover.Link

	next  atomic.Pointer[entry] // of the bucket; written with mu held
	heard atomic.Bool           // since the last sweep

	waits *list.Element // in unproved; nil: not there
}

func newLinks(sfu SFU) *links {
	return &links{sfu: sfu, seed: maphash.MakeSeed(), all: map[*handover.Link]*entry{}}
}

func (t *links) bucket(from netip.AddrPort) *atomic.Pointer[entry] {
	return &t.table[maphash.Comparable(t.seed, from)&(buckets-1)]
}

// find returns the link of an address; nil for none.
func (t *links) find(from netip.AddrPort) *handover.Link {
	for e := t.bucket(from).Load(); e != nil; e = e.next.Load() {
		if e.from == from {
			if !e.heard.Load() { // written by one core, read by all
				e.heard.Store(true)
			}
			return e.link
		}
	}
	return nil
}

// add makes a link for an address that has none; nil after close.
func (t *links) add(from netip.AddrPort, on udp.Port) *handover.Link {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return nil
	}
	if link := t.find(from); link != nil { // another worker was faster
		t.mu.Unlock()
		return link
	}
	ended := t.makeRoom()
	e := &entry{from: from, link: handover.New(handover.Config{Addr: from, Port: on, To: from, Bare: true, Carrier: t})}
	e.heard.Store(true)
	head := t.bucket(from)
	e.next.Store(head.Load())
	head.Store(e)
	t.all[e.link] = e
	e.waits = t.unproved.PushBack(e)
	t.mu.Unlock()
	if ended != nil {
		t.sfu.Closed(ended)
	}
	return e.link
}

// makeRoom removes the oldest link that is not proved when there are too many, and returns it. Called with mu held.
func (t *links) makeRoom() *handover.Link {
	for t.unproved.Len() >= maxUnproved {
		oldest := t.unproved.Front().Value.(*entry)
		if !oldest.link.Proved() {
			t.crowded++
			t.remove(oldest)
			return oldest.link
		}
		t.unproved.Remove(oldest.waits)
		oldest.waits = nil
	}
	return nil
}

// remove is called with mu held.
func (t *links) remove(e *entry) {
	at := t.bucket(e.from)
	for at.Load() != e {
		at = &at.Load().next
	}
	at.Store(e.next.Load()) // who stands on e goes on to what follows it
	delete(t.all, e.link)
	if e.waits != nil {
		t.unproved.Remove(e.waits)
		e.waits = nil
	}
}

// Send implements handover.Carrier.
func (t *links) Send(l *handover.Link, b []byte, _ bool) bool {
	via, to, _, _, ok := l.Datagrams()
	if !ok {
		return false
	}
	_, err := via.WriteTo(b, to)
	return err == nil
}

// Done implements handover.Carrier.
func (t *links) Done(l *handover.Link) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.all[l]; e != nil {
		t.remove(e)
	}
}

// sweep ends who has not been heard of since the last one.
func (t *links) sweep() {
	t.end(func(e *entry) bool { return !e.heard.Swap(false) })
}

// end removes whom which names, and tells the SFU.
func (t *links) end(which func(*entry) bool) {
	var ended []*handover.Link
	t.mu.Lock()
	for l, e := range t.all {
		if which(e) {
			ended = append(ended, l)
			t.remove(e)
		}
	}
	t.mu.Unlock()
	for _, l := range ended {
		t.sfu.Closed(l)
	}
}

func (t *links) count() (links int, crowded uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.all), t.crowded
}

func (t *links) close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.end(func(*entry) bool { return true })
}
