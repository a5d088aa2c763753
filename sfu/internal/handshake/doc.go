// Package handshake lets pion shake hands and keeps it away from the media.
//
//	offer ──► parse, check, reduce ──► pion: SDP, ICE, DTLS ──► complete the answer ──► answer
//	                                     ▲        │   │
//	shard ── gate ── Deliver (STUN, DTLS)┘        │   └──► Hooks.Keys: SRTP keys for the shard, once
//	  ▲                                           ▼
//	  └───────────── Wire ◄───────── every datagram pion writes
//
// A Peer is one pion PeerConnection. It never sees a byte of RTP or RTCP: the shard hands it STUN and DTLS only, and the
// shard seals and opens media with keys exported from the DTLS handshake (RFC 5764). pion sees of an offer only what
// has been checked here, written anew line by line, and of its answer only what it wrote itself is kept: SSRCs, payload
// types, extension ids, credentials. Directions, candidates and refused m-lines are ours.
//
// Until there are keys pion hears the client's STUN checks; from then on the shard answers them, and pion hears them again
// for 5 s after an ICE restart only. Its own ICE timers are off: the shard watches for silence.
//
// TCP (RFC 6544, RFC 4571 frames) needs no second way: to pion a TCP connection is one more remote address, and what it
// writes to that address leaves by Wire.WriteTCP.
//
// Gate bounds how many handshake steps run at once, so that a crowd at the door does not delay the calls inside.
// LocalUfragOf, CheckBinding, AppendResponse, AppendCheck and CheckResponse are the STUN (RFC 8489) that the shard does by itself.
package handshake
