package signaling

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// The doors hand a token to a page that has no server of its own behind it: development on loopback, and guests of --lan.
// Both answer {"token", "identity", "room"}, or {"error"} with a status that is not 200.

type pass struct {
	Token    string `json:"token"`
	Identity string `json:"identity"`
	Room     string `json:"room"`
}

// DevTokenHandler serves GET and POST /v1/dev-token?room=R&identity=I for development: it signs whatever it is asked for
// (room "lobby" and a new guest by default). It answers only this machine talking to itself: peer and Host must be loopback
// (against DNS rebinding), the Origin our own, and no proxy in between.
func DevTokenHandler(key Key) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodPost {
			answerError(w, http.StatusMethodNotAllowed, errors.New("use GET or POST"))
			return
		}
		if err := onLoopback(r); err != nil {
			answerError(w, http.StatusForbidden, err)
			return
		}
		query := r.URL.Query()
		g := Grants{
			Identity: query.Get("identity"), Tenant: "dev", Room: query.Get("room"),
			Publish: true, Subscribe: true,
		}
		if g.Identity == "" {
			g.Identity = guestName()
		}
		if g.Room == "" {
			g.Room = "lobby"
		}
		answerPass(w, key, g)
	})
}

// InviteHandler serves GET and POST /v1/invite/{code}: it exchanges an invite for a token. Mount it on that pattern.
func InviteHandler(invites *Invites, key Key) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodPost {
			answerError(w, http.StatusMethodNotAllowed, errors.New("use GET or POST"))
			return
		}
		if err := sameOrigin(r); err != nil {
			answerError(w, http.StatusForbidden, err)
			return
		}
		g, err := invites.Exchange(r.PathValue("code"), time.Now())
		if err != nil {
			answerError(w, http.StatusNotFound, err)
			return
		}
		answerPass(w, key, g)
	})
}

func onLoopback(r *http.Request) error {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !peer.Addr().Unmap().IsLoopback() {
		return errors.New("development tokens are for this machine only: open the page on localhost, or use an invite")
	}
	for _, header := range []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via"} {
		if r.Header.Get(header) != "" {
			return errors.New("development tokens do not pass through a proxy: configure signaling.keys")
		}
	}
	if !isLoopbackHost(r.Host) {
		return errors.New("development tokens need a loopback Host: open the page on localhost")
	}
	return sameOrigin(r)
}

// isLoopbackHost takes "localhost", "127.0.0.1" and "[::1]", each with or without a port.
func isLoopbackHost(hostport string) bool {
	host := hostName(hostport)
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// sameOrigin lets our own pages pass, and programs that are no browsers: browsers always mark a request from elsewhere.
func sameOrigin(r *http.Request) error {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
	default:
		return errors.New("the request comes from another site")
	}
	if len(r.Header.Values("Origin")) == 0 {
		return nil
	}
	if !isOwnOrigin(r) {
		return errors.New("the Origin is not this server's own page")
	}
	return nil
}

// isOwnOrigin: the Origin header names the host that the request went to.
func isOwnOrigin(r *http.Request) bool {
	origins := r.Header.Values("Origin")
	if len(origins) != 1 {
		return false
	}
	origin, err := url.Parse(origins[0])
	if err != nil || (origin.Scheme != "http" && origin.Scheme != "https") {
		return false
	}
	return origin.Host != "" && strings.EqualFold(origin.Host, r.Host)
}

func answerPass(w http.ResponseWriter, key Key, g Grants) {
	token, err := Mint(key, g, time.Now(), 0)
	if err != nil {
		answerError(w, http.StatusBadRequest, err)
		return
	}
	answerJSON(w, http.StatusOK, pass{Token: token, Identity: g.Identity, Room: g.Room})
}

func answerError(w http.ResponseWriter, status int, err error) {
	answerJSON(w, status, map[string]string{"error": err.Error()})
}

func answerJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	// The client went away: there is nobody left to tell.
	_ = json.NewEncoder(w).Encode(body)
}
