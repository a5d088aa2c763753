// Package server starts the servers that the bench compares, each behind the same few methods.
//
//	driver: start ──► address ──► callers ... stop
//	   ├── tolkyn
//	   ├── LiveKit
//	   ├── Janus
//	   └── plain: a stock SFU on pion
//
// Empty until the bench is built. Heavy drivers will have a go.mod of their own.
package server
