//go:build !linux

package main

import (
	"errors"

	"github.com/spf13/cobra"
)

func newBench() *cobra.Command {
	return &cobra.Command{
		Use:   "bench",
		Short: "Measure what a call feels like (on Linux)",
		RunE:  func(*cobra.Command, []string) error { return errors.New("bench runs on Linux alone") },
	}
}
