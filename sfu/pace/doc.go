// Package pace decides when a packet leaves, so that a burst of a publisher does not become a burst on a thin downlink.
// It is a pure core.
//
//	packet, rate ──► bucket: now, or not before t ──► shard's timer
//
// Empty until the pacer is built; packets leave in the turn in which they arrive.
package pace
