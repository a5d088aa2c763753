package udp

// Socket is a batched UDP socket.
type Socket interface{ Close() error }
