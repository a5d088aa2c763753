//go:build !linux

package client

// addressNews never comes where the system is only asked.
func addressNews() (news <-chan struct{}, stop func()) { return nil, func() {} }
