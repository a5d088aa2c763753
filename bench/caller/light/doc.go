// Package light is callers for load: hundreds of real clients to the server, cheap enough to stand beside it.
//
//	Plan ──► Fleet ──► join: WebSocket session, ICE checks, DTLS ──► keys
//	             (a few at a time)                                     │
//	                                                                   ▼
//	      ┌──────────────────── loop: one goroutine, one timer wheel ────────────────────┐
//	      │ read  recvmmsg without GRO every 20 ms; kernel's times of arrival            │
//	      │       headers in clear ─► gaps, jitter ─► measure     one in N opened: stamps │
//	      │ answer  transport-wide feedback 100 ms, reports 1 s, NACK, consent 5 s       │
//	      │ send  media when due, sealed, a frame at a time (GSO)                        │
//	      └──────────────────────────────────────────────────────────────────────────────┘
//
// To the server a light caller is a browser: it shakes hands, decrypts nothing less than it must to answer, and answers
// feedback, reports and repair in the same rhythm. What it leaves out is what a server cannot see: it does not decode or play,
// and it authenticates one packet in N (Config.OpenOneIn; N stands in every result). Loss, jitter and rates are of all packets.
// Delays are of the stamped ones among those opened. A receiver with UDP_GRO would halve the sender's cost on loopback, so these
// read without it.
package light
