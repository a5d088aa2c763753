package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net"
	"net/http"
	"path"
	"regexp"
	"strconv"
	"strings"
)

//go:embed dist
var dist embed.FS

// Policy is the Content-Security-Policy of every page: all code, styles and connections come from the page's own
// origin ('self' covers its WebSocket too, CSP3 section 6.7.2.8), and nothing inline runs. Where Handler is told of
// WebTransport, the page may connect there too.
const Policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self' blob:; " +
	"connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Handler serves the call page and its assets. It reads everything once, here, and answers from memory afterwards.
// Files under /assets/ carry a hash of their content in their name and are cached for ever; pages are revalidated by
// ETag. It is safe from any goroutine and answers only GET and HEAD.
//
// webTransport are the UDP ports on which this server speaks WebTransport: another port is another origin, so the policy
// must name it, on the host that the page was asked from.
func Handler(webTransport ...uint16) http.Handler {
	s := site{files: make(map[string]*file), ports: webTransport}
	root, err := fs.Sub(dist, "dist")
	if err != nil {
		panic(fmt.Sprintf("web: embedded files: %v", err)) // cannot happen: "dist" is a valid path
	}
	err = fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		s.files["/"+name] = newFile(name, body, webTransport)
		return nil
	})
	if err != nil {
		panic(fmt.Sprintf("web: read embedded files: %v", err)) // embedded files are always readable
	}
	if index, ok := s.files["/index.html"]; ok {
		s.files["/"] = index
	}
	return s
}

// site is everything that is served. Fixed after Handler.
type site struct {
	files map[string]*file // by URL path
	ports []uint16
}

// hostName is what a Content-Security-Policy can name (CSP3 section 2.3.1): no IPv6 address, and nothing that would end
// the directive.
var hostName = regexp.MustCompile(`^[A-Za-z0-9.-]+$`)

// policy is the policy for a page that was asked from this host (a Host header: the port may be missing).
func (s site) policy(host string) string {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	if len(s.ports) == 0 || !hostName.MatchString(name) {
		return Policy
	}
	// The SDK dials a server on this machine by number: "localhost" may be ::1 first, where nobody listens.
	if name == "localhost" {
		name = "127.0.0.1"
	}
	self := "connect-src 'self'"
	more := self
	for _, port := range s.ports {
		more += " https://" + net.JoinHostPort(name, strconv.Itoa(int(port)))
	}
	return strings.Replace(Policy, self, more, 1)
}

// file is one embedded file, ready to be sent.
type file struct {
	body, gzip  []byte // gzip is nil where it would not be smaller
	contentType string
	etag        string
	cache       string
}

func newFile(name string, body []byte, ports []uint16) *file {
	// A page's policy belongs to its version: browsers keep the old one when they are told that nothing changed.
	sum := sha256.Sum256(fmt.Append(bytes.Clone(body), ports))
	f := &file{
		body:        body,
		contentType: mime.TypeByExtension(path.Ext(name)),
		etag:        `"` + hex.EncodeToString(sum[:12]) + `"`,
		cache:       "no-cache",
	}
	switch path.Ext(name) { // the system's table may lack or change these
	case ".js":
		f.contentType = "text/javascript; charset=utf-8"
	case ".svg":
		f.contentType = "image/svg+xml"
	case ".webmanifest":
		f.contentType = "application/manifest+json"
	}
	if strings.HasPrefix(name, "assets/") {
		f.cache = "public, max-age=31536000, immutable"
	}
	var z bytes.Buffer
	w, _ := gzip.NewWriterLevel(&z, gzip.BestCompression) // the level is valid
	_, _ = w.Write(body)                                  // a bytes.Buffer takes everything
	_ = w.Close()
	if z.Len() < len(body) {
		f.gzip = z.Bytes()
	}
	return f
}

// ServeHTTP answers one request.
func (s site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	head := w.Header()
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Content-Security-Policy", s.policy(r.Host))
	head.Set("Referrer-Policy", "no-referrer")
	head.Set("Permissions-Policy", "camera=(self), microphone=(self), display-capture=(self)")
	head.Set("Cross-Origin-Opener-Policy", "same-origin")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		head.Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	f, ok := s.files[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	head.Set("Cache-Control", f.cache)
	head.Set("ETag", f.etag)
	head.Set("Vary", "Accept-Encoding")
	if matches(r.Header.Get("If-None-Match"), f.etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	body := f.body
	if f.gzip != nil && acceptsGzip(r.Header.Get("Accept-Encoding")) {
		body = f.gzip
		head.Set("Content-Encoding", "gzip")
	}
	head.Set("Content-Type", f.contentType)
	head.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodGet {
		_, _ = w.Write(body) // the client may have gone; there is nobody to tell
	}
}

// matches says whether an If-None-Match header names the tag (RFC 9110 section 13.1.2; comparison is weak).
func matches(header, etag string) bool {
	for tag := range strings.SplitSeq(header, ",") {
		tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/")
		if tag == etag || tag == "*" {
			return true
		}
	}
	return false
}

// acceptsGzip reads an Accept-Encoding header (RFC 9110 section 12.5.3).
func acceptsGzip(header string) bool {
	for coding := range strings.SplitSeq(header, ",") {
		name, params, _ := strings.Cut(coding, ";")
		if !strings.EqualFold(strings.TrimSpace(name), "gzip") {
			continue
		}
		weight, ok := strings.CutPrefix(strings.ReplaceAll(params, " ", ""), "q=")
		q, err := strconv.ParseFloat(weight, 64)
		return !ok || err != nil || q > 0
	}
	return false
}
