package main

import (
	"log/slog"
	"net/http"
	"time"
)

// newHTTPServer returns a server that a slow or talkative client cannot hold: it has seconds to send its head, and
// 16 KiB of it. WebSocket sessions take their connection over and set their own limits.
func newHTTPServer(handler http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		// What strangers send wrong is not our error.
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// secured sets the headers that hold for every answer; the page replaces the policy by its own. pinned also tells browsers
// to stay with HTTPS, which is right for a host with a real certificate only.
func secured(next http.Handler, pinned bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		head := w.Header()
		head.Set("X-Content-Type-Options", "nosniff")
		head.Set("X-Frame-Options", "DENY")
		head.Set("Referrer-Policy", "no-referrer")
		head.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		if pinned {
			head.Set("Strict-Transport-Security", "max-age=31536000")
		}
		next.ServeHTTP(w, r)
	})
}
