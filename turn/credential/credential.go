package credential

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"time"
)

// MaxTTL bounds how long a credential can live. Check refuses what ends later.
const MaxTTL = time.Hour

// MaxUsername is the longest USERNAME in bytes (RFC 8489 §14.3).
const MaxUsername = 508

// slack is how far the clocks of who mints and who checks may be apart where a credential seems to live longer than MaxTTL.
const slack = time.Minute

// Errors of Parse and Check.
var (
	ErrMalformed = errors.New("credential: username is none that we mint")
	ErrExpired   = errors.New("credential: expired")
	ErrTooLong   = errors.New("credential: ends later than an hour from now")
)

// Subject is whom a credential is of. In the username each field is escaped, so that no value can be taken for another field's.
type Subject struct{ Tenant, User, Call string }

// Credential is what a client needs. Username and Password are printable ASCII, which SASLprep leaves as it is.
type Credential struct {
	Username, Password string
	Expires            time.Time // to the second
}

// Claims is what a username says.
type Claims struct {
	Subject         Subject
	Issued, Expires time.Time // to the second; a username that does not tell Issued is taken for one of MaxTTL
}

// Mint returns a credential that ends ttl after now, at most MaxTTL. It is the zero Credential where the username would be longer
// than MaxUsername.
func Mint(secret []byte, s Subject, now time.Time, ttl time.Duration) Credential {
	seconds := max(0, int64(min(ttl, MaxTTL)/time.Second))
	expires := now.Unix() + seconds
	b := strconv.AppendInt(nil, expires, 10)
	for _, field := range []string{s.Tenant, s.User, s.Call} {
		b = escape(append(b, ':'), field)
	}
	b = strconv.AppendInt(append(b, ':'), seconds, 10)
	if len(b) > MaxUsername {
		return Credential{}
	}
	return Credential{string(b), password(secret, string(b)), time.Unix(expires, 0)}
}

// Parse reads a username, without the proof that a password is. It takes what Mint makes, "expiry:tenant:user:call:ttl", and the
// "expiry:user" of others. ErrMalformed otherwise.
func Parse(username string) (Claims, error) {
	fields := strings.Split(username, ":")
	if len(username) > MaxUsername || len(fields) != 2 && len(fields) != 5 {
		return Claims{}, ErrMalformed
	}
	expires, ok := number(fields[0])
	ttl, some := int64(MaxTTL/time.Second), true
	if len(fields) == 5 {
		ttl, some = number(fields[4])
	}
	var values [3]string
	for i, field := range fields[1:min(len(fields), 4)] {
		value, good := unescape(field)
		values[i], ok = value, ok && good
	}
	if !ok || !some || ttl > int64(MaxTTL/time.Second) {
		return Claims{}, ErrMalformed
	}
	s := Subject{values[0], values[1], values[2]}
	if len(fields) == 2 {
		s = Subject{User: values[0]}
	}
	return Claims{s, time.Unix(expires-ttl, 0), time.Unix(expires, 0)}, nil
}

// Check returns what a username claims and the key that proves it, MD5(username:realm:password) (RFC 8489 §18.5.1.1). The error is
// ErrMalformed, ErrExpired or ErrTooLong.
func Check(secret []byte, username, realm string, now time.Time) (Claims, [16]byte, error) {
	claims, err := Parse(username)
	switch {
	case err != nil:
		return Claims{}, [16]byte{}, err
	case now.Unix() >= claims.Expires.Unix():
		return claims, [16]byte{}, ErrExpired
	case claims.Expires.Unix()-now.Unix() > int64((MaxTTL+slack)/time.Second):
		return claims, [16]byte{}, ErrTooLong
	}
	return claims, Key(username, realm, password(secret, username)), nil
}

// Key is the long-term key of a user (RFC 8489 §18.5.1.1).
func Key(username, realm, password string) [16]byte {
	b := make([]byte, 0, 256)
	b = append(append(b, username...), ':')
	b = append(append(b, realm...), ':')
	return md5.Sum(append(b, password...))
}

func password(secret []byte, username string) string {
	mac := hmac.New(sha1.New, secret)
	mac.Write([]byte(username))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// number reads decimal digits that fit a time, and nothing else.
func number(s string) (int64, bool) {
	if len(s) == 0 || len(s) > 12 {
		return 0, false
	}
	var n int64
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int64(c-'0')
	}
	return n, true
}

const hex = "0123456789ABCDEF"

// plain bytes stand for themselves: those of names and mail addresses.
func plain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~@+=/", c) >= 0
}

func escape(dst []byte, s string) []byte {
	for _, c := range []byte(s) {
		if plain(c) {
			dst = append(dst, c)
		} else {
			dst = append(dst, '%', hex[c>>4], hex[c&15])
		}
	}
	return dst
}

// unescape takes only what escape makes: two usernames are never of one subject and time.
func unescape(s string) (string, bool) {
	if !strings.Contains(s, "%") {
		return s, allPlain(s)
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			if !plain(s[i]) {
				return "", false
			}
			b = append(b, s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", false
		}
		high, low := strings.IndexByte(hex, s[i+1]), strings.IndexByte(hex, s[i+2])
		if high < 0 || low < 0 || plain(byte(high<<4|low)) {
			return "", false
		}
		b = append(b, byte(high<<4|low))
		i += 2
	}
	return string(b), true
}

func allPlain(s string) bool {
	for _, c := range []byte(s) {
		if !plain(c) {
			return false
		}
	}
	return true
}
