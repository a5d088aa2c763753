package signaling

import (
	"crypto/sha256"
	"errors"
	"sync"
	"time"
)

// Bounds of invites.
const (
	// InviteLifetime is how long a printed URL lets people in.
	InviteLifetime = 10 * time.Minute
	// maxInvites that are good at one time.
	maxInvites = 1024
)

// The ways an invite can fail.
var (
	// ErrNoInvite: unknown or expired; the two are not told apart.
	ErrNoInvite = errors.New("no such invite, or it has expired: ask for a new link")
	// ErrTooManyInvites: so many are good already that no more are made until some expire.
	ErrTooManyInvites = errors.New("too many invites are open")
)

// Invites are secrets in printed URLs and QR codes, each good for anybody who holds it until it expires. Safe from any
// goroutine; the caller brings the time. The zero value is ready to use.
type Invites struct {
	// Guarded by mu.
	mu sync.Mutex
	// By hash, so that looking one up tells nothing through its timing.
	open map[[sha256.Size]byte]invite
}

type invite struct {
	grants  Grants
	expires time.Time
}

// Issue makes an invite of 128 random bits into a room (Identity in g is ignored), good for InviteLifetime.
func (i *Invites) Issue(g Grants, now time.Time) (code string, err error) {
	g.Identity = "guest"
	if err := g.check(); err != nil {
		return "", err
	}
	code = randomText(16)

	i.mu.Lock()
	defer i.mu.Unlock()
	for hash, in := range i.open {
		if !now.Before(in.expires) {
			delete(i.open, hash)
		}
	}
	if len(i.open) >= maxInvites {
		return "", ErrTooManyInvites
	}
	if i.open == nil {
		i.open = make(map[[sha256.Size]byte]invite)
	}
	i.open[sha256.Sum256([]byte(code))] = invite{grants: g, expires: now.Add(InviteLifetime)}
	return code, nil
}

// Exchange returns what the invite grants, with an identity of its own for each call: a guest cannot take another's place.
func (i *Invites) Exchange(code string, now time.Time) (Grants, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	in, ok := i.open[sha256.Sum256([]byte(code))]
	if !ok || !now.Before(in.expires) {
		return Grants{}, ErrNoInvite
	}
	in.grants.Identity = guestName()
	return in.grants, nil
}

// guestName is an identity that nobody else has.
func guestName() string {
	return "guest-" + randomText(12) // 96 bits: not to be guessed
}
