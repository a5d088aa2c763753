package signaling

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/sfu"
	"github.com/tolkyn/tolkyn/signaling/wire"
)

// minted hands out credentials that are numbered, for an hour.
func minted(c *sessionConfig) {
	n := 0
	c.mint = func(g Grants, session, host string) ([]*wire.IceServer, time.Duration) {
		n++
		return []*wire.IceServer{{Urls: []string{"turn:" + host}, Username: fmt.Sprintf("%s/%s/%d", g.Identity, session, n)}}, time.Hour
	}
}

func iceServers(n int) string {
	return fmt.Sprintf(`{"iceServers":{"iceServers":[{"urls":["turn:kz"],"username":"aru/S/%d"}]}}`, n)
}

func TestRelaysAreToldBeforeTheyRunOut(t *testing.T) {
	p := newPlay(t, minted)
	p.conn = 1
	p.in(attached{conn: 1, frame: 1, host: "kz"})
	require.Equal(t, "aru/S/1", p.out.frames[0].GetWelcome().GetIceServers()[0].GetUsername())
	require.Equal(t, 45*time.Minute, p.out.wake)
	p.after(44 * time.Minute).in(tick{}).want()
	p.after(time.Minute).in(tick{}).want(iceServers(2))
	require.Equal(t, 90*time.Minute, p.out.wake)

	// Whether that was heard on the connection that is lost now is not known.
	p.lose()
	p.resume(0).want(`{"id":"9","resumed":{"fromSeq":"1"}}`, iceServers(3))
	require.False(t, p.out.revoke)
	p.client(`{"id":"2","leave":{}}`)
	require.True(t, p.out.revoke)
}

// TestRelaysThatWereToldInWelcome: who could resume has heard them.
func TestRelaysThatWereToldInWelcome(t *testing.T) {
	p := newPlay(t, minted)
	p.conn = 1
	p.in(attached{conn: 1, frame: 1, host: "kz"})
	p.after(time.Minute).lose()
	p.resume(0).want(`{"id":"9","resumed":{"fromSeq":"1"}}`)
}

// TestRelaysOfWhoIsAway: they are made when he comes back, for the host that he names then.
func TestRelaysOfWhoIsAway(t *testing.T) {
	p := newPlay(t, minted, func(c *sessionConfig) { c.resumeFor = 10 * time.Minute })
	p.conn = 1
	p.in(attached{conn: 1, frame: 1, host: "elsewhere"})
	p.after(44 * time.Minute).lose()
	p.after(2 * time.Minute).in(tick{}).want()
	p.conn++
	p.in(resumed{conn: p.conn, frame: 9, host: "kz"}).want(`{"id":"9","resumed":{"fromSeq":"1"}}`, iceServers(2))
}

// TestRelaysWaitBehindASnapshot: the answer to a Resume is the first that its connection hears.
func TestRelaysWaitBehindASnapshot(t *testing.T) {
	p := joinedPlay(t, minted)
	p.s.relays.host = "kz"
	p.after(45 * time.Minute).in(tick{}).want(iceServers(2))
	p.lose()
	p.s.log.skip()
	p.resume(0).want("request state")
	p.in(answered{result: sfu.Joined{}}).want(`{"id":"9","snapshot":{"seq":"1","slots":{},"joined":true}}`, iceServers(3))
}

func TestHostNames(t *testing.T) {
	for given, want := range map[string]string{
		"call.example.kz": "call.example.kz", "Call.Example.kz:8443": "call.example.kz", "203.0.113.7:443": "203.0.113.7",
		"[2001:db8::1]:443": "2001:db8::1", "[::1]": "::1", "2001:db8::1": "2001:db8::1", "": "",
		"evil/?transport=": "", "a b": "", "a@b": "", "қала.kz": "",
	} {
		require.Equal(t, want, hostName(given), given)
	}
}

// TestRelaysOverEveryWay: the host is what the client has asked for; the end of the session takes its credentials back.
func TestRelaysOverEveryWay(t *testing.T) {
	revoked := make(chan string, 10)
	everyWay(t, func(w *stage, by way) {
		c := w.dial(by)
		welcome := c.hello()
		require.Len(w.t, welcome.GetIceServers(), 1)
		require.Equal(w.t, []string{"turn:" + welcome.GetSessionId()}, welcome.GetIceServers()[0].GetUrls())
		c.say(`{"id":"2","leave":{}}`)
		require.Equal(w.t, welcome.GetSessionId(), <-revoked)
	}, func(c *Config) {
		c.Relays = func(_ Grants, session, _ string) ([]*wire.IceServer, time.Duration) {
			return []*wire.IceServer{{Urls: []string{"turn:" + session}}}, time.Hour
		}
		c.Revoke = func(_ Grants, session string) { revoked <- session }
	})
}
