// Package rtcp reads and writes RTCP without allocating (given room in dst), and records arrivals for feedback by packets.
//
//	compound: │SR│SDES│NACK│PLI│ ──► Read ──► Next ──► Packet ──► SenderReport · Block · NACKs · MediaSSRC · REMB · …
//	                                                     │
//	                                      (times: Clock) └──► TransportArrivals · CongestionArrivals ──► Arrival
//
//	AppendSenderReport · AppendSDES · AppendNACK · AppendPLI · AppendREMB · … ──► dst ──► srtp.Sealer.SealRTCP
//
//	arrivals (now, number) ────────────► TransportRecorder.Handle ──┐ ring of 2048
//	arrivals (now, SSRC, number, ECN) ─► CongestionRecorder.Handle ─┤ ring of 1024 a stream
//	                                                 every 50 ms    └─► Append ──► transport-wide feedback · RFC 8888
//
// RFC 3550 §6, RFC 4585 §6, RFC 5104 §4.3.1, RFC 8888, draft-holmer-rmcat-transport-wide-cc-extensions-01,
// draft-alvestrand-rmcat-remb-03. Reading takes any order of packets, as RFC 5506 allows. No input makes it panic. Pure; one
// goroutine owns each recorder and each Clock.
package rtcp
