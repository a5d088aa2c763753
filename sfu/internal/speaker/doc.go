// Package speaker finds the loudest speakers of a room, once per room. It is a pure core.
//
//	audio levels (RFC 6464) ──► loudness over time ──► order of speakers ──► plan: who fills the audio slots
package speaker
