// Package server starts the servers that the bench compares, each behind the same few methods.
//
//	driver: start ──► address ──► callers ... stop
//	   ├── tolkyn
//	   ├── LiveKit
//	   ├── Janus
//	   └── plain: a stock SFU on pion
//
// Their callers: package tolkyn through the Go SDK, the others through package peer, all with the same pion client. LiveKit's
// driver has a go.mod of its own, for its protocol brings much along. Child, Place and DropsOf are what the drivers share.
package server
