package client

import (
	"context"
	"net"
	"net/netip"
	"time"
)

const (
	watchEvery = 2 * time.Second
	// watchAtMost so often: one change of networks is a dozen messages of the system, the last of which matters.
	watchAtMost = 5 * time.Millisecond
)

// watch tells when another of our addresses leads to the server, or one does again, until ctx ends.
func (r *road) watch(ctx context.Context, changed func(now netip.Addr)) {
	if r.listen == nil {
		return
	}
	var news <-chan struct{}
	if r.system {
		var stop func()
		news, stop = addressNews()
		defer stop()
	}
	wait := time.NewTimer(watchEvery)
	defer wait.Stop()
	for last := r.local(ctx); ; {
		select {
		case <-ctx.Done():
			return
		case <-news:
			if sleep(ctx, watchAtMost) != nil {
				return
			}
		case <-wait.C:
		}
		wait.Reset(watchEvery)
		now := r.local(ctx)
		if now.IsValid() && now != last && ctx.Err() == nil {
			changed(now)
		}
		last = now
	}
}

// local is the address of ours from which packets to the server leave; none without a network.
func (r *road) local(ctx context.Context) netip.Addr {
	server := r.target.Load()
	if server == nil {
		all, err := resolve(ctx, r.url.Hostname())
		if err != nil || len(all) == 0 {
			return netip.Addr{}
		}
		server = net.UDPAddrFromAddrPort(netip.AddrPortFrom(all[0], guessedPort))
		r.target.Store(server)
	}
	c, err := r.listen(ctx, server)
	if err != nil {
		return netip.Addr{}
	}
	// Nothing was sent from it.
	defer func() { _ = c.Close() }()
	return addrOf(c)
}

func addrOf(c net.PacketConn) netip.Addr {
	here, ok := c.LocalAddr().(*net.UDPAddr)
	if !ok {
		return netip.Addr{}
	}
	return here.AddrPort().Addr().Unmap()
}
