// Package peer is what callers have in common on servers that know no Tolkyn: stock pion, and the patience to dial again.
//
//	caller.Participant ──► Dial ──► Open, a driver's own: signaling      ──► server
//	                        │         │
//	                        │         └──► Media: PeerConnections        ◄──► server
//	caller.Events      ◄────┴───────────── packets by slot, steps, up and down
//
// Every remote track gets a slot of its own: on these servers a track's packets are one sequence from its beginning to its end.
// All of them are called with the same client, so that what differs is the server.
package peer
