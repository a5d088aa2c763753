// Package speaker finds the loudest speakers of a room, once per room. It is a pure core.
//
//	audio levels (RFC 6464) ──► loudness over time ──► order of speakers ──► plan: who fills the audio slots
//
// Empty until the order of speakers is decided by the server; join order fills the slots.
package speaker
