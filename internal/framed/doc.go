// Package framed carries datagrams over a byte stream, each behind its length (RFC 4571), so that none arrives long after it
// was of use. A queue of our own could be bounded by age alone; the kernel's cannot: at 24 kbit/s its send buffer holds
// seconds of voice, and what it has taken can never be taken back. So nothing is given to the kernel while it holds anything
// that has not left, and whatever waits here for longer than it is worth is dropped:
//
//	Send ──► queue, each with its age ──► kernel: only while all of it has left ──► network
//	              │
//	              └─► older than Stale: dropped, unless it must arrive
//
// What has left and was not acknowledged may fill a queue in the network. That is for congestion control.
package framed
