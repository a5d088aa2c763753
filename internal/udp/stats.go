package udp

import "sync/atomic"

// Stats are a socket's counters since Listen.
type Stats struct {
	ReceivedDatagrams, ReceivedBytes uint64
	SentDatagrams, SentBytes         uint64

	ReceiveCalls, SendCalls uint64 // system calls that read or sent

	// Drops, in datagrams.
	Overflow     uint64 // arrived while the receive buffer was full; what GRO had joined counts once (SO_RXQ_OVFL does so)
	Truncated    uint64 // longer than MaxDatagram
	SendAgain    uint64 // the send buffer was full
	SendError    uint64 // the destination was refused: unreachable, of the wrong address family, too long for its path
	ReceiveError uint64 // reads that failed, by an ICMP error for instance; nothing is lost

	GSO          bool   // runs leave as one message
	GRO          bool   // the kernel joins what it receives
	GSOFallbacks uint64 // runs that had to be sent again without GSO
}

// counters back Stats. Atomic.
type counters struct {
	receivedDatagrams, receivedBytes atomic.Uint64
	sentDatagrams, sentBytes         atomic.Uint64
	receiveCalls, sendCalls          atomic.Uint64
	overflow, truncated              atomic.Uint64
	sendAgain, sendError             atomic.Uint64
	receiveError                     atomic.Uint64
	gsoFallbacks                     atomic.Uint64
}

func (c *counters) stats() Stats {
	return Stats{
		ReceivedDatagrams: c.receivedDatagrams.Load(), ReceivedBytes: c.receivedBytes.Load(),
		SentDatagrams: c.sentDatagrams.Load(), SentBytes: c.sentBytes.Load(),
		ReceiveCalls: c.receiveCalls.Load(), SendCalls: c.sendCalls.Load(),
		Overflow: c.overflow.Load(), Truncated: c.truncated.Load(),
		SendAgain: c.sendAgain.Load(), SendError: c.sendError.Load(),
		ReceiveError: c.receiveError.Load(),
		GSOFallbacks: c.gsoFallbacks.Load(),
	}
}

func (c *counters) received(datagrams, bytes int) {
	c.receivedDatagrams.Add(uint64(datagrams))
	c.receivedBytes.Add(uint64(bytes))
}

func (c *counters) sent(datagrams, bytes int) {
	c.sentDatagrams.Add(uint64(datagrams))
	c.sentBytes.Add(uint64(bytes))
}
