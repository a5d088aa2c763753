// Package seq keeps RTP's 16-bit sequence numbers honest: raw uint16 arithmetic lives here and nowhere else.
//
//	wire: ... 65534 65535 0 1 ...
//	        │ Unwrap, then Accept once authenticated
//	        ▼
//	Extended: ... 131070 131071 131072 131073 ...
//
// Pure; one goroutine owns each Unwrapper.
package seq
