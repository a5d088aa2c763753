// Package turn relays the media of clients whose network lets nothing else through (RFC 8656).
//
//	client ── 3478/udp, 3478/tcp, 5349/tls ──► framing guard ──► pion/turn v5: allocate, permit, bind
//	                                                               │
//	                     policy: credentials, quotas, peers ◄──────┤  peers: our own media addresses and no others
//	                                                               ▼
//	                                             relay path ──► PacketPath, handed over in cmd ──► sfu's shard
//
// Empty until the TURN work begins. It will meet the SFU through the small port PacketPath alone: neither package
// imports the other.
package turn
