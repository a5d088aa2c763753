// Package srtp opens and seals SRTP and SRTCP in place, without allocating and without error values on the packet path.
//
//	DTLS exporter ──► KeysFromExporter ──► Key ──┬──► NewSealer                    NewOpener
//	                                             │
//	b: header│plaintext ── SealRTP ──► header│ciphertext│tag ── OpenRTP ──► header│plaintext, Extended, OK
//	               one seal per (SSRC, Extended)             │
//	                                      replay window ─► authenticate ─► only now: rollover, window, new SSRC
//
// Profiles: AEAD_AES_128_GCM and AEAD_AES_256_GCM (RFC 7714), AES128_CM_HMAC_SHA1_80 (RFC 3711). No MKI, no key
// derivation rate, always encrypted and authenticated, as WebRTC has it (RFC 8827 §6.5).
//
// One goroutine owns a Sealer or an Opener.
package srtp
