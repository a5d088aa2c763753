// Package bwe estimates how many bits a second a path carries. It is a pure core: time and feedback go in as values.
//
//	feedback: (number, sent, received) ──► delay trend ──┐
//	                                    ├─► loss ────────┼──► estimate ──► alloc, pace
//	                                    └─► probe result ┘
package bwe
