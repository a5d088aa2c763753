package signaling

import (
	"net/http"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/tolkyn/tolkyn/signaling/wire"
)

// TransportsHandler serves GET /v1/transports: the ways to this server as wire.Transports in canonical proto3 JSON. A page
// asks before it connects, so it answers the pages that may connect, and no others.
func (s *Server) TransportsHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Add("Vary", "Origin")
		if !s.allowsOrigin(r) {
			http.Error(w, "the Origin is not on this server's list: add it to signaling.origins", http.StatusForbidden)
			return
		}
		if origin := r.Header.Get("Origin"); origin != "" {
			w.Header().Set("Access-Control-Allow-Origin", origin)
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "use GET", http.StatusMethodNotAllowed)
			return
		}
		all := new(wire.Transports)
		if s.cfg.Transports != nil {
			all.Transports = s.cfg.Transports()
		}
		b, err := protojson.Marshal(all)
		if err != nil {
			s.log.Error("transports cannot be told", "error", err)
			http.Error(w, "internal", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		// The client went away: there is nobody left to tell.
		_, _ = w.Write(b)
	})
}
