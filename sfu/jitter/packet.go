package jitter

import "time"

// Packet is one piece of coded sound. Times are in samples of the stream's RTP clock (Config.Rate).
type Packet struct {
	// Sequence and Timestamp are those of the RTP header (RFC 3550 §5.1); both may wrap.
	Sequence  uint16
	Timestamp uint32
	// Samples is how long it plays, above 0 and at most 120 ms, the longest packet of Opus (RFC 6716 §3.2.5).
	Samples int
	// Copy tells that this is no first-hand packet: redundancy (RFC 2198, an FEC of the codec's own) out of a later one,
	// or a retransmission. It is placed by its Timestamp alone and Sequence means nothing. Its arrival counts where it
	// fills a hole, or would have (Config.Repair). RED: insert the blocks before their carrier, in the order in which they stand.
	Copy bool
	// Quiet tells that the sender says nothing more until its next packet: a comfort noise packet (RFC 3389), or Opus in
	// DTX, whose payload is then of at most 2 bytes. Without it the pause is concealed at first and counted as
	// silence only when the packet after it shows what it was.
	Quiet bool
	// Value comes back as it was given; a pointer in it costs no allocation.
	Value any
}

// Verdict is what became of a packet at Insert.
type Verdict uint8

// The verdicts.
const (
	Accepted  Verdict = iota // it waits for its moment
	Late                     // its moment is over
	Duplicate                // it, or a copy of it, is here or was played
	Strange                  // out of all bounds: if the next packet goes on from it, the stream begins anew with both
	Invalid                  // Samples out of range
)

// String returns the verdict's name in lower case.
func (v Verdict) String() string {
	return nameOf([]string{"accepted", "late", "duplicate", "strange", "invalid"}, uint8(v))
}

// Action is what to do for a stretch of playout.
type Action uint8

// The actions.
const (
	Silence    Action = iota // nothing is due: not begun, or the sender says nothing; comfort noise
	Play                     // decode and play as it is
	Accelerate               // play more media than there is time for: Part.Media > Part.Samples
	Expand                   // play less media than there is time for, before it is short: Part.Media < Part.Samples
	Conceal                  // what is due is not there: let the decoder make something up
)

// String returns the action's name in lower case.
func (a Action) String() string {
	return nameOf([]string{"silence", "play", "accelerate", "expand", "conceal"}, uint8(a))
}

func nameOf(names []string, i uint8) string {
	if int(i) < len(names) {
		return names[i]
	}
	return "unknown"
}

// Part is a stretch of playout of one kind, from one packet where it is from any.
type Part struct {
	Action  Action
	Samples int // of playout; above 0
	// Media is how many samples of Packet are used up, from Offset on; 0 with Silence and Conceal.
	Media  int
	Offset int
	// Position is the media played here, in samples on the stream's timestamp line, which does not wrap: its low 32 bits
	// are the timestamp. With Conceal and Silence it is where playout stands still.
	Position int64
	// Packet is what Play, Accelerate and Expand play; its first sample is in the part with Offset 0.
	Packet Packet
	// Arrived is when Packet was inserted.
	Arrived time.Duration
	// Since is how many samples of playout the concealment or silence had lasted before this part: fade by it.
	Since int
}

// Output is one pull of playout.
type Output struct {
	// Parts make up the pull, in order: their Samples are 10 ms together. Valid until the next Pull.
	Parts []Part
}
