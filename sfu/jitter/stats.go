package jitter

import "time"

// Stats since New. Samples are of the stream's RTP clock. Pulled = Played + Concealed + Silent, always.
type Stats struct {
	// Packets, each counted by its verdict. Late ones are in here when they were thrown away.
	Accepted, Late, Duplicate, Strange, Invalid uint64
	// Waited counts accepted packets that came when playout stood still for want of them: late as well, but played.
	Waited uint64
	// Reordered counts accepted packets that a later one had overtaken; Copies those accepted that were copies.
	Reordered, Copies uint64
	// Overflowed counts packets pushed out unplayed because Config.Packets were held; Flushed those that a restart of
	// the stream or a skip of too long a delay left unplayed.
	Overflowed, Flushed uint64
	Restarts            uint64 // of the stream: numbers or times out of all bounds, twice in a row

	Pulled uint64 // samples of playout
	Played uint64 // of them from packets, stretched ones included
	Silent uint64
	// Concealed samples are made up. Those since the buffer ran dry, whose reason the next packet will tell, are Open:
	// should it have been silence, they move to Silent.
	Concealed, Open uint64
	// ConcealedLate is the part of Concealed for which the media did come, but after its moment.
	ConcealedLate     uint64
	ConcealmentEvents uint64 // stretches of it
	// Accelerated is what stretching removed from the media, Expanded what it added.
	Accelerated, Expanded uint64
	Skipped               uint64 // media left out to get rid of a delay above Config.Max

	// Target is the delay aimed at, and Delay what the next Pull will have, both above the path's fastest packets of the
	// last second; Delay is 0 before playout has begun.
	Target, Delay time.Duration
	// Held is how many packets wait now.
	Held int
}

// Stats returns the present figures.
func (b *Buffer) Stats() Stats {
	s := b.stats
	if b.queue.held == 0 {
		s.Open = uint64(b.still.concealed)
	}
	s.Target = b.target()
	if b.playing {
		s.Delay = b.delay(b.pulled+Period, b.position)
	}
	s.Held = b.queue.held
	return s
}
