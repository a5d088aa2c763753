// Package clip reads and writes recordings: VP8 in IVF, Opus in Ogg; says which frame of a clip is due when, and makes
// whole frames of packets again.
//
//	clip.ivf ──► ReadVideo ─┐          ┌─► PacketizeVP8 ─► RTP ══╗
//	clip.ogg ──► ReadAudio ─┴─► Reel ──┴─► Opus packet ──► RTP ══╣ network
//	               what is due when                              ║
//	                                                             ▼
//	out.ivf ◄── VideoWriter ◄── Assembler ◄─┐              Reorder: in order, or given up after a while
//	out.ogg ◄── AudioWriter ◄───────────────┴── Timeline ◄───────┘
//	                                     place in the file
//
// A core: no clock, no goroutine, no file. Times that things happen at are time.Duration since any fixed moment; times in
// media are in ticks of the codec's RTP clock: 90,000 a second for VP8, 48,000 for Opus. Nothing read makes it panic, and
// what it allocates is bounded by what was read.
package clip
