// Package measure turns what a caller received into numbers that people can compare. It is pure: no clock, no socket.
//
//	frames, samples with send times ──► delay ──► histogram ──► p50, p95, p99
//	                                ├─► loss, freezes, concealment
//	                                └─► MOS
//
// Empty until the bench is built.
package measure
