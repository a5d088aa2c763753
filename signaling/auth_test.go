package signaling

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	tokenNow = time.Unix(1_800_000_000, 0)
	hsKey    = Key{ID: "hs", Secret: []byte("0123456789abcdef0123456789abcdef")}
	edKey    = Key{ID: "ed", Private: ed25519.NewKeyFromSeed([]byte("fedcba9876543210fedcba9876543210"))}
	aru      = Grants{Identity: "aru", Tenant: "acme", Room: "r1", Publish: true, Subscribe: true}
)

func edPublic() ed25519.PublicKey {
	public, ok := edKey.Private.Public().(ed25519.PublicKey)
	if !ok {
		panic("an Ed25519 key has another public half")
	}
	return public
}

func testVerifier(t testing.TB) *Verifier {
	v, err := NewVerifier(hsKey, Key{ID: "ed", Public: edPublic()})
	require.NoError(t, err)
	return v
}

func TestMintedTokensVerify(t *testing.T) {
	v := testVerifier(t)
	for _, key := range []Key{hsKey, edKey} {
		token, err := Mint(key, aru, tokenNow, 0)
		require.NoError(t, err)
		for _, at := range []time.Duration{-59 * time.Second, 0, 10 * time.Minute, 10*time.Minute + 59*time.Second} {
			g, err := v.Verify(token, tokenNow.Add(at))
			require.NoError(t, err, "%v %v", key, at)
			require.Equal(t, aru, g)
		}
		for _, at := range []time.Duration{-61 * time.Second, 11*time.Minute + time.Second} {
			_, err = v.Verify(token, tokenNow.Add(at))
			require.ErrorIs(t, err, ErrUnauthorized)
		}
	}
}

func TestGrantsAreDeniedUnlessGiven(t *testing.T) {
	token, err := Mint(hsKey, Grants{Identity: "a", Tenant: "t", Room: "r"}, tokenNow, time.Minute)
	require.NoError(t, err)
	g, err := testVerifier(t).Verify(token, tokenNow)
	require.NoError(t, err)
	require.False(t, g.Publish || g.Subscribe)
}

// forge builds a token out of any header and claims, signed with HS256 and hsKey unless sign says otherwise.
type forge struct {
	header map[string]any
	claims map[string]any
	raw    string              // instead of the claims' JSON
	sign   func([]byte) []byte // nil: HMAC-SHA256 with hsKey
}

func (f forge) token() string {
	header := map[string]any{"alg": "HS256", "kid": "hs", "typ": "JWT"}
	maps.Copy(header, f.header)
	claims := map[string]any{
		"sub": "aru", "tenant": "acme", "room": "r1", "publish": true, "subscribe": true,
		"exp": tokenNow.Unix() + 60, "iat": tokenNow.Unix(),
	}
	maps.Copy(claims, f.claims)
	for _, m := range []map[string]any{header, claims} {
		maps.DeleteFunc(m, func(_ string, v any) bool { return v == absent })
	}
	body := f.raw
	if body == "" {
		body = string(asJSON(claims))
	}
	text := b64(asJSON(header)) + "." + b64([]byte(body))
	sign := f.sign
	if sign == nil {
		sign = hs(hsKey.Secret)
	}
	return text + "." + b64(sign([]byte(text)))
}

const absent = "\x00absent"

func asJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func hs(secret []byte) func([]byte) []byte {
	return func(b []byte) []byte {
		m := hmac.New(sha256.New, secret)
		m.Write(b)
		return m.Sum(nil)
	}
}

func ed(b []byte) []byte      { return ed25519.Sign(edKey.Private, b) }
func nothing(b []byte) []byte { return nil }

