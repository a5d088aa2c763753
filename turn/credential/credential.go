package credential

import (
	"errors"
	"time"
)

// MaxTTL bounds how long a credential can live. Check refuses what ends later.
const MaxTTL = time.Hour

// MaxUsername is the longest USERNAME in bytes (RFC 8489 §14.3).
const MaxUsername = 508

// Errors of Parse and Check.
var (
	ErrMalformed = errors.New("credential: username is none that we mint")
	ErrExpired   = errors.New("credential: expired")
	ErrTooLong   = errors.New("credential: ends later than an hour from now")
)

// Subject is whom a credential is of. In the username each field is escaped, so that no value can be taken for another field's.
type Subject struct{ Tenant, User, Call string }

// Credential is what a client needs. Username and Password are printable ASCII.
type Credential struct {
	Username, Password string
	Expires            time.Time // to the second
}

// Claims is what a username says.
type Claims struct {
	Subject         Subject
	Issued, Expires time.Time // to the second; a username that does not tell Issued is taken for MaxTTL old at its end
}

// Mint returns a credential that ends ttl after now, at most MaxTTL. It is the zero Credential where the username would be longer
// than MaxUsername.
func Mint(secret []byte, s Subject, now time.Time, ttl time.Duration) Credential { return Credential{} }

// Parse reads a username, without the proof that a password is.
func Parse(username string) (Claims, error) { return Claims{}, ErrMalformed }

// Check returns whom a username is of and the key that proves it, MD5(username:realm:password) (RFC 8489 §18.5.1.1).
func Check(secret []byte, username, realm string, now time.Time) (Claims, [16]byte, error) {
	return Claims{}, [16]byte{}, ErrMalformed
}
