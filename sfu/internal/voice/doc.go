// Package voice decides how a subscriber's voices are protected against loss: with which copies of earlier packets each packet
// goes out (RED, RFC 2198), or with none. It is a pure core, one Path a subscriber.
//
//	outcomes, packet by packet ──► Run: how long are losses? ──► alone, or in bursts ─┐
//	  (or a report's share)   └──► how many of the last 1, 2, 4 s ──► how much is sure ┤
//	                                                                                   ▼
//	 Plain ◄────── 12 s and 200 packets that need less ────── Light Medium Full Most Bursts Long
//	   └────────────── more at once: within a second ───────────────►          │
//	                                                                           ▼
//	what congestion control gives, and whether loss follows our own rate ──► lower, down to Plain
//
// Distances of the copies, in packets:
//
//	                       from a loss of about     with in-band FEC     without
//	Plain                                           –                    –
//	Light                  2.5 %                    2                    1
//	Medium                   7 %                    2                    1 2
//	Full                    14 %                    2 4                  1 2
//	Most                    27 %                    2 4                  1 2 3
//	Bursts, of 3 or so       4 %                    2 5                  1 3 5
//	Long, of 4 and more      4 %                    3 6                  2 5 8
//
// Opus' in-band FEC makes a packet carry the one before it, and so does each copy of it: copies at 2 and 4 cover losses of up to
// five in a row. What is left of 30 % random loss is p⁶, 0.07 %, at 2.1 times the bytes of plain packets; {2} leaves p⁴, 0.8 %.
// Chromium was measured at 0.04 and 0.8 %. Without FEC a copy covers itself alone.
//
// Loss is believed as far as it is sure, one and a half standard errors below what was counted: a packet lost in a clean second
// costs nothing. A subscriber who may ask for packets again, on a round trip of 60 ms at most, is left to that up to 3 %.
//
// Copies must not feed a queue. Sound with them takes nine tenths of the estimate at most; while the estimator sees congestion
// they are reduced each second, and nothing is added. An estimate that is held, because no more is sent, is tried by a mode more
// now and then. Where feedback comes in reports alone, which cannot tell random loss from congestion, less is tried for three
// seconds now and then: if as much of the loss goes with it as a bottleneck would have it, the loss was ours, and it stays so.
package voice
