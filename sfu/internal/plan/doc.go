// Package plan decides who is in a room and who gets what in which slot. It is a pure state machine: no clock, no lock,
// no goroutine, and the same commands always give the same effects in the same order.
//
//	Command ──► Room.Step(now, command) ──► []Effect
//	Join Leave Publish Unpublish            Evict    this peer was replaced
//	Mute Subscribe Resize                   Reject   the command (or a part of it) was refused
//	                                        Assign   one receive slot shows this track from now on
//	                                        Tell     one event for one peer
//
//	a receiver's slots      pairs, one lip sync each      video only
//	audio   (3)             [A mic] [B mic] [C mic]
//	video   (9)             [A cam] [B cam] [C cam]       [D cam] [ ] [ ] [ ] [ ] [A screen]
//	                         cameras fill from the left ─►               ◄─ screens from the right
//
// The rules:
//
//   - Nobody receives himself. A peer that may not subscribe has no slots; of one that may not publish nothing enters.
//   - Microphone and camera of one peer go to audio slot i and video slot i while there is such a free pair, because
//     browsers keep lip sync only within one stream, and slots i share a stream. Without one, each takes a free slot
//     of its kind all the same: to be heard unsynchronised is better than not to be heard.
//   - Screens (and their sound) take the free slot nearest the end, so that cameras keep the pairs.
//   - Slots are stable: a track stays where it is until it ends, its receiver hides it, or its receiver's own wish
//     displaces it. A freed slot goes to the best waiting track: wished for first, then microphones and cameras in join
//     order, then screens in join order. Muting frees nothing.
//   - A wish that is not hidden outranks every track without one, by priority and then by place in the list, and takes
//     the slot of a lower one when none is free. A wish for a track outranks one for its whole peer.
//   - Every visible track has a slot as long as one of its kind is free.
package plan
