// Package signaling is the plane: one session protocol in front of the SFU, with tokens, invites and limits.
//
//	browser, websocat       browser             app, bot
//	   │ WebSocket /v1/ws      │ WebTransport      │ raw QUIC                 admission (cmd)
//	   │ TCP                   │ /v1/wt, h3        │ ALPN tolkyn/1               │ may this node take one more?
//	   ▼                       └─────────┬─────────┘                             │
//	websocket.go                         ▼ one UDP socket                        │
//	   │              webtransport.go, quic.go ── early.go: 0-RTT                │
//	   └───────── port ─────────┬────────┘                                       ▼
//	connection.go: read ──► session.step(now, input) ──► output ──► requests ──► sfu.SFU, sfu.Peer
//	                              ▲      │ frames                         │ results
//	   sfu events (room loop) ────┤      ▼                                │
//	                              └──────┼────────────────────────────────┘
//	connection.go: flush ◄── outbox (≤ 256) ◄┘  all that waits shares packets; no goroutine while nothing does
//
// A session outlives its connection: it is a pure state machine (session.go) that numbers events, keeps the last 256
// of them for the resume time (60 s) and hands them to whichever connection resumes it, by whichever way it came. Server
// (server.go) owns the sessions and the clock. A conn (connection.go) greets, reads and writes over a port, which the three
// ways fill. secret.go keeps what clients were given good over a restart, transports.go tells them of the ways. auth.go says
// who may do what, invite.go lets a phone in by a printed URL.
//
// docs/protocol.md is the protocol for people who write clients.
package signaling
