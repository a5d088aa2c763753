package seq

// Extended is a 16-bit RTP sequence number unwrapped to 64 bits: rollover counter × 65536 + sequence (RFC 3711 §3.3.1).
// Counting starts at 1<<16 so that packets before the first one seen stay positive.
type Extended uint64

// Uint16 returns the number as it stands in the RTP header.
func (e Extended) Uint16() uint16 { return uint16(e) }

// Rollover returns the rollover counter of SRTP, 0 for the first 65536 numbers of a stream. Numbers below 1<<16 come
// before a stream's beginning and have none.
func (e Extended) Rollover() uint32 { return uint32(e>>16) - 1 }

// Unwrapper turns the 16-bit numbers of one stream into Extended ones. The zero value is ready; one goroutine.
type Unwrapper struct {
	highest Extended
	started bool
}

// Unwrap returns the extended number nearest to the highest one seen so far. It does not move the highest: call Accept
// once the packet has proved genuine.
func (u *Unwrapper) Unwrap(s uint16) Extended {
	if !u.started {
		return Extended(s) + 1<<16
	}
	return u.highest + Extended(int64(int16(s-u.highest.Uint16())))
}

// Accept notes that e was genuine.
func (u *Unwrapper) Accept(e Extended) {
	if !u.started || e > u.highest {
		u.started, u.highest = true, e
	}
}

// Highest returns the highest accepted number; ok is false before the first.
func (u *Unwrapper) Highest() (e Extended, ok bool) { return u.highest, u.started }
