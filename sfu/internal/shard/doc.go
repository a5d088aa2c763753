// Package shard is the event loop that owns a core's packets: one goroutine, one UDP socket, every key, queue, timer,
// uplink and downlink of the peers placed on it.
//
//	           socket.Read (≤ 64 datagrams), ring of Links  inbox (commands of rooms and peers)
//	                    │ first byte                                │
//	  ┌─────────────────┼───────────────┐                           ▼
//	STUN              DTLS         SRTP, SRTCP                add, keys, publish, assign …
//	integrity check     │          open, replay check
//	  │    ▼            ▼               │
//	  │  gate ──► handshake.Peer        ├─ RTP ─► which encoding? ─► uplink.Handle ─► history ring ─► ready queue (audio first)
//	  ▼                                 └─ RTCP ─► downlink (NACK, reports) or uplink (sender report)
//	path: where the peer may                                                         │ ≤ 256 packets a turn
//	be heard from and sent to                                downlink.Next ─► seal into the send slot ◄┘
//	                                                                 │
//	                                       socket.Flush (runs to one destination leave as one GSO message)
//
// Clients that another loop carries, our own relay's or the one port's, are behind a handover.Link: what they send waits in a ring,
// and what is sealed for them is written into a queue for each socket of that loop. transport.go has what is different about them
// and about ICE-TCP.
//
// A track has encodings, each an uplink with its history. A slot is assigned a track and a view of it; the shard decides,
// with the ladder, which encoding and layer the slot shows, and tells the publisher which of them anybody wants:
//
//	track ─┬─ encoding a ── uplink ─┐  5 times a second     ladder.Choose           ┌─ slot (1280 px) ─ downlink
//	       ├─ encoding b ── uplink ─┼─ rates ──► rungs ──► view of each slot ──►────┤
//	       └─ encoding c ── uplink ─┘                          │                    └─ slot (320 px) ── downlink
//	       backup in another codec: a track of its own         └─► Config.LayersWanted, CodecWanted, LayersChanged
//
// A track that is watched on another shard is mirrored there: an uplink of the same name gets what the publisher's shard has
// stored, each packet once, and only of encodings that somebody there shows or waits for.
//
//	shard of the publisher                          shard of a subscriber
//	uplink ─ history ─ tap ──► pipe (ring) ───────► uplink ─ history ─► ready queue ─► its slots
//	settle ◄── wanted, keyframes ◄── pipe (table) ◄── settle
//
// What leaves for a subscriber is bounded by what its path carries:
//
//	feedback: transport-wide, RFC 8888, ──► bwe.Estimator ─┬─ target ──► alloc.Allocator ──► what each video slot is granted of
//	else REMB, receiver reports                 ▲          │             by rungs, views,    the ladder: fit, pause, told, wanted
//	                                            │          │             wishes
//	what has left (number, size, probe) ────────┘          └─ pace ────► pace.Bucket: room in this turn? else the peer is out of
//	                                                                     the video queue until its timer; probes are padded
//
// Sound is counted and never waits. Every packet that the client tells of has a transport-wide number of its own; bytes of others
// are told to the estimator with the next that has one. Who negotiated feedback by packets is held to an estimate from the
// beginning, and falls to the least when feedback has come and comes no more (RFC 8083); who did not is from its first report or
// REMB on: before, nothing is expected of it, and nothing known.
//
// Files stand in the order a packet meets them: shard.go (the loop), command.go (the inbox), path.go (addresses, STUN,
// DTLS), receive.go (SRTP in, which encoding), track.go (tracks and the slots assigned to them), share.go (who gets which of a
// subscriber's bits), fit.go (which encoding a slot shows), wanted.go and codecs.go (what publishers are told is wanted), told.go
// (what subscribers are told they get), voices.go (who speaks), forward.go (ready queue and sealing), gate.go (who waits for
// room), congestion.go (what has left, and what the path carries), feedback.go (timers, RTCP both ways), arrivals.go (what
// subscribers tell of what has come), remb.go (what publishers are told of theirs), pipe.go and mirror.go (other shards),
// transport.go (clients beside the socket), tcp.go (ICE-TCP), ring.go (what Links bring), wheel.go (timers), stats.go.
//
// A check of a connected peer is answered here; pion gets only those before keys exist and those around an ICE restart.
// Media moves to an address once a check of our own was answered there (path.go has the rules).
//
// Nothing here blocks but socket.Wait, nothing on the packet path allocates, locks or logs. A panic while one peer's
// packet or slot is handled removes that peer and nothing else.
package shard
