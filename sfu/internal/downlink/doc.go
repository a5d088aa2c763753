// Package downlink fills one slot of one subscriber: a stream that never breaks, made of pieces of other people's streams.
//
//	uplink A  ──1─2─3─4─5─┐                       ┌─ header: 12 bytes, CSRC for 2 s, transport-wide number, level, colours
//	uplink B       7─8─K─9─10─┐                   │  payload: picture id and TL0 moved
//	                  │    │  │   Next            ▼
//	Assign(A)   Assign(B) ─┴──┴─────────► 70─71─72─73─74─75─76 ──► caller seals each once, and sends
//	                                      └──segment A─┘└─ B ┘
//	NACK 73 ───► Resend: which segment? ─► history of its uplink ─► RTX 12(73)
//	       └───► Sealed: audio without RTX, the very bytes sent before
//
// A segment is the part of the slot's stream that comes from one source: from the packet it starts with, sequence number,
// timestamp, picture id, TL0 index and the descriptor's frame number are moved by constants. Where layers are left out, a table
// of the last 1,024 numbers says which packet each of them is (numbers.go). Rewriting is therefore a function of segment, entry
// and packet alone: a packet resent a second later gets the same numbers. The last eight segments are kept to answer NACKs.
//
// Less of a source is shown from the next picture on, more where the stream lets it in (layer.go). What is left out makes no hole
// in the numbers (sift.go), and the dependency descriptor says which decode targets are left (write.go).
//
// Voice switches at the next packet, its timestamp moved by whole 20 ms. Video keeps the old source flowing until the new
// one's keyframe has come and starts there; a subscriber who joins gets the newest keyframe out of the history when it is
// younger than 300 ms.
//
// Under AES-GCM one (SSRC, rollover, sequence) must be sealed once only. A Downlink yields each number once: packets are
// walked by arrival index, which never repeats, uplinks drop duplicates, and what a segment has left behind stays behind.
//
// Everything here is a pure state machine owned by the shard's goroutine; nothing on the way of a packet allocates.
package downlink
