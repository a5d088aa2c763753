package signaling

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestInvitesLetInUntilTheyExpire(t *testing.T) {
	var invites Invites
	in := Grants{Tenant: "lan", Room: "r", Publish: true, Subscribe: true}
	code, err := invites.Issue(in, tokenNow)
	require.NoError(t, err)
	require.Len(t, code, 22, "128 bits")

	first, err := invites.Exchange(code, tokenNow)
	require.NoError(t, err)
	second, err := invites.Exchange(code, tokenNow.Add(InviteLifetime-1))
	require.NoError(t, err)
	require.NotEqual(t, first.Identity, second.Identity)
	for _, g := range []Grants{first, second} {
		require.NotEmpty(t, g.Identity)
		g.Identity = ""
		require.Equal(t, in, g)
	}

	_, err = invites.Exchange(code, tokenNow.Add(InviteLifetime))
	require.ErrorIs(t, err, ErrNoInvite)
	for _, wrong := range []string{"", code[:21], code + "A", "../" + code} {
		_, err = invites.Exchange(wrong, tokenNow)
		require.ErrorIs(t, err, ErrNoInvite)
	}
	_, err = invites.Issue(Grants{Tenant: "lan"}, tokenNow)
	require.ErrorContains(t, err, "claim room: is missing")
}

func TestInvitesAreBounded(t *testing.T) {
	var invites Invites
	in := Grants{Tenant: "lan", Room: "r"}
	for range maxInvites {
		_, err := invites.Issue(in, tokenNow)
		require.NoError(t, err)
	}
	_, err := invites.Issue(in, tokenNow)
	require.ErrorIs(t, err, ErrTooManyInvites)
	_, err = invites.Issue(in, tokenNow.Add(InviteLifetime))
	require.NoError(t, err)
	require.Len(t, invites.open, 1)
}

func TestInviteHandler(t *testing.T) {
	var invites Invites
	code, err := invites.Issue(Grants{Tenant: "lan", Room: "r", Publish: true}, time.Now())
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.Handle("/v1/invite/{code}", InviteHandler(&invites, hsKey))

	ask := func(method, path string, headers ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "https://192.0.2.7:8443"+path, nil)
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
		return w
	}
	w := ask("POST", "/v1/invite/"+code, "Origin", "https://192.0.2.7:8443")
	require.Equal(t, http.StatusOK, w.Code)
	var p pass
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &p))
	require.Equal(t, "r", p.Room)
	g, err := testVerifier(t).Verify(p.Token, time.Now())
	require.NoError(t, err)
	require.Equal(t, Grants{Identity: p.Identity, Tenant: "lan", Room: "r", Publish: true}, g)

	require.Equal(t, http.StatusOK, ask("GET", "/v1/invite/"+code).Code)
	require.Equal(t, http.StatusNotFound, ask("GET", "/v1/invite/wrong").Code)
	require.Equal(t, http.StatusMethodNotAllowed, ask("PUT", "/v1/invite/"+code).Code)
	require.Equal(t, http.StatusForbidden, ask("POST", "/v1/invite/"+code, "Origin", "https://evil.example").Code)
	require.Equal(t, http.StatusForbidden, ask("GET", "/v1/invite/"+code, "Sec-Fetch-Site", "cross-site").Code)
}

func TestDevTokensAreForThisMachineOnly(t *testing.T) {
	for _, c := range []struct {
		name   string
		from   string // RemoteAddr
		host   string
		header [2]string
		want   int
	}{
		{"page on localhost", "127.0.0.1:50000", "localhost:8080", [2]string{"Origin", "http://localhost:8080"}, 200},
		{"page on 127.0.0.1, GET without Origin", "127.0.0.1:50000", "127.0.0.1:8080", [2]string{"Sec-Fetch-Site", "same-origin"}, 200},
		{"page on ::1", "[::1]:50000", "[::1]:8080", [2]string{"Origin", "http://[::1]:8080"}, 200},
		{"curl", "127.0.0.1:50000", "localhost:8080", [2]string{}, 200},
		{"v4 in v6", "[::ffff:127.0.0.1]:50000", "LOCALHOST", [2]string{}, 200},

		{"a neighbour", "192.0.2.9:50000", "localhost:8080", [2]string{}, 403},
		{"a neighbour's v6", "[2001:db8::9]:50000", "localhost:8080", [2]string{}, 403},
		{"DNS rebinding", "127.0.0.1:50000", "evil.example:8080", [2]string{"Origin", "http://evil.example:8080"}, 403},
		{"a name that begins like localhost", "127.0.0.1:50000", "localhost.evil.example", [2]string{}, 403},
		{"another site", "127.0.0.1:50000", "localhost:8080", [2]string{"Origin", "https://evil.example"}, 403},
		{"another port is another origin", "127.0.0.1:50000", "localhost:8080", [2]string{"Origin", "http://localhost:3000"}, 403},
		{"a sandboxed frame", "127.0.0.1:50000", "localhost:8080", [2]string{"Origin", "null"}, 403},
		{"an empty Origin", "127.0.0.1:50000", "localhost:8080", [2]string{"Origin", ""}, 403},
		{"another site's image", "127.0.0.1:50000", "localhost:8080", [2]string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"another port's script", "127.0.0.1:50000", "localhost:8080", [2]string{"Sec-Fetch-Site", "same-site"}, 403},
		{"through a proxy", "127.0.0.1:50000", "localhost:8080", [2]string{"X-Forwarded-For", "192.0.2.9"}, 403},
		{"no address", "@", "localhost:8080", [2]string{}, 403},
		{"no host", "127.0.0.1:50000", "", [2]string{}, 403},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, "/v1/dev-token?room=r&identity=aru", nil)
			r.RemoteAddr, r.Host = c.from, c.host
			if c.header[0] != "" {
				r.Header.Set(c.header[0], c.header[1])
			}
			w := httptest.NewRecorder()
			DevTokenHandler(hsKey).ServeHTTP(w, r)
			require.Equal(t, c.want, w.Code, w.Body)
			if c.want == 200 {
				var p pass
				require.NoError(t, json.Unmarshal(w.Body.Bytes(), &p))
				g, err := testVerifier(t).Verify(p.Token, time.Now())
				require.NoError(t, err)
				require.Equal(t, Grants{Identity: "aru", Tenant: "dev", Room: "r", Publish: true, Subscribe: true}, g)
			} else {
				require.NotContains(t, w.Body.String(), "token\":")
			}
		})
	}
}

func TestDevTokenDefaults(t *testing.T) {
	ask := func(method, query string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "/v1/dev-token"+query, nil)
		r.RemoteAddr, r.Host = "127.0.0.1:1", "localhost"
		w := httptest.NewRecorder()
		DevTokenHandler(hsKey).ServeHTTP(w, r)
		return w
	}
	var p pass
	require.NoError(t, json.Unmarshal(ask("GET", "").Body.Bytes(), &p))
	require.Equal(t, "lobby", p.Room)
	require.Contains(t, p.Identity, "guest-")
	require.Equal(t, http.StatusBadRequest, ask("GET", "?room=%0a").Code)
	require.Equal(t, http.StatusMethodNotAllowed, ask("DELETE", "").Code)
}
