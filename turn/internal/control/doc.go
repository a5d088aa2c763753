// Package control is TURN's control plane (RFC 8656) as a pure core: requests go in with the time, answers come out, and what is
// allocated, permitted and bound stands inside. It has no socket: Config.Open asks the shell for a relay port.
//
//	request ──► Handle(now, from, b) ──► answer, or none
//	              │ well formed? FINGERPRINT right?                              no: silence
//	              │ MESSAGE-INTEGRITY, nonce of this address and hour, user      no: 401, 438 from a budget for each source
//	              │ attributes that we do not know                               420
//	              │ the same user as who allocated                               441
//	              ▼
//	           Allocate, Refresh, CreatePermission, ChannelBind ──► Allocation, by Client and by relayed address
//	                                                                   ▲
//	packet ──► Find, Relayed ──► Peer, May, Channel ───────────────────┘   reads only: no copies, no garbage
//	time   ──► Expire ──► what ran out is closed
package control
