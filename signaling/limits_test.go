package signaling

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"
	"pgregory.net/rapid"

	"github.com/tolkyn/tolkyn/signaling/wire"
)

func limited(id int, what string, perSecond, retryAfterMs int) string {
	return fmt.Sprintf(`{"id":"%d","error":{"code":"RATE","message":"%s: too many, at most %d a second","retryAfterMs":%d}}`,
		id, what, perSecond, retryAfterMs)
}

func TestTooManyFrames(t *testing.T) {
	p := attachedPlay(t)
	ping := `{"id":"2","ping":{}}`
	for range 100 {
		p.client(ping).want(`{"id":"2","pong":{"serverTimeMs":"1000000"}}`)
	}
	p.client(ping).want(limited(2, "frames", 50, 20))
	p.client(ping).want(limited(2, "frames", 50, 20)) // what is refused does not count
	p.after(19 * time.Millisecond).client(ping).want(limited(2, "frames", 50, 1))
	p.after(1 * time.Millisecond).client(ping).want(`{"id":"2","pong":{"serverTimeMs":"1000020"}}`)
	p.client(ping).want(limited(2, "frames", 50, 20))
}

func TestTooManyOffers(t *testing.T) {
	p := joinedPlay(t) // with the first offer
	for i := range 9 {
		p.client(fmt.Sprintf(`{"id":"%d","sdp":%s}`, 3+i, offer)).in(answered{result: ""})
	}
	p.client(`{"id":"20","sdp":` + offer + `}`).want(limited(20, "sdp", 5, 200))
	p.client(join(21)).want(limited(21, "join.offer", 5, 200))
	p.client(`{"id":"22","publish":{"offer":` + offer + `}}`).want(limited(22, "publish.offer", 5, 200))
	p.after(200 * time.Millisecond).client(`{"id":"20","sdp":` + offer + `}`).wantRequest(`negotiate "v=0\r\n" with 0 tracks`)
}

func TestTooMuchNews(t *testing.T) {
	p := joinedPlay(t)
	for i := range 30 {
		p.client(fmt.Sprintf(`{"id":"%d","mute":{"trackId":"m"}}`, 3+i)).in(answered{})
	}
	p.client(`{"id":"40","mute":{"trackId":"m"}}`).want(limited(40, "mute", 10, 100))
	p.client(`{"id":"41","unpublish":{"trackIds":["m"]}}`).want(limited(41, "unpublish", 10, 100))
	p.after(100 * time.Millisecond).client(`{"id":"40","mute":{"trackId":"m"}}`).wantRequest("mute m false")
}

func TestTooManyRequestsWaiting(t *testing.T) {
	p := joinedPlay(t)
	for i := range maxQueue + 1 {
		p.client(fmt.Sprintf(`{"id":"%d","subscribe":{}}`, 10+i))
		require.Empty(t, p.out.frames)
	}
	p.client(`{"id":"50","subscribe":{}}`).want(
		`{"id":"50","error":{"code":"RATE","message":"requests: too many are waiting for their answers","retryAfterMs":1000}}`)
	require.Zero(t, p.s.breaches.count, "the room is slow, not the client fast")
	p.in(answered{}).want(`{"id":"10","ok":{}}`, "request subscribe []")
	p.client(`{"id":"50","subscribe":{}}`).want()
}

// breach sends frames until one is refused.
func breach(p *play) {
	p.t.Helper()
	for range 101 {
		p.client(`{"id":"7","ping":{}}`)
		if p.out.frames[0].GetError() != nil {
			return
		}
	}
	p.t.Fatal("no breach")
}

func fatal(what string) []string {
	return []string{
		`{"id":"7","error":{"code":"RATE","message":"` + what + `, as this session was told twice","retryAfterMs":10000,"fatal":true}}`,
		bye("PROTOCOL_ERROR", "STOP"), "hangup", "end",
	}
}

func TestTheThirdBreachEndsTheSession(t *testing.T) {
	p := attachedPlay(t)
	breach(p)
	p.after(999 * time.Millisecond)
	breach(p)
	require.Equal(t, 1, p.s.breaches.count, "still the first")
	breach(p.after(1 * time.Millisecond))
	require.Equal(t, 2, p.s.breaches.count)
	require.False(t, p.out.hangup)
	p.after(time.Second)
	breach(p)
	p.want(fatal("frames: too many, at most 50 a second")...)
}

