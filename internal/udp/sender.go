package udp

// Sender is a second writing half of a Socket, for a goroutine that is not its owner: with scratch of its own, so that both send
// at once. One goroutine uses a Sender and the queues it flushes.
type Sender interface {
	// Flush is Socket.Flush.
	Flush(q *Queue) error
}

// NewSender returns a further writing half of s. It ends with the socket: Flush then returns ErrClosed.
func NewSender(s Port) Sender {
	if own, ok := s.(interface{ sender() Sender }); ok {
		return own.sender()
	}
	return s // a form whose Flush any goroutine may call: the in-memory one
}
