// Package client will be the Go SDK: the same protocol from the other side, for bench, bots and tests. This room is empty.
//
//	your program ──► client ── ClientFrame ──► signaling.Server
//	                   │  ▲─── ServerFrame ───
//	                   ▼
//	               pion/webrtc with pion/interceptor
package client
