// Package fec makes and reads parity packets of RTP, FlexFEC with flexible masks (RFC 8627 §4.2.2.1, R=0 F=0): what was lost can be
// had without asking for it, which counts where a round trip is longer than what is played out may wait. It is a pure core, useful
// alone.
//
//	sender                                              receiver
//	media 70 71 72 73 ──────────► seal ──── 70 ▒▒ 72 73 ──► Decoder.Media ──► in order of arrival: 70 72 73
//	      │  │  │  │                                            │ keeps 256
//	      ▼  ▼  ▼  ▼                                            ▼
//	      Encoder.Add: XOR ──► Put: base 70, mask 1111 ───► Decoder.Repair
//	                                                            │ 70 ⊕ 72 ⊕ 73 ⊕ parity
//	                                                            └──► Decoder.Next: 71, once, bit for bit
//
// A group is what one repair packet protects: any packets of one stream within 110 numbers. One that is lost of a group comes back;
// two do not, but where a packet lies in several groups one that came back may complete another. Of groups that interleave, each
// nth packet in one of n, a burst of n is mended.
//
// What is protected is the packet as it was before sealing, header extensions and padding included, but for its SSRC, which the
// repair packet's CSRC list names, and its number, which base and mask tell. A packet that came by RTX is not the same: its
// extensions were written anew. So the decoder takes note of it, and does not compute with it.
//
// The encoder has one buffer and does not allocate. The decoder allocates what it keeps, at most 256 packets and 32 repair packets
// of 1,500 bytes, and uses that again.
package fec
