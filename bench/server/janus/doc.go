// Package janus starts Janus (Debian: apt-get install janus) and brings the bench's full callers into rooms of its VideoRoom plugin.
//
//	             WebSocket ──────────────────► session
//	publisher PeerConnection ──► handle 1: joins, publishes, hears who is there
//	subscriber PeerConnection ◄── handle 2: one m-line for each stream subscribed to, used again when it ends
//
// Janus has no resumption that survives its WebSocket by default: whoever loses it comes anew. Its ICE library, libnice, takes no
// loopback address, so the server must run on another: in a namespace (bench.Veth), for instance.
package janus
