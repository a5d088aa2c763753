package signaling

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"
)

// Bounds of tokens.
const (
	// TokenLifetime is how far ahead a token may expire: a stolen one is of little use, and it is needed for Hello only.
	TokenLifetime = 10 * time.Minute
	// tokenSkew forgives clocks that differ.
	tokenSkew = 60 * time.Second
	// maxToken in bytes, checked before anything is parsed (CVE-2025-30204: a megabyte of dots).
	maxToken = 8 << 10
	// minSecret in bytes: RFC 7518 section 3.2 wants a key no shorter than the hash.
	minSecret = 32
	// maxName bounds identities, rooms and display names, in bytes.
	maxName = 128
)

// ErrUnauthorized is wrapped by every refusal of a token; the text names the claim and the fix.
var ErrUnauthorized = errors.New("token refused")

// Grants are what a token allows its bearer.
type Grants struct {
	Identity  string // claim sub
	Tenant    string
	Room      string
	Publish   bool // may send
	Subscribe bool // may receive
}

// check names the first claim that is absent or not fit to be a name. Control characters would reach logs and terminals.
func (g Grants) check() error {
	for _, c := range []struct{ claim, value string }{{"sub", g.Identity}, {"tenant", g.Tenant}, {"room", g.Room}} {
		if err := checkName(c.value); err != nil {
			return fmt.Errorf("claim %s: %w", c.claim, err)
		}
	}
	return nil
}

func checkName(s string) error {
	switch {
	case s == "":
		return errors.New("is missing")
	case len(s) > maxName:
		return fmt.Errorf("has %d bytes, at most %d", len(s), maxName)
	case !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }):
		return errors.New("holds characters that cannot be printed")
	}
	return nil
}

// Key signs and checks tokens. The key, never the token, decides on the algorithm: a Secret means HS256, the others EdDSA.
type Key struct {
	ID      string             // the token's kid
	Secret  []byte             // HS256: at least 32 bytes
	Public  ed25519.PublicKey  // EdDSA: checks
	Private ed25519.PrivateKey // EdDSA: signs, and checks when Public is nil
}

// String names the key without what is secret in it.
func (k Key) String() string { return "key " + k.ID }

// GoString is String: %#v must not print secrets either.
func (k Key) GoString() string { return k.String() }

// LogValue is String for slog.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// checking returns what checks a signature of this key.
func (k Key) checking() (jwt.SigningMethod, any, error) {
	public := k.Public
	if public == nil && len(k.Private) == ed25519.PrivateKeySize {
		public = ed25519.PublicKey(k.Private[ed25519.PrivateKeySize-ed25519.PublicKeySize:])
	}
	switch {
	case k.ID == "":
		return nil, nil, errors.New("key has no id")
	case k.Secret != nil && (k.Public != nil || k.Private != nil):
		return nil, nil, fmt.Errorf("%v is both HS256 and EdDSA", k)
	case k.Secret != nil && len(k.Secret) < minSecret:
		return nil, nil, fmt.Errorf("%v: the secret has %d bytes, at least %d", k, len(k.Secret), minSecret)
	case k.Secret != nil:
		return jwt.SigningMethodHS256, k.Secret, nil
	case len(public) != ed25519.PublicKeySize:
		return nil, nil, fmt.Errorf("%v has neither a secret nor an Ed25519 key", k)
	}
	return jwt.SigningMethodEdDSA, public, nil
}

type claims struct {
	jwt.RegisteredClaims

	Tenant    string `json:"tenant"`
	Room      string `json:"room"`
	Publish   bool   `json:"publish"`
	Subscribe bool   `json:"subscribe"`
}

// Mint signs a token that is good from now for lifetime; 0 means TokenLifetime, which is also the most.
func Mint(key Key, g Grants, now time.Time, lifetime time.Duration) (string, error) {
	if lifetime == 0 {
		lifetime = TokenLifetime
	}
	if lifetime < 0 || lifetime > TokenLifetime {
		return "", fmt.Errorf("mint token: lifetime %v is not within 1s and %v", lifetime, TokenLifetime)
	}
	if err := g.check(); err != nil {
		return "", fmt.Errorf("mint token: %w", err)
	}
	method, _, err := key.checking()
	if err != nil {
		return "", fmt.Errorf("mint token: %w", err)
	}
	var signing any = key.Secret
	if method == jwt.SigningMethodEdDSA {
		if len(key.Private) != ed25519.PrivateKeySize {
			return "", fmt.Errorf("mint token: %v has no private half", key)
		}
		signing = key.Private
	}
	token := jwt.NewWithClaims(method, claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Subject:   g.Identity,
			IssuedAt:  jwt.NewNumericDate(now),
			ExpiresAt: jwt.NewNumericDate(now.Add(lifetime)),
		},
		Tenant: g.Tenant, Room: g.Room, Publish: g.Publish, Subscribe: g.Subscribe,
	})
	token.Header["kid"] = key.ID
	text, err := token.SignedString(signing)
	if err != nil {
		return "", fmt.Errorf("mint token: %w", err)
	}
	return text, nil
}

