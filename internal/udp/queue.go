package udp

import (
	"iter"
	"net/netip"

	"github.com/tolkyn/tolkyn/internal/packet"
)

const (
	// MaxRun is how many datagrams one run holds: beyond 16 the gain is small and the burst on the wire long.
	MaxRun = 16
	// QueueRoom is the space in bytes that Next returns.
	QueueRoom = 1536
	// maxRunBytes stays below the 65,507 bytes that one UDP message can hold.
	maxRunBytes = 65000
)

// Queue collects outgoing datagrams in one piece of memory, so that datagrams of one size to one destination that follow each
// other lie side by side and leave as one GSO message. One goroutine uses it, for as many sockets as it likes.
type Queue struct {
	// Fixed after NewQueue.
	memory []byte
	limit  int // datagrams

	// Owned by the caller.
	tail    int            // bytes of memory in use
	count   int            // datagrams committed
	next    netip.AddrPort // destination of the datagram being written
	from    netip.Addr     // and the address it leaves from; zero: the socket's
	ecn     packet.ECN
	writing bool
	runs    []run
	vector  *sendVector // of the raw form
}

// run is datagrams side by side to one destination: all of size segment, only the last may be smaller.
type run struct {
	to      netip.AddrPort
	from    netip.Addr
	ecn     packet.ECN
	offset  int
	size    int // bytes of all datagrams
	segment int // bytes of each but the last
	count   int
}

// NewQueue returns a queue for the given number of datagrams, at least 1.
func NewQueue(packets int) *Queue {
	packets = max(packets, 1)
	return &Queue{memory: make([]byte, packets*QueueRoom), limit: packets, runs: make([]run, 0, packets)}
}

// Next returns QueueRoom bytes to write the next datagram to its destination into, nil when the queue is full.
// The datagram counts from Commit on; without a Commit the next Next returns the same space.
func (q *Queue) Next(to netip.AddrPort) []byte { return q.NextFrom(netip.Addr{}, to) }

// NextFrom is Next for a Shared socket: the datagram leaves from this address of ours. Other sockets have only one.
func (q *Queue) NextFrom(from netip.Addr, to netip.AddrPort) []byte {
	if q.Full() {
		return nil
	}
	q.next, q.from, q.ecn, q.writing = to, from, packet.NotECT, true
	return q.memory[q.tail : q.tail+QueueRoom : q.tail+QueueRoom]
}

// Mark lets the datagram being written leave with these ECN bits: call it between Next, which begins with packet.NotECT, and
// Commit. The portable form cannot and sends all as they are.
func (q *Queue) Mark(ecn packet.ECN) { q.ecn = ecn }

// Commit queues the first size bytes of what Next returned, 1 to QueueRoom. Any other size, or no Next before it, queues nothing.
func (q *Queue) Commit(size int) {
	if !q.writing || size < 1 || size > QueueRoom {
		return
	}
	q.writing = false
	offset := q.tail
	q.tail += size
	q.count++
	if len(q.runs) > 0 {
		if last := &q.runs[len(q.runs)-1]; last.joins(q.from, q.next, q.ecn, size) {
			last.size += size
			last.count++
			return
		}
	}
	q.runs = append(q.runs, run{to: q.next, from: q.from, ecn: q.ecn, offset: offset, size: size, segment: size, count: 1})
}

// joins reports whether a further datagram may follow in the run. The kernel cuts a message into equal segments,
// so a smaller datagram ends it.
func (r *run) joins(from netip.Addr, to netip.AddrPort, ecn packet.ECN, size int) bool {
	open := r.size == r.segment*r.count
	return open && r.to == to && r.from == from && r.ecn == ecn && size <= r.segment && r.count < MaxRun && r.size+size <= maxRunBytes
}

// Len is the number of datagrams queued.
func (q *Queue) Len() int { return q.count }

// Full reports whether Next would return nil.
func (q *Queue) Full() bool { return q.count == q.limit }

// Runs is the number of messages the queue makes with GSO.
func (q *Queue) Runs() int { return len(q.runs) }

// Head is what goes into the headers of a datagram.
type Head struct {
	To  netip.AddrPort
	ECN packet.ECN
}

// Datagrams yields the queued datagrams with their heads in order. The bytes are valid until Reset.
func (q *Queue) Datagrams() iter.Seq2[Head, []byte] {
	return func(yield func(Head, []byte) bool) {
		for i := range q.runs {
			r := &q.runs[i]
			for k := range r.count {
				if !yield(Head{r.to, r.ecn}, q.datagram(r, k)) {
					return
				}
			}
		}
	}
}

// Reset empties the queue; Flush does it.
func (q *Queue) Reset() {
	q.tail, q.count, q.writing = 0, 0, false
	q.runs = q.runs[:0]
}

func (q *Queue) bytes(r *run) []byte { return q.memory[r.offset : r.offset+r.size] }

func (q *Queue) datagram(r *run, k int) []byte {
	from := r.offset + k*r.segment
	return q.memory[from:min(from+r.segment, r.offset+r.size)]
}