func TestHostileTokens(t *testing.T) {
	v := testVerifier(t)
	_, err := v.Verify(forge{}.token(), tokenNow)
	require.NoError(t, err, "the forge itself makes good tokens")
	_, err = v.Verify(forge{header: h("alg", "EdDSA", "kid", "ed"), sign: ed}.token(), tokenNow)
	require.NoError(t, err)

	good := forge{}.token()
	parts := strings.Split(good, ".")
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: edPublic()})
	minute := int64(60)

	vectors := map[string]string{
		// The algorithm.
		"alg none":                              forge{header: h("alg", "none"), sign: nothing}.token(),
		"alg None":                              forge{header: h("alg", "None"), sign: nothing}.token(),
		"alg NONE with a signature":             forge{header: h("alg", "NONE")}.token(),
		"alg empty":                             forge{header: h("alg", "")}.token(),
		"alg absent":                            forge{header: h("alg", absent)}.token(),
		"alg a number":                          forge{header: h("alg", 1)}.token(),
		"alg a list":                            forge{header: h("alg", []string{"HS256"})}.token(),
		"alg in lower case":                     forge{header: h("alg", "hs256")}.token(),
		"HS512 with an HS256 key":               forge{header: h("alg", "HS512"), sign: hs512}.token(),
		"HS384 header on an HS256 signature":    forge{header: h("alg", "HS384")}.token(),
		"RS256 named, HMAC made":                forge{header: h("alg", "RS256")}.token(),
		"ES256 named, HMAC made":                forge{header: h("alg", "ES256")}.token(),
		"PS256 named, HMAC made":                forge{header: h("alg", "PS256")}.token(),
		"HS256 with the public key as secret":   forge{header: h("kid", "ed"), sign: hs(edPublic())}.token(),
		"HS256 with the public key's PEM":       forge{header: h("kid", "ed"), sign: hs(publicPEM)}.token(),
		"HS256 with an empty secret":            forge{sign: hs(nil)}.token(),
		"EdDSA by the right key, other kid":     forge{header: h("alg", "EdDSA"), sign: ed}.token(),
		"HS256 by the right secret, EdDSA's id": forge{header: h("kid", "ed")}.token(),
		// The key id.
		"kid absent":        forge{header: h("kid", absent)}.token(),
		"kid empty":         forge{header: h("kid", "")}.token(),
		"kid null":          forge{header: h("kid", nil)}.token(),
		"kid a number":      forge{header: h("kid", 0)}.token(),
		"kid a list":        forge{header: h("kid", []string{"hs"})}.token(),
		"kid a path":        forge{header: h("kid", "../../../../dev/null"), sign: hs(nil)}.token(),
		"kid SQL":           forge{header: h("kid", "x' UNION SELECT 'k'--"), sign: hs([]byte("k"))}.token(),
		"kid a URL":         forge{header: h("kid", "http://169.254.169.254/key")}.token(),
		"kid with a NUL":    forge{header: h("kid", "hs\x00")}.token(),
		"kid in upper case": forge{header: h("kid", "HS")}.token(),
		"jwk brought along": forge{header: h("kid", "x", "jwk", map[string]string{"kty": "oct", "k": b64([]byte("k"))}), sign: hs([]byte("k"))}.token(),
		"jku brought along": forge{header: h("kid", "x", "jku", "https://evil.example/jwks"), sign: hs([]byte("k"))}.token(),
		"crit":              forge{header: h("crit", []string{"b64"}, "b64", false)}.token(),
		"crit empty":        forge{header: h("crit", []string{})}.token(),
		// The signature.
		"no signature":             parts[0] + "." + parts[1] + ".",
		"signature cut short":      good[:len(good)-2],
		"another claim, same sign": parts[0] + "." + b64([]byte(`{"sub":"root"}`)) + "." + parts[2],
		"signed by nobody":         forge{sign: hs([]byte(strings.Repeat("x", 32)))}.token(),
		"padded":                   good + "=",
		"standard base64":          parts[0] + "." + parts[1] + "." + base64.StdEncoding.EncodeToString(hs(hsKey.Secret)([]byte(parts[0]+"."+parts[1]))),
		"trailing bits set":        parts[0] + "." + parts[1] + "." + lastBitsSet(parts[2]),
		"a newline at the end":     good + "\n",
		// The shape.
		"empty":                 "",
		"one dot":               ".",
		"two dots":              "..",
		"a megabyte of dots":    strings.Repeat(".", 1<<20),
		"8 KiB of dots":         strings.Repeat(".", maxToken),
		"a long good token":     forge{claims: h("pad", strings.Repeat("x", maxToken))}.token(),
		"four parts":            good + "." + parts[2],
		"JWE of five parts":     "e30.e30.e30.e30.e30",
		"header not JSON":       b64([]byte("{")) + "." + parts[1] + "." + parts[2],
		"header null":           b64([]byte("null")) + "." + parts[1] + "." + parts[2],
		"header a list":         b64([]byte("[]")) + "." + parts[1] + "." + parts[2],
		"claims not JSON":       forge{raw: "{"}.token(),
		"claims null":           forge{raw: "null"}.token(),
		"claims a list":         forge{raw: "[]"}.token(),
		"claims followed by":    forge{raw: `{"sub":"a","tenant":"t","room":"r","exp":1800000060}{}`}.token(),
		"not base64":            "!!!." + parts[1] + "." + parts[2],
		"Bearer in front":       "Bearer " + good,
		"JSON serialization":    `{"payload":"` + parts[1] + `","signature":"` + parts[2] + `"}`,
		"spaces around the dot": parts[0] + " . " + parts[1] + " . " + parts[2],
		// Time.
		"exp absent":                forge{claims: h("exp", absent)}.token(),
		"exp null":                  forge{claims: h("exp", nil)}.token(),
		"exp zero":                  forge{claims: h("exp", 0)}.token(),
		"exp negative":              forge{claims: h("exp", -1)}.token(),
		"exp text":                  forge{claims: h("exp", "never")}.token(),
		"expired beyond the skew":   forge{claims: h("exp", tokenNow.Unix()-minute-1)}.token(),
		"exp further than allowed":  forge{claims: h("exp", tokenNow.Unix()+11*minute+1)}.token(),
		"exp in a thousand years":   forge{claims: h("exp", tokenNow.Unix()+31_536_000_000)}.token(),
		"exp 1e300":                 forge{claims: h("exp", 1e300)}.token(),
		"exp in milliseconds":       forge{claims: h("exp", (tokenNow.Unix()+minute)*1000)}.token(),
		"nbf beyond the skew":       forge{claims: h("nbf", tokenNow.Unix()+minute+1)}.token(),
		"iat beyond the skew":       forge{claims: h("iat", tokenNow.Unix()+minute+1)}.token(),
		"nbf in 1e300":              forge{claims: h("nbf", 1e18)}.token(),
		"expired in another's time": forge{claims: h("exp", tokenNow.Unix()-3600)}.token(),
		// Names.
		"sub absent":                 forge{claims: h("sub", absent)}.token(),
		"sub empty":                  forge{claims: h("sub", "")}.token(),
		"sub a number":               forge{claims: h("sub", 7)}.token(),
		"sub too long":               forge{claims: h("sub", strings.Repeat("x", 129))}.token(),
		"sub with a newline":         forge{claims: h("sub", "aru\nroot")}.token(),
		"sub with an escape":         forge{claims: h("sub", "\x1b[2J")}.token(),
		"sub turning the text round": forge{claims: h("sub", "a\u202eb")}.token(),
		"tenant absent":              forge{claims: h("tenant", absent)}.token(),
		"tenant null":                forge{claims: h("tenant", nil)}.token(),
		"room absent":                forge{claims: h("room", absent)}.token(),
		"room empty":                 forge{claims: h("room", "")}.token(),
		"room a list":                forge{claims: h("room", []string{"r1", "r2"})}.token(),
		"room too long":              forge{claims: h("room", strings.Repeat("x", 129))}.token(),
		"publish as text":            forge{claims: h("publish", "true")}.token(),
	}
	require.GreaterOrEqual(t, len(vectors), 40)
	for name, token := range vectors {
		t.Run(name, func(t *testing.T) {
			g, err := v.Verify(token, tokenNow)
			require.ErrorIs(t, err, ErrUnauthorized)
			require.Zero(t, g)
			require.NotContains(t, err.Error(), parts[2], "no token in an error")
		})
	}
}

