package signaling

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"time"
)

// Secret is what a server must not forget when it restarts, and what the servers of a cluster share: with it tickets for
// early data (0-RTT), address tokens and the resets of dead connections hold from one to the next. Whoever knows it can read
// what clients send early. Everything is derived from it by HKDF (RFC 5869, SHA-256).
type Secret [32]byte

// NewSecret returns a random one.
func NewSecret() Secret {
	var s Secret
	// Never fails: crypto/rand ends the program instead.
	_, _ = rand.Read(s[:])
	return s
}

// ticketDays is how long a ticket is good for, besides the day it was made on.
const ticketDays = 2

// ticketKeys seal and open session tickets: the first is today's and seals. Those of the days before still open, and
// tomorrow's, for a server of the cluster whose clock is ahead.
func (s Secret) ticketKeys(now time.Time) [][32]byte {
	keys := [][32]byte{s.ticketKey(now)}
	for days := 1; days <= ticketDays; days++ {
		keys = append(keys, s.ticketKey(now.AddDate(0, 0, -days)))
	}
	return append(keys, s.ticketKey(now.AddDate(0, 0, 1)))
}

func (s Secret) ticketKey(day time.Time) [32]byte {
	return s.derive("tolkyn ticket " + day.UTC().Format(time.DateOnly))
}

// tokenKey seals the tokens by which a client proves its address (Retry, NEW_TOKEN).
func (s Secret) tokenKey() [32]byte { return s.derive("tolkyn address token") }

// resetKey makes the stateless resets: a client then learns with its next packet that the server has forgotten it.
func (s Secret) resetKey() [32]byte { return s.derive("tolkyn stateless reset") }

func (s Secret) derive(purpose string) [32]byte {
	// Fails only for more than 255 hashes, or for a short secret where FIPS 140 is enforced.
	key, err := hkdf.Key(sha256.New, s[:], nil, purpose, 32)
	if err != nil {
		panic("signaling: hkdf: " + err.Error())
	}
	return [32]byte(key)
}

func (s Secret) isZero() bool { return s == Secret{} }
