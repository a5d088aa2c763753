// Package uplink holds one published encoding: what arrived, what is missing, and what to ask the publisher for.
//
//	 publisher                               Uplink                                   downlinks
//	───────────┐      ┌──────────────────────────────────────────────────────┐
//	 RTP ──────┼─────►│ Handle ──► seen before? ──► history  (arrival order)  │──► Head, Tail, At, Payload, Descriptor
//	 RTX ──────┼─────►│ HandleRTX     │                tail ▓▓▓▓▓▓▓▓▓▓▓▓ head │──► Find (a NACK's answer)
//	 SR  ──────┼─────►│ HandleSenderReport ──► Clock   ▲ LastKeyframe         │──► CaptureClock (lip sync, switches)
//	           │      │               ▼                                       │
//	           │      │        frames, layers, rates ─────────────────────────│──► Structure, Top, Rates (the ladder)
//	           │      │               ▼                                       │
//	 NACK ◄────┼──────│ Poll ◄── missing (10 tries, playout) ── given up ──┐  │
//	 PLI  ◄────┼──────│      ◄── keyframe wish, merged ◄──────────────────┴──│◄── RequestKeyframe
//	 RR   ◄────┼──────│ ReportBlock                                           │
//	───────────┘      └──────────────────────────────────────────────────────┘
//
// Everything here is a pure state machine: the shard's goroutine owns an Uplink, hands in the time and the packets, and
// polls. Packets are kept decrypted and once for all subscribers, in rings without pointers that grow with the stream: a
// quiet voice costs a few kilobytes, a video stream up to 1,024 packets. Nothing allocates per packet once the rings
// have grown to the stream's rate.
//
// A packet has two names. Its arrival index (Head, At) says when it came and is what forwarding follows, so that a
// resent packet reaches every subscriber exactly once, late but not out of its own order. Its extended sequence number
// (Find) is what NACKs speak of.
//
// What a packet is of its frame, and of which layer, is found out once, here: by its dependency descriptor where it has one
// that can be read, whatever the codec and though the payload be encrypted; else by its payload, and where one packet does
// not tell (H.264, AV1), by the one before it. The structure that descriptors are read by comes with a keyframe; packets that
// overtook it are read again when it has come, stragglers by the structure before.
package uplink
