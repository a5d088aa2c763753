// Package sfu is the selective forwarding unit: rooms and peers over shards.
//
//	signaling ── Join, Negotiate, Subscribe, Mute, Leave ──► SFU
//	   ▲                                                      │
//	   │ Event                                     room loop: plan.Step(now, command) → effects
//	   └──────────────────────────────────────────────────────┤
//	              caller: pion's SDP, ICE, DTLS  ◄─────────────┤
//	              shard: every packet, key, queue and timer ◄──┘
//
// Words: a Peer is one client's media session in a Room; it publishes Tracks and receives in Slots. An Uplink carries
// one Encoding from a publisher, a Downlink fills one slot of one subscriber. A Shard is a core: one goroutine that
// owns a socket and all packets of its peers. A room lives on one shard until it is large; then new peers go where there is
// room, and Pipes carry to them what they watch.
package sfu
