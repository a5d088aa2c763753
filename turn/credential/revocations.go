package credential

import "time"

// maxRevocations bounds what Revocations hold; the oldest is forgotten for a new one.
const maxRevocations = 16384

// Revocations are the subjects whose credentials are refused although they have not expired. The zero value is ready for use. Not
// safe from several goroutines.
type Revocations struct {
	at    map[Subject]int64 // until when, in Unix seconds, what was issued is refused
	order []revocation      // oldest first; one whose time is not that in at has been renewed
}

type revocation struct {
	who Subject
	at  int64
}

// Revoke refuses all credentials of who that were issued until now, in whole seconds; an empty field of who names any. It is
// remembered for as long as they could live.
func (r *Revocations) Revoke(who Subject, now time.Time) {
	if r.at == nil {
		r.at = map[Subject]int64{}
	}
	r.forget(now)
	if at, ok := r.at[who]; ok && at >= now.Unix() {
		return
	}
	r.at[who] = now.Unix()
	r.order = append(r.order, revocation{who, now.Unix()})
}

// forget drops what no living credential can be older than, and the oldest where there are too many.
func (r *Revocations) forget(now time.Time) {
	n := 0
	for _, old := range r.order {
		over := old.at+int64((MaxTTL+slack)/time.Second) < now.Unix()
		if !over && len(r.order)-n < maxRevocations {
			break
		}
		if r.at[old.who] == old.at {
			delete(r.at, old.who)
		}
		n++
	}
	r.order = r.order[n:]
}

// Revoked reports whether a credential of s that was issued then has been revoked.
func (r *Revocations) Revoked(s Subject, issued time.Time) bool {
	if len(r.at) == 0 {
		return false
	}
	for any := range 8 {
		who := s
		if any&1 != 0 {
			who.Tenant = ""
		}
		if any&2 != 0 {
			who.User = ""
		}
		if any&4 != 0 {
			who.Call = ""
		}
		if at, ok := r.at[who]; ok && issued.Unix() <= at {
			return true
		}
	}
	return false
}

// Matches reports whether who, of which an empty field names any, names s.
func (who Subject) Matches(s Subject) bool {
	return (who.Tenant == "" || who.Tenant == s.Tenant) && (who.User == "" || who.User == s.User) &&
		(who.Call == "" || who.Call == s.Call)
}
