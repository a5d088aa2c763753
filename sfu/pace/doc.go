// Package pace decides when a packet leaves, so that a burst of a publisher does not become a burst on a thin downlink.
// It is a pure core.
//
//	packet, estimate ──► Bucket: now, or not before t ──► shard's timer
//	                └──► Queue: a Bucket with the packets in it, for a publisher
//
// Who leaves first, and what holds the others back:
//
//	audio    always, and is charged: the others get what it leaves
//	repair   the pacing rate, the window, and a budget: media × (p/(1−p) + 5 points) at a share p of loss
//	video    the pacing rate, the window; by priority
//	padding  a probe only, when nothing else waits
//
// A probe raises the pacing rate to its own until its bytes are out, whatever they are of, and passes window and budget: it
// is bounded itself.
package pace
