// Package jitter plays packets out in order and on time. It is a pure core.
//
//	packets, any order ──► hold: as short as the path's jitter allows ──► next packet, or a gap
//
// Empty until something in the server has to play media out; browsers have their own.
package jitter
