// Package capture keeps what a real browser sent, so that tests can play it again.
//
//	NAME.json       browser, what it was asked for, codec, payload types, extension ids, SSRC and RID of each encoding
//	NAME.rtpdump    ┌ 0 ms   RTP ┐
//	                │ 1 ms   RTP │   as it came out of SRTP: header extensions and padding included, in order of arrival;
//	                │ 1 ms   SR  │   sender reports among them; retransmissions left out
//	                └ 34 ms  RTP ┘
//
// The dump is a file of rtptools (https://www.cs.columbia.edu/irt/software/rtptools/), which Wireshark reads as well.
package capture
