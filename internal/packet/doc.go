// Package packet tells datagrams apart and reads and writes RTP headers in place: no copies, no allocations, and no
// input makes it panic.
//
//	 datagram ──► Classify ──► STUN · DTLS · RTCP
//	                  │
//	                 RTP
//	                  ▼
//	┌──────────┬────────┬─────────────────────┬───────────────┬─────────┐
//	│ 12 fixed │ CSRCs  │ extension (RFC 8285)│    payload    │ padding │
//	└──────────┴────────┴─────────────────────┴───────────────┴─────────┘
//	 ParseHeader ........ Extension, Elements  Payload (only after decryption)
//	 PutHeader   PutCSRC  PutExtensions, Block
//
// Pure functions on bytes the caller owns; any goroutine.
package packet