func TestATokenSaysNothingAboutWhichKeyFailed(t *testing.T) {
	v := testVerifier(t)
	_, unknown := v.Verify(forge{header: h("kid", "x")}.token(), tokenNow)
	_, forged := v.Verify(forge{sign: hs([]byte("k"))}.token(), tokenNow)
	_, swapped := v.Verify(forge{header: h("kid", "ed")}.token(), tokenNow)
	require.Equal(t, unknown.Error(), forged.Error())
	require.Equal(t, unknown.Error(), swapped.Error())
}

func TestVerifierRefusesUnfitKeys(t *testing.T) {
	for name, keys := range map[string][]Key{
		"none":                 {},
		"no id":                {{Secret: hsKey.Secret}},
		"nothing in it":        {{ID: "x"}},
		"a short secret":       {{ID: "x", Secret: hsKey.Secret[:31]}},
		"an empty secret":      {{ID: "x", Secret: []byte{}}},
		"both kinds":           {{ID: "x", Secret: hsKey.Secret, Public: edPublic()}},
		"a short public key":   {{ID: "x", Public: edPublic()[:31]}},
		"one id for two":       {hsKey, {ID: "hs", Public: edPublic()}},
		"a short private half": {{ID: "x", Private: edKey.Private[:40]}},
	} {
		_, err := NewVerifier(keys...)
		require.Error(t, err, name)
	}
}

