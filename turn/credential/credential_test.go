package credential_test

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v4"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tolkyn/tolkyn/turn/credential"
)

var (
	secret = []byte("north wind")
	start  = time.Unix(1_767_222_000, 500)
	alice  = credential.Subject{Tenant: "acme", User: "alice@example.org", Call: "c-17"}
)

// TestAsOthersComputeIt: what Mint gives is what the draft has, and the key is STUN's.
func TestAsOthersComputeIt(t *testing.T) {
	c := credential.Mint(secret, alice, start, 10*time.Minute)
	require.Equal(t, "1767222600:acme:alice@example.org:c-17:600", c.Username)
	require.Equal(t, int64(1_767_222_600), c.Expires.Unix())
	mac := hmac.New(sha1.New, secret)
	fmt.Fprint(mac, c.Username)
	require.Equal(t, base64.StdEncoding.EncodeToString(mac.Sum(nil)), c.Password)
	claims, key, err := credential.Check(secret, c.Username, "turn", start)
	require.NoError(t, err)
	require.Equal(t, alice, claims.Subject)
	require.Equal(t, start.Unix(), claims.Issued.Unix())
	require.Equal(t, md5.Sum([]byte(c.Username+":turn:"+c.Password)), key)
	require.Equal(t, []byte(stun.NewLongTermIntegrity(c.Username, "turn", c.Password)), key[:])
}

func TestTime(t *testing.T) {
	c := credential.Mint(secret, alice, start, 48*time.Hour)
	require.Equal(t, start.Unix()+3600, c.Expires.Unix(), "never longer than an hour")
	for _, at := range []struct {
		offset time.Duration
		want   error
	}{
		{0, nil},
		{-50 * time.Second, nil},
		{-2 * time.Minute, credential.ErrTooLong},
		{time.Hour - time.Second, nil},
		{time.Hour, credential.ErrExpired},
	} {
		_, _, err := credential.Check(secret, c.Username, "turn", start.Add(at.offset))
		require.ErrorIs(t, err, at.want, at.offset)
	}
	require.Equal(t, start.Unix(), credential.Mint(secret, alice, start, -time.Hour).Expires.Unix())
}

func TestMalformed(t *testing.T) {
	for _, username := range []string{
		"", ":", "alice", "1767222600", "1767222600:a:b", "1767222600:a:b:c", "1767222600:a:b:c:d:e", "x:a", "-1:a", "+1767222600:a",
		" 1767222600:a", "9999999999999999999999:a", "1767222600:a\x00b", "1767222600:%", "1767222600:%0", "1767222600:%0g",
		"1767222600:%61", "1767222600:%3a", "1767222600:ä", "1767222600:a:b:c:99999", "1767222600:a:b:c:", ":a:b:c:600",
		"1767222600:" + strings.Repeat("a", 500),
	} {
		_, _, err := credential.Check(secret, username, "turn", start)
		require.ErrorIs(t, err, credential.ErrMalformed, "%q", username)
	}
	claims, _, err := credential.Check(secret, "1767222600:alice%3Abob%00", "turn", start)
	require.NoError(t, err)
	require.Equal(t, credential.Subject{User: "alice:bob\x00"}, claims.Subject, "the username of other programs")
	require.Zero(t, credential.Mint(secret, credential.Subject{User: strings.Repeat("é", 100)}, start, time.Minute), "longer than STUN has it")
}

// TestNoValueIsAnothersField: whatever the fields hold, ':' and NUL too, they come back as they were, and no two subjects have one
// username.
func TestNoValueIsAnothersField(t *testing.T) {
	field := rapid.StringOfN(rapid.RuneFrom([]rune("ab:%\x00\n é0")), 0, 12, -1)
	draw := func(t *rapid.T, of string) credential.Subject {
		return credential.Subject{Tenant: field.Draw(t, of), User: field.Draw(t, of), Call: field.Draw(t, of)}
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := draw(t, "a"), draw(t, "b")
		one, other := credential.Mint(secret, a, start, time.Minute), credential.Mint(secret, b, start, time.Minute)
		require.Equal(t, a == b, one.Username == other.Username)
		for _, c := range []byte(one.Username) {
			require.True(t, c > ' ' && c < 0x7F)
		}
		claims, _, err := credential.Check(secret, one.Username, "turn", start)
		require.NoError(t, err)
		require.Equal(t, a, claims.Subject)
	})
}

func TestRevocations(t *testing.T) {
	var r credential.Revocations
	require.False(t, r.Revoked(alice, start))
	r.Revoke(credential.Subject{Tenant: "acme", User: alice.User}, start)
	require.True(t, r.Revoked(alice, start), "in any call")
	require.True(t, r.Revoked(alice, start.Add(-time.Minute)))
	require.False(t, r.Revoked(alice, start.Add(time.Second)), "who gets new ones is welcome again")
	require.False(t, r.Revoked(credential.Subject{Tenant: "other", User: alice.User}, start))
	require.False(t, r.Revoked(credential.Subject{Tenant: "acme", User: "bob", Call: alice.Call}, start))
	r.Revoke(credential.Subject{Call: alice.Call}, start)
	require.True(t, r.Revoked(credential.Subject{Tenant: "acme", User: "bob", Call: alice.Call}, start), "the whole call")
	r.Revoke(credential.Subject{}, start)
	require.True(t, r.Revoked(credential.Subject{Tenant: "any", User: "one"}, start))

	for _, whole := range []credential.Subject{{Tenant: "acme"}, {User: alice.User}, {Call: alice.Call}, {}, alice} {
		require.True(t, whole.Matches(alice))
		require.Equal(t, whole.Tenant == "", whole.Matches(credential.Subject{Tenant: "b", User: alice.User, Call: alice.Call}))
	}
}

// TestRevocationsAreBounded in number and in time.
func TestRevocationsAreBounded(t *testing.T) {
	var r credential.Revocations
	user := func(i int) credential.Subject { return credential.Subject{User: fmt.Sprint(i)} }
	for i := range 20_000 {
		r.Revoke(user(i), start)
	}
	require.False(t, r.Revoked(user(0), start), "the oldest is forgotten")
	require.True(t, r.Revoked(user(19_999), start))
	require.True(t, r.Revoked(user(20_000-16_384), start))
	r.Revoke(user(1_000_000), start.Add(2*time.Hour))
	require.False(t, r.Revoked(user(19_999), start), "none of its credentials is alive")
}

// FuzzUsername: what Parse takes is what Mint makes of it, or the short form of others.
func FuzzUsername(f *testing.F) {
	f.Add("1767222600:acme:alice@example.org:c-17:600")
	f.Add("1767222600:alice%3Abob%00")
	f.Fuzz(func(t *testing.T, username string) {
		claims, err := credential.Parse(username)
		if err != nil || strings.Count(username, ":") == 1 {
			return
		}
		ttl := claims.Expires.Sub(claims.Issued)
		again, err := credential.Parse(credential.Mint(secret, claims.Subject, claims.Issued, ttl).Username)
		require.NoError(t, err)
		require.Equal(t, claims, again)
	})
}
