package credential

import "time"

// Revocations are the subjects whose credentials are refused although they have not expired. The zero value is ready for use. Not
// safe from several goroutines.
type Revocations struct{}

// Revoke refuses all credentials of who that were issued until now; an empty field of who names any.
func (r *Revocations) Revoke(who Subject, now time.Time) {}

// Revoked reports whether a credential of s that was issued then has been revoked.
func (r *Revocations) Revoked(s Subject, issued time.Time) bool { return false }

// Matches reports whether who, of which an empty field names any, names s.
func (who Subject) Matches(s Subject) bool {
	return (who.Tenant == "" || who.Tenant == s.Tenant) && (who.User == "" || who.User == s.User) &&
		(who.Call == "" || who.Call == s.Call)
}
