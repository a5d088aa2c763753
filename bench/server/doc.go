// Package server starts the servers that the bench compares, each behind the same few methods.
//
//	driver: start ──► address ──► callers ... stop
//	   ├── tolkyn
//	   ├── LiveKit
//	   ├── Janus
//	   └── plain: a stock SFU on pion
//
// Tolkyn is there, with what a process costs (CPU, ResidentKB); the others come with the bench. Heavy drivers will have a
// go.mod of their own.
package server
