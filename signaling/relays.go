package signaling

import (
	"net"
	"strings"
	"time"

	"github.com/tolkyn/tolkyn/signaling/wire"
)

// relays is what a session was told of TURN servers: in Welcome, again before the credentials run out, and after a Resume
// where it is not sure that the client has heard of the newest.
//
//	Welcome ── three quarters of their life ──► IceServers ──► …
//	                  │ detached                    │ the connection is lost
//	                  └──────────► due ◄────────────┘         due: behind the answer to the next Resume
type relays struct {
	host    string        // by which the client has reached us
	renewAt time.Duration // 0: nothing runs out
	later   bool          // the newest were told on a connection that is not the first: who resumes is told again
	due     bool          // it is time for new ones, and the client is away
}

// mintRelays makes new credentials; nil: there are no relays.
func (s *session) mintRelays(now time.Duration) []*wire.IceServer {
	s.relays.renewAt, s.relays.due = 0, false
	if s.mint == nil {
		return nil
	}
	servers, life := s.mint(s.grants, s.id, s.relays.host)
	if len(servers) > 0 && life > 0 {
		s.relays.renewAt = now + life*3/4
	}
	return servers
}

// sayRelays tells the attached connection of new ones.
func (s *session) sayRelays(now time.Duration, out *output) {
	servers := s.mintRelays(now)
	if len(servers) == 0 {
		return
	}
	s.relays.later = true
	s.sayInTurn(out, wire.Reply(0, &wire.ServerFrame_IceServers{IceServers: &wire.IceServers{IceServers: servers}}))
}

// renewRelays is due when renewAt has come.
func (s *session) renewRelays(now time.Duration, out *output) {
	switch {
	case s.relays.renewAt == 0 || now < s.relays.renewAt || s.bye != nil:
	case s.conn == 0:
		s.relays.renewAt, s.relays.due = 0, true
	default:
		s.sayRelays(now, out)
	}
}

// hostName is the host of a Host header or an SNI, lower case, without port and brackets. What no host looks like is none: it goes
// into URLs.
func hostName(hostport string) string {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.TrimSuffix(strings.TrimPrefix(hostport, "["), "]")
	}
	host = strings.ToLower(host)
	if len(host) > maxHost || strings.Trim(host, hostLetters) != "" {
		return ""
	}
	return host
}

// Names of hosts (RFC 1123 section 2.1), and addresses.
const (
	maxHost     = 253
	hostLetters = "abcdefghijklmnopqrstuvwxyz0123456789.-:"
)
