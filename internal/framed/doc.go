// Package framed carries datagrams over a byte stream, each behind its length (RFC 4571), so that none arrives long after it
// was of use. A queue of our own could be bounded by age alone; the kernel's cannot: at 24 kbit/s its send buffer holds
// seconds of voice, and what it has taken can never be taken back. So nothing is given to the kernel while it holds anything
// that has not left, and whatever waits here for longer than it is worth is dropped:
//
//	Send ──► queue, each with its age ──► kernel: only while all of it has left ──► network
//	              │                               and the oldest of that is not overdue
//	              └─► older than Stale: dropped, unless it must arrive
//
// What has left stands in a queue of the network when the path carries less than is sent, and the congestion window would let
// seconds of it stand there. So nothing is given either while an acknowledgement is overdue by more than 1.5 s, unless a loss
// explains it. Only Linux tells of all this; elsewhere the kernel's buffer is as it is.
package framed
