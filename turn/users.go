package turn

import (
	"crypto/md5" //nolint:gosec // long-term credentials are made of it (RFC 8489 §9.2.2)
	"sync"
	"time"

	"github.com/tolkyn/tolkyn/turn/credential"
)

// users knows who may allocate: by credentials that another minted with one of our secrets, or by a password of the configuration.
type users struct {
	// Fixed after newUsers.
	realm   string
	secrets [][]byte
	static  map[string][16]byte
	began   time.Time // passwords of the configuration count as issued then

	// Guarded by mu.
	mu      sync.Mutex
	revoked credential.Revocations
}

func newUsers(realm string, secrets [][]byte, static map[string]string) *users {
	u := &users{realm: realm, secrets: secrets, static: make(map[string][16]byte), began: time.Now()}
	for name, password := range static {
		u.static[name] = md5.Sum([]byte(name + ":" + realm + ":" + password))
	}
	return u
}

// key is control.Config.Key: a password of the configuration, or each secret in turn.
func (u *users) key(username string, now time.Time, try int) (credential.Subject, [16]byte, bool) {
	if key, ok := u.static[username]; ok {
		who := credential.Subject{User: username}
		return who, key, try == 0 && !u.isRevoked(who, u.began)
	}
	if try >= len(u.secrets) {
		return credential.Subject{}, [16]byte{}, false
	}
	claims, key, err := credential.Check(u.secrets[try], username, u.realm, now)
	if err != nil || u.isRevoked(claims.Subject, claims.Issued) {
		return credential.Subject{}, [16]byte{}, false
	}
	return claims.Subject, key, true
}

func (u *users) isRevoked(who credential.Subject, issued time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.revoked.Revoked(who, issued)
}

func (u *users) revoke(who credential.Subject, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.revoked.Revoke(who, now)
}
