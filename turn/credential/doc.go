// Package credential mints and checks the short-lived credentials of TURN clients (draft-uberti-behave-turn-rest-00): a username
// that says when it ends and whom it is of, and a password that whoever has the secret can compute from it. Nothing is stored, so
// the server that mints and the relay that checks need to share the secret alone. It is a pure core.
//
//	signaling: Mint(secret, subject, now, ttl) ──► "1767225600:tenant:user:call:3600", base64(HMAC-SHA1(secret, username))
//	                                                   │ to the client, in Welcome
//	relay: Check(secret, username, realm, now) ◄───────┘ in USERNAME ──► subject, key of MESSAGE-INTEGRITY
//	       Revocations.Revoked(subject, issued) ── whoever left the call is refused before the hour is over
//
// coturn takes the same credentials with --use-auth-secret, and Check takes coturn's "expiry:user".
package credential
