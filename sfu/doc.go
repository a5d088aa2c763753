// Package sfu is the selective forwarding unit: rooms and peers over shards.
//
//	signaling ── Join, Negotiate, Subscribe, Mute, Leave ──► SFU
//	   ▲                                                      │
//	   │ Event                                     room loop: plan.Step(now, command) → effects
//	   └──────────────────────────────────────────────────────┤
//	              caller: pion's SDP, ICE, DTLS  ◄─────────────┤
//	              shard: every packet, key, queue and timer ◄──┘
//	              ▲ its own sockets, and SFU.Deliver: clients behind our relay or the one port (handover.Link)
//	                 feedback ─► bwe: estimate ─┬─► pace: may it leave?
//	                                            └─► alloc: what does each slot show?
//
// Words: a Peer is one client's media session in a Room; it publishes Tracks and receives in Slots. An Uplink carries
// one Encoding from a publisher, a Downlink fills one slot of one subscriber. A Shard is a core: one goroutine that
// owns a socket and all packets of its peers. A room lives on one shard until it is large; then new peers go where there is
// room, and Pipes carry to them what they watch.
//
// What a client is sent is held to an Estimate of its path: bwe makes it, pace spreads by it, alloc shares it among the client's
// slots. All three are public, pure, and useful alone; docs/congestion-control.md says what comes of them.
package sfu
