// Package handover is where a loop that speaks to clients, and the SFU, which has their media, meet: what a client sends to us
// through our own relay, or through the one port, reaches its shard in memory and never sees the kernel a second time.
//
//	client ──► TURN worker, or one port ── SFU.Deliver(to, link, b) ──► ring of the shard ──► as from a socket
//	                  ▲      │             SFU.Closed(link) ─────────────────────────────────► as of a connection
//	                  │      │
//	                  │      └─ New(Config), Bind(channel) ──► Link ◄── Datagrams: which socket, where to, which header
//	                  │                                         │
//	                  ├── Carrier.Send, Carrier.Done ◄──────────┤ streams; checks and handshakes; clients without a channel
//	                  │                                         │
//	client ◄── socket └◄── udp.Sender of the shard's own ◄──────┘ media over UDP: the shard writes it with the channel's header into
//	                                                              a queue of its own for that socket, and flushes once a turn
//
// A Link is one client as one address of ours sees it: of a TURN allocation there is one for each of our media addresses that the
// client sends to. It is told apart by itself and not by its address: a relayed address is a number that nobody binds, and on one
// machine another client may have it for real.
package handover
