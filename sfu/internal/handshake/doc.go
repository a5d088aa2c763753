// Package handshake lets pion shake hands and keeps it away from the media.
//
//	offer ──► parse, check ────── codecs, streams, slots ──────► write the answer ──► answer
//	               └─ one m-line ──► pion: ICE, DTLS ─ credentials ─┘
//	                                     ▲        │   │
//	shard ── gate ── Deliver (STUN, DTLS)┘        │   └──► Hooks.Keys: SRTP keys for the shard, once
//	  ▲                                           ▼
//	  └────── Wire, Transport ◄───── every datagram pion writes
//
// A Peer is one pion PeerConnection. It never sees a byte of RTP or RTCP: the shard hands it STUN and DTLS only, and the
// shard seals and opens media with keys exported from the DTLS handshake (RFC 5764). What pion sees of an offer is one
// m-line that stands for the bundle: its ICE, its DTLS. Codecs, simulcast, slots, extensions, directions and candidates are
// read and answered here, so that they cost a peer a few bytes and pion's rules do not bind them.
//
// Of the ways to tell a sender of congestion one is answered on each m-line: RFC 8888 where all offer it, else transport-wide
// feedback, else REMB.
//
// Of an m-line on which the client sends one codec is taken, and it stays while the m-line lives, as do the streams of its
// simulcast; RTX, feedback and header extensions that the first answer did not take are not taken later. A slot keeps every codec that both know, so that the server changes what flows in it without a word of SDP.
//
// Until there are keys pion hears the client's STUN checks; from then on the shard answers them, and pion hears them again
// for 5 s after an ICE restart only. Its own ICE timers are off: the shard watches for silence.
//
// TCP (RFC 6544, RFC 4571 frames) and relays need nothing of pion: to pion a TCP connection, or a client behind a relay, is one more
// remote address, and what it writes to that address leaves by the Transport that packets from there came by.
//
// Gate bounds how many handshake steps run at once, so that a crowd at the door does not delay the calls inside.
// LocalUfragOf, CheckBinding, AppendResponse, AppendCheck and CheckResponse are the STUN (RFC 8489) that the shard does by itself.
package handshake
