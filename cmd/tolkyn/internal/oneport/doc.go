// Package oneport is one number, TCP and UDP, behind which everything of a server is found: for networks that let nothing out
// but 443.
//
//	TCP ─► place (bounded) ─► first bytes ─┬─ TLS ─► handshake ─► ALPN ─┬─ h2, http/1.1 ─────────────► HTTPS, WebSocket
//	                                       │                            ├─ stun.turn ────────────────► TURN over TLS
//	                                       │                            └─ none ─► first bytes ──────► one of the two
//	                                       ├─ STUN ──────────────────────────────────────────────────► TURN over TCP
//	                                       ├─ a STUN check in a frame (RFC 4571) ─► ufrag ───────────► ICE-TCP of a shard
//	                                       └─ HTTP ──────────────────────────────────────────────────► redirect to HTTPS
//
//	UDP ─► TURN's worker ─► who sends? ─┬─ has an allocation: ChannelData (64–79), TURN's requests ──► TURN
//	                                    ├─ has a link to the SFU: DTLS, SRTP, checks ────────────────► that shard, in memory
//	                                    └─ nobody known ─► first byte (RFC 9443) ─┬─ check ─► ufrag ─► a new link
//	                                                                             └─ QUIC ───────────► Packets
//
// opening.go and datagram.go decide by bytes alone. mux.go and place.go are the TCP side: who is slow or lies costs one of a
// bounded number of places for seconds, and where there are none left, the one who has held his for longest loses it.
// links.go and packets.go are the UDP side.
package oneport
