package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets the test binary be tolkyn itself: in scripts, and where a test starts a server as a process.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"tolkyn": func() { os.Exit(run()) }})
}

// TestScripts runs testdata/*.txt: what people type, and what they must read.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata"})
}
