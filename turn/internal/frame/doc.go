// Package frame finds STUN messages and ChannelData in the bytes of a TCP or TLS connection (RFC 8656 §2.1, §12.5). It is a pure
// core.
//
//	bytes as they were read ──► Reader.Next ──► frame, frame, …            most frames lie in the bytes and are not copied
//	                               │
//	                               ├── the beginning of a frame is kept until its end comes
//	                               └── neither STUN nor ChannelData, or longer than MaxSize: the connection is at its end
package frame
