package signaling

import (
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Browsers always say where a page comes from, so no Origin means that no browser is asking. The token is in Hello and never
// in a cookie: a foreign page could not use a visitor's rights anyway.

// allowsOrigin is the rule of WebSockets: our own page, or one on the list.
func (s *Server) allowsOrigin(r *http.Request) bool {
	return len(r.Header.Values("Origin")) == 0 || isOwnOrigin(r) || s.listsOrigin(r)
}

// allowsWebTransport: our own page comes from this host too, but from the TCP port of the page, not the UDP port of QUIC.
func (s *Server) allowsWebTransport(r *http.Request) bool {
	return len(r.Header.Values("Origin")) == 0 || s.isOwnPage(r) || s.listsOrigin(r)
}

func (s *Server) listsOrigin(r *http.Request) bool {
	origin, ok := originOf(r)
	return ok && s.origins[originKey(origin)]
}

// isOwnPage: the Origin is on the host that the request went to, on a port that our pages come from. A page of localhost
// dials this machine by number: browsers would try ::1 first, and give up.
func (s *Server) isOwnPage(r *http.Request) bool {
	origin, ok := originOf(r)
	if !ok || (origin.Scheme != "http" && origin.Scheme != "https") || origin.Hostname() == "" {
		return false
	}
	authority, err := url.Parse("https://" + r.Host)
	local := strings.EqualFold(origin.Hostname(), "localhost") && isLoopbackHost(r.Host)
	if err != nil || !local && !strings.EqualFold(origin.Hostname(), authority.Hostname()) {
		return false
	}
	port, err := strconv.ParseUint(portOf(origin), 10, 16)
	return err == nil && slices.Contains(s.cfg.OwnPorts, uint16(port))
}

// originOf parses the one Origin that a browser sends.
func originOf(r *http.Request) (*url.URL, bool) {
	values := r.Header.Values("Origin")
	if len(values) != 1 {
		return nil, false
	}
	origin, err := url.Parse(values[0])
	return origin, err == nil
}

// originKey compares origins as RFC 6454 section 5 does: scheme, host and port, the host without regard to case.
func originKey(u *url.URL) string {
	return u.Scheme + "://" + net.JoinHostPort(strings.ToLower(u.Hostname()), portOf(u))
}

func portOf(u *url.URL) string {
	if port := u.Port(); port != "" {
		return port
	}
	return map[string]string{"http": "80", "https": "443"}[u.Scheme]
}
