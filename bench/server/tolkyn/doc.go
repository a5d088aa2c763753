// Package tolkyn brings the bench's full callers into rooms of a Tolkyn server, through the Go SDK and nothing else.
//
//	caller.Participant ──► Dialer ──► signaling/client ──► server
//	caller.Events      ◄── connection: steps, packets by slot, keyframe requests
package tolkyn
