// Package bwe estimates how many bits a second a path carries. It is a pure core: time and feedback go in as values.
//
//	feedback: (sequence, sent, received) ──► delay trend ──┐
//	                                     ├─► loss ─────────┼──► estimate ──► alloc, pace
//	                                     └─► probe result ─┘
//
// Empty until the estimator is built; senders are told what arrived (transport-wide feedback), and what the SFU sends
// to a subscriber is not limited by an estimate yet.
package bwe
