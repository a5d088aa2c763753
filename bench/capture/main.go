//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "capture:", err)
		os.Exit(1)
	}
}

// tries of each mode: a busy machine makes a browser leave layers out.
const tries = 3

func run() error {
	out := flag.String("out", "codec/testdata/captures", "folder for the captures")
	only := flag.String("only", "", "only modes whose name contains this")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	if err := os.MkdirAll(*out, 0o755); err != nil {
		return err
	}
	var failed error
	for _, m := range modes() {
		if !strings.Contains(m.Name, *only) {
			continue
		}
		if err := keep(ctx, m, *out); err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", m.Name, err))
			fmt.Println(m.Name, err)
		}
	}
	return errors.Join(failed, writeTable(*out))
}

func keep(ctx context.Context, m mode, out string) error {
	version, err := version(ctx, m.Browser)
	if err != nil {
		return err
	}
	for try := 1; ; try++ {
		c, last, err := record(ctx, m, version)
		if err == nil {
			text, _ := json.Marshal(last)
			fmt.Println(m.Name, len(c.Packets), string(text))
			return c.Write(filepath.Join(out, m.Name))
		}
		if try == tries || ctx.Err() != nil {
			return err
		}
	}
}
