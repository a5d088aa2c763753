// Package downlink fills one slot of one subscriber: a stream that never breaks, made of pieces of other people's streams, and
// of no more of each than the subscriber can use.
//
//	uplink A  ──1─2─3─4─5─┐                       ┌─ header: 12 bytes, CSRC for 2 s, transport-wide number, level, colours,
//	uplink B       7─8─K─9─10─┐                   │          dependency descriptor with its frame number moved
//	                  │    │  │   Next            ▼  payload: picture id and TL0 moved
//	Assign(A)   Assign(B) ─┴──┴─────────► 70─71─72─73─74─75─76 ──► caller seals each once, and sends
//	                SetLayer ▲ leaves out └──segment A─┘└─ B ┘
//	NACK 73 ───► Resend: which segment? ─► history of its uplink ─► RTX 12(73) ◄── Padding: for a probe
//	       └───► Sealed: audio without RTX, the very bytes sent before
//
// A segment is the part of the slot's stream that comes from one source: from the packet it starts with, sequence number,
// timestamp, picture id, TL0 index and frame number are moved by constants. Where layers are left out a table tells the
// sequence number beside that, and VP8's picture id (numbers.go). Rewriting is therefore a function of segment, packet and
// table alone: a packet resent a second later gets the same numbers. The last eight segments are kept to answer NACKs.
//
// Voice switches at the next packet, its timestamp moved by whole 20 ms. Video keeps the old source flowing until the new
// one's keyframe has come and starts there; a subscriber who joins gets the newest keyframe out of the history when it is
// younger than 300 ms. Two encodings of one publisher are two sources: what lies between their pictures is told by the
// publisher's sender reports, and no picture is shown that is older than the last one was.
//
// # Layers
//
// Less begins with the next picture, without a keyframe, where all of it is sent as part of what is shown. A lower spatial
// layer may not be, by descriptors: where layers build on each other in keyframes only (modes L3T3_KEY and the like) or never
// (S3T3), what the higher one does not need is left out, half of the bits, and the lower one is entered like a higher one.
// More begins where the stream lets it in.
//
//	              told by                          temporal up at                spatial up at
//	VP8           TID, Y                           Y of the next layer           –
//	VP9           SID, TID, U, marker set by us    base picture with U           keyframe
//	AV1           OBU extension: TID               keyframe                      –
//	H.264         –                                –                             –
//	any, with a   frames that a decode target      frame with a switch           keyframe, or frame with a switch
//	descriptor    needs, and what it refers to     indication, all of whose      indication at a picture's beginning
//	                                               references were sent
//
// What a receiver must not see of it: sequence numbers go on by one, since its packet buffer asks for a number that is
// missing; VP8's picture ids go on by one, since libwebrtc waits for a picture whose id was skipped; VP9's picture ids and
// the descriptor's frame numbers may skip, for references are differences of them. The marker stands on the last packet of
// the picture that is sent. A number is kept for a packet that has not come, and filled with padding when it turns out to be
// of a layer that is not shown.
//
// # When the path is too thin
//
// Packets are not queued for a subscriber: pacing holds the slot back, and its cursor lags behind the source's history. Backlog
// tells by how much. From SetRepair on, when the path's rate is estimated, that is bounded for video; audio never waits.
//
//	waits longer than  40 ms   the source that takes over does not wait for it; what is shed (Shed) is passed over
//	                  150 ms   on to a keyframe that has come; without one, the highest temporal layer is left out, then the next
//	                  400 ms   all is left out until a keyframe, which is asked for; not for that a keyframe itself was large
//
// What is passed over so ends a segment, and the next one begins with the keyframe: the subscriber sees no hole. A picture that
// has begun goes out to its end, so that the thinnest path sees some whole, but not one of what is shed. Layers come back when
// nothing has waited for 2 s. SetPaused holds a slot for as long as the path has no room for it at all.
//
// Repair takes what media earns it, p/(1−p) and 5 points of its bytes, of which the last are kept for the base layer. Where more is
// missing behind the last keyframe than a keyframe takes, or its last chance to be resent has come, a keyframe is asked for
// instead. Probes get packets that went out lately once more by RTX, and padding where there are none that fit.
//
// Parity of the base layer's packets (FlexFEC, sfu/fec) goes out within the same budget from SetParity on: a group's as soon as media
// has earned it, and what is asked for first.
//
// # Numbers
//
// Under AES-GCM one (SSRC, rollover, sequence) must be sealed once only. A Downlink yields each number once: packets are
// walked by arrival index, which never repeats, uplinks drop duplicates, the table gives each number to one packet, and what
// a segment has left behind stays behind. Each packet on the RTX SSRC, padding too, has the next of its own, and each on the FEC SSRC.
//
// Everything here is a pure state machine owned by the shard's goroutine; nothing on the way of a packet allocates. A slot
// takes 1.5 kB; one that leaves something out, 8 kB more for its table.
package downlink
