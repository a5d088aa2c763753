// Package udp moves datagrams between the kernel and one shard, a batch at a time.
//
//	                     ┌──────────── Socket ─────────────┐
//	network ── Read ───► │ Batch: datagrams, already split │ ──► shard
//	network ◄─ Flush ─── │ Queue: runs of equal datagrams  │ ◄── shard
//	network ◄─ WriteTo ─ │ one datagram, any goroutine     │ ◄── handshakes
//	                     │ Wait / Wake                     │
//	                     └─────────────────────────────────┘
//
// A socket has three forms that behave the same under one test suite:
//
//   - raw (Linux): a descriptor of our own with recvmmsg, sendmmsg, GSO and GRO, and a private epoll in which Wait sleeps;
//   - portable (other systems, or Config.Portable): a net.UDPConn, batched by golang.org/x/net where that batches;
//   - in-memory: Socket of a host of package netsim, which blocks on channels only and so lives in a testing/synctest bubble.
//
// One goroutine, the shard, calls Read, Flush and Wait. It reads until Read returns 0, flushes what it wrote, then waits:
//
//	for {
//		for n, err := socket.Read(batch); n > 0 && err == nil; n, err = socket.Read(batch) {
//			// handle batch.Datagram(0) .. batch.Datagram(n-1), write answers with queue.Next and queue.Commit
//			_ = socket.Flush(queue)
//		}
//		if socket.Wait(untilTheNextTimer) != nil {
//			return
//		}
//	}
//
// ECN bits (RFC 3168) are read where Config.ECN asks for them, Batch.ECN, and set for each datagram by Queue.Mark: in the raw form
// as control messages that are there only then, in the in-memory form by the simulated links, in the portable form not at all.
//
// Nothing here allocates per datagram. A datagram that cannot be sent or taken is dropped and counted in Stats by its reason;
// the only error of the packet path is ErrClosed.
package udp
