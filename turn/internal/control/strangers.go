package control

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"time"
)

// sources is how many budgets there are. Sources that fall on one share it; what a flood from all of them at once can take is
// bounded by their number, and so is memory: 64 KiB.
const sources = 8192

// burst is how many seconds' worth of answers a source can have at once: a carrier's NAT is one source, and its clients join when
// the news comes.
const burst = 4

// strangers bounds what is answered to who has not proved to be at the address that a datagram names as its own.
type strangers struct {
	budgets [sources]budget
	key     [2]uint64
}

// budget is a token bucket.
type budget struct {
	milli uint32 // thousandths of an answer that have been spent
	at    uint32 // milliseconds, of then
}

// spend takes one answer from the budget of a source that has rate answers a second; false: there is none left.
func (s *strangers) spend(ip netip.Addr, t time.Duration, rate int) bool {
	b := ip.As16()
	high, low := binary.BigEndian.Uint64(b[:8]), uint64(0)
	if ip.Unmap().Is4() {
		low = binary.BigEndian.Uint64(b[8:])
	}
	h, l := bits.Mul64(high^s.key[0], low^s.key[1])
	h, _ = bits.Mul64(h^l^s.key[1], s.key[0]|1)
	budget := &s.budgets[h%sources]
	at := uint32(t / time.Millisecond)
	back := uint64(at-budget.at) * uint64(rate)
	budget.milli -= uint32(min(back, uint64(budget.milli)))
	budget.at = at
	if budget.milli+1000 > uint32(rate)*burst*1000 {
		return false
	}
	budget.milli += 1000
	return true
}