// Verifier checks tokens against a fixed set of keys. Safe from any goroutine.
type Verifier struct {
	// Fixed after New.
	keys map[string]checkingKey
}

type checkingKey struct {
	algorithm string
	material  any
}

// NewVerifier takes the keys that this server trusts. It fails on none, on a weak one and on two with one id.
func NewVerifier(keys ...Key) (*Verifier, error) {
	if len(keys) == 0 {
		return nil, errors.New("no key to check tokens with")
	}
	v := &Verifier{keys: make(map[string]checkingKey, len(keys))}
	for _, key := range keys {
		method, material, err := key.checking()
		if err != nil {
			return nil, err
		}
		if _, twice := v.keys[key.ID]; twice {
			return nil, fmt.Errorf("two keys have the id %q", key.ID)
		}
		v.keys[key.ID] = checkingKey{algorithm: method.Alg(), material: material}
	}
	return v, nil
}

// Verify returns what the token grants at the wall-clock time now. Every error wraps ErrUnauthorized.
func (v *Verifier) Verify(token string, now time.Time) (Grants, error) {
	if len(token) > maxToken {
		return Grants{}, refuse("it has %d bytes, at most %d", len(token), maxToken)
	}
	if strings.ContainsAny(token, "\r\n") {
		// encoding/base64 skips them: one token would have many spellings.
		return Grants{}, refuse("it holds line breaks")
	}
	var c claims
	parser := jwt.NewParser(
		jwt.WithTimeFunc(func() time.Time { return now }),
		jwt.WithLeeway(tokenSkew), jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithStrictDecoding(),
	)
	_, err := parser.ParseWithClaims(token, &c, v.key)
	switch {
	case errors.Is(err, jwt.ErrTokenMalformed):
		return Grants{}, refuse("it is not a JWT of three parts")
	case errors.Is(err, jwt.ErrTokenRequiredClaimMissing):
		return Grants{}, refuse("claim exp is missing")
	case errors.Is(err, jwt.ErrTokenExpired):
		return Grants{}, refuse("claim exp: it has expired, get a new one")
	case errors.Is(err, jwt.ErrTokenNotValidYet), errors.Is(err, jwt.ErrTokenUsedBeforeIssued):
		return Grants{}, refuse("claim nbf or iat is in the future, check the clock of whoever signs")
	case err != nil:
		// One text for an unknown key, a wrong algorithm and a wrong signature: which of them is nobody's business.
		return Grants{}, refuse("no key of this server signed it")
	case c.ExpiresAt.Sub(now) > TokenLifetime+tokenSkew:
		return Grants{}, refuse("claim exp is more than %v ahead", TokenLifetime)
	}
	g := Grants{Identity: c.Subject, Tenant: c.Tenant, Room: c.Room, Publish: c.Publish, Subscribe: c.Subscribe}
	if err := g.check(); err != nil {
		return Grants{}, refuse("%w", err)
	}
	return g, nil
}

// key finds the key a token names and holds it to that key's algorithm.
func (v *Verifier) key(token *jwt.Token) (any, error) {
	// RFC 7515 section 4.1.11: extensions that must be understood. We understand none.
	if _, critical := token.Header["crit"]; critical {
		return nil, errors.New("critical header extension")
	}
	id, ok := token.Header["kid"].(string)
	if !ok {
		return nil, errors.New("header kid is no text")
	}
	key, ok := v.keys[id]
	if !ok {
		return nil, errors.New("unknown kid")
	}
	if token.Method.Alg() != key.algorithm {
		return nil, errors.New("another algorithm than the key's")
	}
	return key.material, nil
}

func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrUnauthorized, fmt.Errorf(format, args...))
}
