// Package tcp is TCP's bulk senders as pure state machines, for calls to compete with: Reno (RFC 5681) and CUBIC (RFC 9438).
//
//	Short: files and pauses ─► Sender: window, losses, RTO ─ Segment ─► link ─► Receiver
//	                             ▲                                                │
//	                             └──────────────── Ack, SACK ◄────────────────────┘
//
// A segment is lost when three that were sent after it have arrived (RFC 6675's rule, in the order of sending, so that it holds for
// what is sent again too), or when the retransmission timer ends (RFC 6298, with Linux's margin of 200 ms). There is no handshake,
// no pacing and no HyStart: a new flow leaves slow start by its first loss, as RFC 5681 has it.
package tcp
