//go:build !linux

package udp

// newRawGroup: only Linux has the raw form.
func newRawGroup() (Group, error) { return newPortableGroup(), nil }
