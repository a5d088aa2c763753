//go:build linux

package main

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"time"

	"github.com/tolkyn/tolkyn/bench/server"
)

// clients that send at once, each with an allocation of its own, except beside a flood.
const clients = 50

// load is what turnutils_uclient does.
type load struct {
	name     string
	size     int // bytes of a message
	interval int // ms between a client's messages
	flags    []string
	tls      bool
}

func (b *bench) load(l load) error {
	ours, theirs, err := b.alternate(func(s side) ([]float64, error) {
		one, err := s.start()
		if err != nil {
			return nil, err
		}
		defer one.stop()
		peer, port, err := startPeer()
		if err != nil {
			return nil, err
		}
		defer peer.Stop()
		before, err := server.CPU(one.pid)
		if err != nil {
			return nil, err
		}
		sent, lost, err := l.play(b.ctx, one, port, b.messages, clients)
		if err != nil {
			return nil, err
		}
		after, err := server.CPU(one.pid)
		if err != nil {
			return nil, err
		}
		relayed := float64(2*sent - lost)
		return []float64{float64(after-before) / relayed / 1000, float64(lost) / float64(sent)}, nil
	})
	if err != nil {
		return err
	}
	b.keep(l.name, "us/packet", 0, ours, theirs)
	b.keep(l.name+"_lost", "share", 1, ours, theirs)
	return nil
}

var lostLine = regexp.MustCompile(`Total lost packets (\d+)`)

// play runs the load to its end and returns how many messages were sent and how many did not come back.
func (l load) play(ctx context.Context, s *subject, peer uint16, messages, clients int) (sent, lost int, err error) {
	port := s.port
	if l.tls {
		port = s.tlsPort
	}
	arguments := append([]string{
		"-c", "-e", "127.0.0.1", "-r", fmt.Sprint(peer), "-u", user, "-w", password, "-m", fmt.Sprint(clients),
		"-n", fmt.Sprint(messages), "-l", fmt.Sprint(l.size), "-z", fmt.Sprint(l.interval), "-p", fmt.Sprint(port),
	}, append(l.flags, "127.0.0.1")...)
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute+time.Duration(messages*l.interval)*2*time.Millisecond)
	defer cancel()
	out, err := exec.CommandContext(ctx, "turnutils_uclient", arguments...).CombinedOutput()
	if err != nil {
		return 0, 0, fmt.Errorf("turnutils_uclient: %w: %s", err, tail(out))
	}
	found := lostLine.FindSubmatch(out)
	if found == nil {
		return 0, 0, fmt.Errorf("turnutils_uclient said nothing of lost packets: %s", tail(out))
	}
	lost, err = strconv.Atoi(string(found[1]))
	return messages * clients, lost, err
}

func tail(out []byte) []byte { return out[max(0, len(out)-400):] }
