// Package bwe estimates how many bits a second a path carries. It is a pure core: time and feedback go in as values.
//
//	Sent ──► history ─┐        ┌─► delay ── standing queue, what is delivered ──┐
//	                  ├─ read ─┼─► busy ─── what bursts pass ───────────────────┼─► control ──► Estimate ──► alloc, pace
//	Feedback ─────────┘        ├─► loss ─── where the queue is long, or anywhere┤   (grow, drain, compete)
//	                           ├─► ecn ──── share of marks ─────────────────────┤
//	                           └─► probes ─ what was proved ────────────────────┘
//
// What each part does and why, where it differs from others', and how it was measured: README.md beside this file.
package bwe
