// Package plan decides who is in a room, who gets what in which slot, and who is told of whom. It is a pure state machine:
// no clock, no lock, no goroutine, and the same commands always give the same effects in the same order.
//
//	Command ──► Room.Step(now, command) ──► []Effect
//	Join Leave Publish Unpublish            Evict    this peer was replaced
//	Mute Subscribe Resize                   Reject   the command (or a part of it) was refused
//	Speak Page                              Assign   one receive slot shows this track from now on, so large
//	Tick (at Room.Next)                     Tell     one event for one peer
//
//	a receiver's slots      pairs, one lip sync each      video only
//	audio   (3)             [A mic] [B mic] [C mic]
//	video   (9)             [A cam] [B cam] [C cam]       [D cam] [ ] [ ] [ ] [ ] [A screen]
//	                         cameras fill from the left ─►               ◄─ screens from the right
//
//	the same, when more     stage   loudest of the others
//	are heard than slots    [S mic] [B mic] [C mic]
//	                        [S cam] [who spoke last .............................] [A screen]
//
// Whose slots (claim.go):
//
//   - Nobody receives himself. A peer that may not subscribe has no slots; of one that may not publish nothing enters.
//   - Slots are stable: a track stays where it is until it ends, its receiver hides it, or one with a greater claim
//     displaces it. A freed slot goes to the greatest claim that waits. Muting frees nothing.
//   - Claims to be heard: wishes by priority and then by place in the list; the loudest speaker and who is on stage; the
//     sound of screens; other speakers; who spoke last; join order. Claims to be seen: wishes; screens; who is on stage; who
//     spoke last; join order. Join order alone displaces nobody. A wish for a track outranks one for its whole
//     peer, which is for what is seen of it alone: tiles on a screen shall not decide who is heard. Hidden is both.
//   - A speaker keeps an audio slot for 1 s at least while he speaks, anybody a video slot for 2 s, unless the receiver's own
//     wish is for another.
//   - Every visible track has a slot as long as one of its kind is free. The client (LastN, VideoPaused) and its device
//     (MaxVideos) bound how many videos there are; MaxHeight bounds how large a camera's is asked for.
//
// Which slot (slots.go):
//
//   - Microphone and camera of one peer go to audio slot i and video slot i while there is such a free pair, because
//     browsers keep lip sync only within one stream, and slots i share a stream. Without one, each takes a free slot
//     of its kind all the same: to be heard unsynchronised is better than not to be heard.
//   - Screens (and their sound) take the free slot nearest the end, so that cameras keep the pairs; a screen that has a
//     sound, the pair of it.
//   - Who has more audio tracks to hear than slots has a stage in slots 0 (speech.go): the loudest speaker, for 2 s at
//     least unless he leaves; on his own stage, and for those who hide him, is the one before him. A change of stage swaps
//     two slots: nobody else moves.
//
// Who is told of whom (roster.go):
//
//   - In a small room (up to 64) everybody hears of everybody. In a large one, until it is below 48 again, a peer knows the
//     64 that the answer to its join names, those on pages it asked for, those it wishes for and those in its slots: 192 in
//     all, then the oldest have to go. Events speak of known peers only; how many there are is told once a second.
//   - SpeakersChanged comes at most every 300 ms, in a large room every second.
//
// So a listener of a room of 1,000 hears no more than one of 30, and a command costs the room a glance at each peer and work
// for those whom it concerns.
package plan
