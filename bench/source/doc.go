// Package source makes synthetic media that any receiver can decode and measure.
//
//	scene, seed ──► picture: colour, motion, frame id and send time as blocks that survive the codec ──► VP8
//	            └─► sound: speech-like bursts, send time as a chirp ─────────────────────────────────► Opus
//
// Empty until the bench is built.
package source
