// Package voice plays whole voice calls in virtual time: what of a voice is heard, how late, and for how many bytes.
//
//	clip ─► mouth ─► seal ─► Up ─► ╔════════╗ ─► Down ─► open ─► ear: RED, in-band FEC, resends ─► jitter.Buffer ─► heard
//	         ▲ NACK, loss fraction ║ Server ║   NACK, receiver reports, transport-wide feedback ◄──┘
//	         └──────── Up, back ◄─ ╚════════╝ ◄─ Down, back
//
// The server is the real one, whatever it is: it takes an offer and a socket, and is measured from outside. Clients are made by
// hand so that they behave as browsers were measured to: a mouth codes in-band FEC only while it is told of loss, and sends the
// same bytes again when it is asked; an ear takes RED where the answer has it and asks again where the answer lets it. What they
// send is speech coded by libopus, and what an ear plays is compared with it, byte by byte. Links are internal/netsim's.
//
// A Case is data and carries its goals. A Way is how much of what we do is in use: all of it, or some part, so that a table
// shows what each part gives; or what other servers do, which forward redundancy as it comes. Play runs cases, ways and seeds in
// bubbles of testing/synctest, where a minute takes some hundred milliseconds. Goroutines there run in no fixed order, and keys
// are random: equal seeds give equal losses for equal packets, and figures that are alike but not equal.
package voice
