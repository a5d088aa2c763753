// Package signaling is the plane: one session protocol in front of the SFU, with tokens, invites and limits.
//
//	browser, bot, websocat                                            admission (cmd)
//	   │ WebSocket /v1/ws                                                  │ may this node take one more?
//	   ▼                                                                   ▼
//	read loop ── wire.Decode ──► session.step(now, input) ──► output ──► requests ──► sfu.SFU, sfu.Peer
//	                                 ▲      │ frames                         │ results
//	   sfu events (room loop) ───────┤      ▼                                │
//	                                 └──────┼────────────────────────────────┘
//	write loop ◄── outbox (≤ 256) ◄─────────┘
//
// A session outlives its connection: it is a pure state machine (session.go) that numbers events, keeps the last 256
// of them for the resume time (60 s) and hands them to whichever connection resumes it. Server (server.go) owns the sessions and the
// clock; websocket.go is the first way in. auth.go says who may do what, invite.go lets a phone in by a printed URL.
//
// docs/protocol.md is the protocol for people who write clients.
package signaling