func TestMintRefusesWhatWouldNotVerify(t *testing.T) {
	for name, mint := range map[string]func() (string, error){
		"too long a life": func() (string, error) { return Mint(hsKey, aru, tokenNow, TokenLifetime+1) },
		"a negative life": func() (string, error) { return Mint(hsKey, aru, tokenNow, -1) },
		"no room":         func() (string, error) { return Mint(hsKey, Grants{Identity: "a", Tenant: "t"}, tokenNow, 0) },
		"no private half": func() (string, error) { return Mint(Key{ID: "x", Public: edPublic()}, aru, tokenNow, 0) },
		"an unfit key":    func() (string, error) { return Mint(Key{ID: "x"}, aru, tokenNow, 0) },
		"a name that bell": func() (string, error) {
			return Mint(hsKey, Grants{Identity: "\a", Tenant: "t", Room: "r"}, tokenNow, 0)
		},
	} {
		_, err := mint()
		require.Error(t, err, name)
	}
}

func TestKeysDoNotPrintTheirSecrets(t *testing.T) {
	for _, key := range []Key{hsKey, edKey} {
		var log strings.Builder
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "key", key)
		for _, text := range []string{fmt.Sprint(key), fmt.Sprintf("%v %+v %#v %s", key, key, key, key), log.String()} {
			require.Contains(t, text, key.ID)
			require.NotContains(t, text, "0123456789")
			require.NotContains(t, text, "48 49") // the secret as numbers
			require.Less(t, len(text), 150)
		}
	}
}

func FuzzVerify(f *testing.F) {
	f.Add(forge{}.token())
	f.Add(forge{header: h("alg", "EdDSA", "kid", "ed"), sign: ed}.token())
	f.Add("..")
	v := testVerifier(f)
	good := forge{}.token()
	goodEd := forge{header: h("alg", "EdDSA", "kid", "ed"), sign: ed}.token()
	f.Fuzz(func(t *testing.T, token string) {
		if _, err := v.Verify(token, tokenNow); err == nil && token != good && token != goodEd {
			t.Fatalf("a forgery passes: %q", token)
		}
	})
}

func h(pairs ...any) map[string]any {
	m := make(map[string]any, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		m[fmt.Sprint(pairs[i])] = pairs[i+1]
	}
	return m
}

func hs512(b []byte) []byte {
	m := hmac.New(sha512.New, hsKey.Secret)
	m.Write(b)
	return m.Sum(nil)
}

// lastBitsSet changes the bits of the last character that carry no data: another text for the same signature.
func lastBitsSet(part string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, part[len(part)-1])
	return part[:len(part)-1] + string(alphabet[last^1])
}
