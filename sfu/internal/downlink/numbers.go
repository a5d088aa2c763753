package downlink

import (
	"github.com/tolkyn/tolkyn/codec"
	"github.com/tolkyn/tolkyn/internal/seq"
)

// 1,024 numbers, as many as the longest history holds: of older ones no packet could be sent again.
const numbered = 1024

// entry says which packet of its source a number of the slot is: 8 bytes a number.
type entry struct {
	source   uint32 // the lower bits of the source's number
	pictures uint16 // VP8: left out in the segment before it
	reach    reach  // what the slot showed there
	how      fate
}

// target is the decode target that the slot showed there.
func (e *entry) target(t *codec.Structure) int {
	if best := t.Best(e.reach.layer(), t.Within(codec.Everything)); best >= 0 {
		return best
	}
	return lowest(t)
}

// fate is what became of a number.
type fate uint8

const (
	reserved fate = 1 << iota // its packet has not come
	blank                     // its packet is of a layer that is not shown: padding went out in its place
	marked                    // the last packet of its picture that the slot shows
	telling                   // the decode targets shown are told with it
)

// numbers is the table of a slot that leaves packets out: its numbers go on by one whatever is left out between, and so are
// no constant away from the source's.
//
//	source   20 21 22 23 24 25 26 27
//	          │  ·  ·  │  ?  ·  ·  │     · left out   ? has not come: a number is reserved, for it may be one to show
//	slot     70       71 72       73
//
// Both rise along the table: a late packet finds its number by the source's, a NACK its packet by the slot's.
type numbers struct {
	ring    []entry      // by the slot's number; nil until the slot leaves something out
	written seq.Extended // the highest number entered

	// Of the newest segment.
	on      bool
	next    seq.Extended // the slot's next number
	highest seq.Extended // the source's newest number
}

// begin starts the table of a segment with the packet behind the one that the source numbers highest.
func (n *numbers) begin(highest, next seq.Extended) {
	if n.ring == nil {
		n.ring = make([]entry, numbered)
	}
	n.on, n.highest, n.next = true, highest, next
}

// put gives the packet that the source numbers so the next number.
func (n *numbers) put(source seq.Extended, e entry) seq.Extended {
	number := n.next
	e.source = uint32(source)
	n.ring[number%numbered] = e
	n.next++
	n.written = max(n.written, number)
	return number
}

// reserve keeps numbers for the count packets from the source's first on, which have not come.
func (n *numbers) reserve(first seq.Extended, count int, e entry) {
	if over := count - numbered; over > 0 {
		n.next += seq.Extended(over)
		first += seq.Extended(over)
		count = numbered
	}
	e.how |= reserved
	for i := range count {
		n.put(first+seq.Extended(i), e)
	}
}

// at returns the entry of a number of the slot, nil when it has been overwritten.
func (n *numbers) at(number seq.Extended) *entry {
	if n.ring == nil || number > n.written || n.written-number >= numbered {
		return nil
	}
	return &n.ring[number%numbered]
}

// find returns the number, not below first, that the newest segment gave to the packet with the source's number; its entry
// is nil when it gave none.
func (n *numbers) find(first, source seq.Extended) (number seq.Extended, e *entry) {
	low, high := first, n.next
	if high-low > numbered {
		low = high - numbered
	}
	for low < high {
		middle := low + (high-low)/2
		e := &n.ring[middle%numbered]
		switch step := int32(e.source - uint32(source)); {
		case step == 0:
			return middle, e
		case step < 0:
			low = middle + 1
		default:
			high = middle
		}
	}
	return 0, nil
}