func TestBreachesAreForgiven(t *testing.T) {
	p := attachedPlay(t)
	breach(p)
	breach(p.after(time.Second))
	breach(p.after(10 * time.Second)) // forgiven
	require.Equal(t, 1, p.s.breaches.count)
	breach(p.after(9 * time.Second))
	require.False(t, p.out.hangup)
	breach(p.after(10*time.Second - 1)) // not forgiven
	p.want(fatal("frames: too many, at most 50 a second")...)
}

func TestAFloodEndsTheSessionAtOnce(t *testing.T) {
	p := attachedPlay(t)
	for i := range frameLimit.burst + (maxBreaches-1)*breachRefusals {
		p.client(`{"id":"7","ping":{}}`)
		require.False(t, p.out.hangup, i)
	}
	p.client(`{"id":"7","ping":{}}`).want(fatal("frames: too many, at most 50 a second")...)
}

func TestBreachesOfAllLimitsCount(t *testing.T) {
	p := joinedPlay(t)
	breach(p)
	p.after(2 * time.Second)
	for i := range 31 {
		p.client(fmt.Sprintf(`{"id":"%d","mute":{"trackId":"m"}}`, 20+i)).in(answered{})
	}
	require.Equal(t, 2, p.s.breaches.count)
	// A new connection does not make good what was done on the old one.
	p.lose().resume(0)
	p.after(2 * time.Second)
	for range 30 {
		p.client(`{"id":"0","sdp":` + offer + `}`).in(answered{result: ""})
		if p.s.bye != nil {
			break
		}
	}
	require.Equal(t, wire.Bye_PROTOCOL_ERROR, p.s.bye.GetReason())
}

// Whatever the pace: no more pass than the limit says, and who waits as long as he was told passes.
func TestLimitsKeepTheirWord(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := limit{
			perSecond: rate.Limit(rapid.IntRange(1, 50).Draw(t, "per second")),
			burst:     rapid.IntRange(1, 20).Draw(t, "burst"),
		}
		var of *rate.Limiter
		start := time.UnixMilli(1_700_000_000_000)
		at := start
		passed := 0
		for range rapid.IntRange(1, 200).Draw(t, "takes") {
			at = at.Add(time.Duration(rapid.IntRange(0, 100_000).Draw(t, "µs")) * time.Microsecond)
			wait := l.take(at, &of)
			if wait > 0 {
				if wait%time.Millisecond != 0 || wait > time.Duration(float64(time.Second)/float64(l.perSecond))+time.Millisecond {
					t.Fatalf("told to wait %v", wait)
				}
				if !rapid.Bool().Draw(t, "waits") {
					continue
				}
				at = at.Add(wait)
				if again := l.take(at, &of); again != 0 {
					t.Fatalf("waited %v as told, and again %v", wait, again)
				}
			}
			passed++
			if most := float64(l.burst) + at.Sub(start).Seconds()*float64(l.perSecond) + 0.001; float64(passed) > most {
				t.Fatalf("%d passed, at most %v", passed, most)
			}
		}
	})
}

// Thousands of sessions wait for something to happen: each may have 8 KiB with its connection and buffers.
func TestAnIdleSessionIsSmall(t *testing.T) {
	const many = 1000
	sessions := make([]*session, many)
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for i := range sessions {
		s := newSession(sessionConfig{
			id: fmt.Sprintf("session %08d", i), secret: make([]byte, 16), resumeFor: time.Minute, epoch: time.UnixMilli(0),
			grants: Grants{Identity: fmt.Sprintf("identity %d", i), Tenant: "tenant", Room: fmt.Sprintf("room %d", i)},
		})
		s.step(0, attached{conn: uint64(i + 1), frame: 1})
		s.step(time.Second, received{conn: uint64(i + 1), frame: &wire.ClientFrame{
			Id: 2, Message: &wire.ClientFrame_Ping{Ping: &wire.Ping{}},
		}})
		sessions[i] = s
	}
	each := (int64(heap()) - int64(before)) / many
	t.Logf("%d bytes each", each)
	require.Less(t, each, int64(1024))
	runtime.KeepAlive(sessions)
}
