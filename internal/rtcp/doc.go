// Package rtcp reads and writes RTCP without allocating (given room in dst), and records arrivals for transport-wide
// feedback.
//
//	compound: │SR│SDES│NACK│PLI│ ──► Read ──► Next ──► Packet ──► SenderReport · Block · NACKs · MediaSSRC · …
//
//	AppendSenderReport · AppendSDES · AppendNACK · AppendPLI · … ──► dst ──► srtp.Sealer.SealRTCP
//
//	arrivals (now, number) ──► TransportRecorder.Handle ─┐ ring of 2048
//	                                     every 50 ms     └─► Append ──► transport-wide feedback
//
// RFC 3550 §6, RFC 4585 §6, RFC 5104 §4.3.1, draft-holmer-rmcat-transport-wide-cc-extensions-01. Reading takes any
// order of packets, as RFC 5506 allows. No input makes it panic. Pure; one goroutine owns each TransportRecorder.
package rtcp
