package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Say what this binary is",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), readBuild())
			return err
		},
	}
}

// build is what this binary is.
type build struct {
	version, commit, date, platform string
}

// readBuild asks the Go linker, which notes the module's version and the commit.
func readBuild() build {
	b := build{version: "devel", commit: "unknown", date: "unknown", platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if info.Main.Version != "" && info.Main.Version != "(devel)" {
		b.version = info.Main.Version
	}
	modified := false
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			b.commit = setting.Value
		case "vcs.time":
			b.date = setting.Value
		case "vcs.modified":
			modified = setting.Value == "true"
		}
	}
	if modified {
		b.commit += " with changes"
	}
	return b
}

// String is the one line that `tolkyn version` prints.
func (b build) String() string {
	return fmt.Sprintf("tolkyn %s (commit %s of %s, %s, %s)", b.version, b.commit, b.date, runtime.Version(), b.platform)
}
