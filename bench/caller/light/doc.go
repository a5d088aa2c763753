// Package light is callers for load: hundreds of real clients to the server, cheap enough to stand beside it.
//
//	Plan ──► Fleet ──► join: WebSocket session, ICE checks, DTLS ──► keys
//	             (a few at a time)                                     │
//	                                                                   ▼
//	      ┌──────────────────── loop: one goroutine, one timer wheel ─────────────────────┐
//	      │ read    recvmmsg without GRO every 2 ms of one socket for all, or every 20 ms │
//	      │         of each caller's own; kernel's times of arrival                       │
//	      │         headers in clear ─► gaps, jitter ─► measure    one in N opened: stamps │
//	      │ answer  transport-wide feedback, reports 1 s, NACK, consent 5 s                │
//	      │ send    media when due, sealed; what is due together leaves together          │
//	      └───────────────────────────────────────────────────────────────────────────────┘
//
// To the server a light caller is a browser: it shakes hands, gives feedback (every 50 to 250 ms, by what comes in) and reports in
// the same rhythm, asks for what is missing and sends again what it is asked for. What it leaves out is what a server cannot see:
// it does not decode or play, and it authenticates one packet in N (Config.OpenOneIn; N stands in every result). Loss, jitter and rates are of all packets.
// Delays are of the stamped ones among those opened.
//
// Beside a server on this machine all callers of a loop share one socket: each has an address of its own in 127.64.0.0/10, so
// to the server they are as many clients, and one system call serves all. Elsewhere each has a socket. None has UDP_GRO: on
// loopback it would halve what the sender seems to cost.
//
// A loop that was held up does not make up for it: its callers' media is put off, by all alike, and that is counted
// (Counts.Slips). People elsewhere do not fall asleep together, and what a thousand owe after most of a second, sent at once, is
// more than a server's socket holds: 4 % was lost so.
package light
