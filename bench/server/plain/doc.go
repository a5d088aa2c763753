// Package plain is the smallest SFU that pion/webrtc makes, as anybody would write it in a day: the honest baseline.
//
//	publisher ──► PeerConnection ──► track ──► TrackLocalStaticRTP ──┬─► PeerConnection ──► subscriber
//	          ◄── at most two keyframe requests a second ◄───────────┴─◄
//
// One PeerConnection for each participant carries both ways, with pion's default codecs and interceptors and a socket of its own.
// Over a WebSocket the server offers and the participant answers, again with each change in the room: {"join": ...}, then
// {"offer": SDP} and {"answer": SDP} in turn. Nothing is chosen, paced or resumed, and media goes over UDP alone.
package plain
