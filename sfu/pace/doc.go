// Package pace decides when a packet leaves, so that a burst of a publisher does not become a burst on a thin downlink.
// It is a pure core.
//
//	packet, estimate ──► Bucket: now, or not before t ──► shard's timer
//	                └──► Queue: a Bucket with the packets in it, for a publisher
package pace
