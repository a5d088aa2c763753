// Package client is the Go SDK: the signaling protocol and its media from the client's side, for bots, recorders, load
// and tests. It behaves as the web SDK does (web/src/client).
//
//	Dial(url, token) ─► Client ─► Join{Name, Tracks, slots} ─► Room
//	                      │                                      │ Participants, Slots, Events, Mute, Publish, …
//	                   session  requests ▲  ▲ events             │
//	        keep: alive?  │ resumes      └──┴────────────────────┤
//	        watch: moved? ▼                                    media: one PeerConnection
//	                    road ◄─ Memory                      sendonly m-lines │ ▲ receive slots
//	              0 ms │    │ 250 ms                                         ▼ │
//	                 QUIC  WebSocket ─► signaling                            sfu
//
// The road to the server is raced: QUIC at once, WebSocket after 250 ms or when QUIC has failed, and the first whose handshake
// is complete carries the session. A Memory shared by Clients keeps what makes the next opening quick: TLS tickets (the first
// answer then comes after one round trip), the ports and certificates that servers name, and the networks without QUIC. When
// another address of ours leads to the server, a QUIC connection moves there; where it cannot, a new one resumes the session.
//
// A session outlives the connection under it: lost connections are dialled again with full jitter and resumed, and every
// event reaches the Room exactly once. A Room outlives its PeerConnection: when ICE fails it is restarted, and when the
// server has given the peer up, the Room joins again with a new one; slots and published tracks stay the same values.
//
// When UDP dies in mid-call, media goes on over a TCP connection that stands by: half a second and a round trip later, and
// nobody but Stats.Path hears of it.
//
// A LocalTrack is one stream, or with Encodings a simulcast of up to three. The server says which encodings anybody watches; what
// is written to the others is held back here, so that nobody has to obey for the uplink to be spared, and OnLayersWanted saves
// the encoder's work too. A Slot takes VP8, VP9, H.264 and AV1 as they come: the server changes what flows in it, codec
// included, without a word, and each Packet names its own. Subscribe says what is wanted and how large; LayersChanged and
// Slot.Layer tell what came of it and why it is no more. Of a large room Participants are those the server tells of; Roster
// pages through the others.
//
// What is sent is paced by an estimate of our uplink (sfu/bwe, sfu/pace), sound first. When the link carries less than is
// written, the highest encodings are paused and return when they fit again; OnTargetBitrate tells encoders what they may take, and
// Stats.Uplink what is estimated. What is received is answered with transport-wide feedback, so that the server can estimate our
// downlink. There is no goroutine for any of it: packets leave in their writer's goroutine or in a timer's.
//
// Events come on a bounded channel and not by callback, so that whoever handles one may call any method of the Room,
// Leave included. The SDK never waits for the reader: a reader that is maxEvents behind gets one Missed in place of what it
// missed, and finds the present state in Participants and Slots.
package client
