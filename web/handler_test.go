package web

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func get(t *testing.T, h http.Handler, method, target string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, resp *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return string(b)
}

var reference = regexp.MustCompile(`(?:src|href)="([^"#]+)"`)

func TestEveryPageFindsItsAssets(t *testing.T) {
	h := Handler()
	for _, page := range []string{"/", "/index.html", "/sdk-test.html"} {
		resp := get(t, h, http.MethodGet, page)
		require.Equal(t, http.StatusOK, resp.StatusCode, page)
		require.Equal(t, "text/html; charset=utf-8", resp.Header.Get("Content-Type"))
		require.Equal(t, "no-cache", resp.Header.Get("Cache-Control"))
		require.Equal(t, Policy, resp.Header.Get("Content-Security-Policy"))
		html := body(t, resp)
		found := reference.FindAllStringSubmatch(html, -1)
		require.NotEmpty(t, found, page)
		for _, ref := range found {
			asset := get(t, h, http.MethodGet, ref[1])
			require.Equal(t, http.StatusOK, asset.StatusCode, "%s refers to %s", page, ref[1])
			if strings.HasPrefix(ref[1], "/assets/") {
				require.Contains(t, asset.Header.Get("Cache-Control"), "immutable")
			}
		}
	}
}

// The policy forbids inline code and other origins; a page that has them would only fail in the browser.
func TestPagesObeyTheirPolicy(t *testing.T) {
	h := Handler()
	for _, page := range []string{"/", "/sdk-test.html"} {
		html := body(t, get(t, h, http.MethodGet, page))
		require.NotRegexp(t, `<script(>|[^>]*[^/]>[^<])`, html, "inline script")
		require.NotRegexp(t, `<style|\sstyle="|\son[a-z]+="|javascript:`, html)
		require.NotRegexp(t, `(?:src|href)="(?:https?:)?//`, html)
	}
}

// Another port is another origin: without its name in the policy no page could open WebTransport.
func TestPolicyNamesWebTransport(t *testing.T) {
	h := Handler(8443, 443)
	ask := func(host string) *http.Response {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host = host
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Result()
	}
	for host, want := range map[string]string{
		"call.example.kz":      "connect-src 'self' https://call.example.kz:8443 https://call.example.kz:443;",
		"call.example.kz:8080": "connect-src 'self' https://call.example.kz:8443 https://call.example.kz:443;",
		"192.0.2.1:8080":       "connect-src 'self' https://192.0.2.1:8443 https://192.0.2.1:443;",
		"localhost:8080":       "connect-src 'self' https://127.0.0.1:8443 https://127.0.0.1:443;",
		"[::1]:8080":           "connect-src 'self';", // cannot be named: WebSocket it is
		"a;script-src *":       "connect-src 'self';",
		"":                     "connect-src 'self';",
	} {
		policy := ask(host).Header.Get("Content-Security-Policy")
		require.Contains(t, policy, want, host)
		require.Equal(t, strings.Count(Policy, ";"), strings.Count(policy, ";"), host)
	}
	require.NotEqual(t, get(t, Handler(), http.MethodGet, "/").Header.Get("ETag"), ask("a").Header.Get("ETag"),
		"a browser that is told 304 keeps the policy it had")
}

func TestMethodsAndUnknownPaths(t *testing.T) {
	h := Handler()
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{http.MethodHead, "/", http.StatusOK},
		{http.MethodPost, "/", http.StatusMethodNotAllowed},
		{http.MethodGet, "/nothing", http.StatusNotFound},
		{http.MethodGet, "/assets/", http.StatusNotFound},
		{http.MethodGet, "/../handler.go", http.StatusNotFound},
	} {
		resp := get(t, h, c.method, c.path)
		require.Equal(t, c.status, resp.StatusCode, "%s %s", c.method, c.path)
		if c.method == http.MethodHead {
			require.Empty(t, body(t, resp))
			require.NotEqual(t, "0", resp.Header.Get("Content-Length"))
		}
	}
}

func TestRevalidation(t *testing.T) {
	h := Handler()
	etag := get(t, h, http.MethodGet, "/").Header.Get("ETag")
	for header, status := range map[string]int{
		etag:               http.StatusNotModified,
		"W/" + etag:        http.StatusNotModified,
		`"other", ` + etag: http.StatusNotModified,
		"*":                http.StatusNotModified,
		`"other"`:          http.StatusOK,
		"":                 http.StatusOK,
	} {
		require.Equal(t, status, get(t, h, http.MethodGet, "/", "If-None-Match", header).StatusCode, header)
	}
}

func TestCompression(t *testing.T) {
	h := Handler()
	plain := body(t, get(t, h, http.MethodGet, "/"))
	for header, zipped := range map[string]bool{
		"":                    false,
		"br":                  false,
		"gzip;q=0":            false,
		"gzip; q=0.0, br":     false,
		"gzip":                true,
		"br, GZIP;q=0.5":      true,
		"deflate, gzip, zstd": true,
	} {
		resp := get(t, h, http.MethodGet, "/", "Accept-Encoding", header)
		require.Equal(t, "Accept-Encoding", resp.Header.Get("Vary"))
		if !zipped {
			require.Empty(t, resp.Header.Get("Content-Encoding"), header)
			require.Equal(t, plain, body(t, resp))
			continue
		}
		require.Equal(t, "gzip", resp.Header.Get("Content-Encoding"), header)
		z, err := gzip.NewReader(resp.Body)
		require.NoError(t, err)
		b, err := io.ReadAll(z)
		require.NoError(t, err)
		require.Equal(t, plain, string(b))
	}
}
