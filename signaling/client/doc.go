// Package client is the Go SDK: the signaling protocol and its media from the client's side, for bots, recorders, load
// and tests. It behaves as the web SDK does (web/src/client).
//
//	Dial(url, token) ─► Client ─► Join{Name, Tracks, slots} ─► Room
//	                      │                                      │ Participants, Slots, Events, Mute, Publish, …
//	                   session  requests ▲  ▲ events             │
//	                      │ resumes      └──┴────────────────────┤
//	                  connection (WebSocket)                   media: one PeerConnection
//	                      │                                 sendonly m-lines │ ▲ receive slots
//	                      ▼                                                  ▼ │
//	                  signaling                                              sfu
//
// A session outlives the connection under it: lost connections are dialled again with full jitter and resumed, and every
// event reaches the Room exactly once. A Room outlives its PeerConnection: when ICE fails it is restarted, and when the
// server has given the peer up, the Room joins again with a new one; slots and published tracks stay the same values.
//
// Events come on a bounded channel and not by callback, so that whoever handles one may call any method of the Room,
// Leave included. The SDK never waits for the reader: a reader that is maxEvents behind gets one Missed in place of what it
// missed, and finds the present state in Participants and Slots.
package client
