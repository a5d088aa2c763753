package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

func main() { os.Exit(run()) }

// run is main with an exit code: 0 when all went well, that of the server under a supervisor, 1 otherwise.
func run() int {
	err := newRoot().ExecuteContext(context.Background())
	var code exitCode
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	}
	fmt.Fprintln(os.Stderr, "tolkyn:", err)
	return 1
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "tolkyn",
		Short: "Voice and video calls from one binary",
		Long: "Tolkyn serves voice and video calls. 'tolkyn serve' needs no files: it runs on this machine alone;\n" +
			"'tolkyn serve --lan' opens it to the local network.",
		SilenceUsage:  true, // A wrong value is explained in its message; a page of flags would bury it.
		SilenceErrors: true, // run prints the error, once.
	}
	root.PersistentFlags().String("config", "", "configuration file in YAML (or TOLKYN_CONFIG)")
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(newServe(), newCall(), newDoctor(), newBench(), newToken(), newConfig(), newVersion())
	return root
}
