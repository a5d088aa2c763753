// Package wire is the signaling protocol as bytes: frames in, frames out, no I/O.
//
//	one WebSocket message                                      one WebSocket message
//	       │ Decode (size first, then protobuf or JSON)               ▲ Encode
//	       ▼                                                          │
//	  ClientFrame{id, ack, message} ──► session ──► ServerFrame{id or seq, message}
//	       │ Sdp.Inflate (≤ 256 KiB, bombs end here)                  ▲ Answer (raw DEFLATE)
//	       ▼                                                          │
//	     offer ───────────────────────► sfu ───────────────────► answer
//
// tolkyn.proto is the source; tolkyn.pb.go is made from it by scripts/generate-wire. docs/protocol.md explains the
// protocol to people who write clients.
package wire
