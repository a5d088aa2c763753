// Package shard is the event loop that owns a core's packets: one goroutine, one UDP socket, every key, queue, timer,
// uplink and downlink of the peers placed on it.
//
//	           socket.Read (≤ 64 datagrams)                 inbox (commands of rooms and peers)
//	                    │ first byte                                │
//	  ┌─────────────────┼───────────────┐                           ▼
//	STUN              DTLS         SRTP, SRTCP                add, keys, publish, assign …
//	integrity check     │          open, replay check
//	  │    ▼            ▼               │
//	  │  gate ──► handshake.Peer        ├─ RTP ─► uplink.Handle ─► history ring ─► ready queue (audio first)
//	  ▼                                 └─ RTCP ─► downlink (NACK, reports) or uplink (sender report)
//	path: where the peer may                                                         │ ≤ 256 packets a turn
//	be heard from and sent to                                downlink.Next ─► seal into the send slot ◄┘
//	                                                                 │
//	                                       socket.Flush (runs to one destination leave as one GSO message)
//
// Files stand in the order a packet meets them: shard.go (the loop), command.go (the inbox), path.go (addresses, STUN,
// DTLS), receive.go (SRTP in), forward.go (ready queue and sealing), feedback.go (timers, RTCP both ways), tcp.go
// (ICE-TCP), wheel.go (timers), stats.go.
//
// A check of a connected peer is answered here; pion gets only those before keys exist and those around an ICE restart.
// Media moves to an address once a check of our own was answered there (path.go has the rules).
//
// Nothing here blocks but socket.Wait, nothing on the packet path allocates, locks or logs. A panic while one peer's
// packet or slot is handled removes that peer and nothing else.
package shard
