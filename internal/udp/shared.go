package udp

// Shared is one port on all IPv4 addresses of this machine at once: Batch.To tells which of them a datagram was sent to,
// Queue.NextFrom and WriteFrom choose the one it leaves from. A thousand clients on addresses of their own, 127.0.0.0/8 has
// sixteen million, are then one socket to read and one system call to send with. Linux only.
//
//	127.64.0.1:40000 ◄─┐
//	127.64.0.2:40000 ◄─┼── Shared ── Read, To ──► clients
//	127.64.0.3:40000 ◄─┘
type Shared struct{ Socket }
