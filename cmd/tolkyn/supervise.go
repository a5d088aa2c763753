package main

import (
	"fmt"
	"os"
	"strconv"

	"github.com/tolkyn/tolkyn/cmd/tolkyn/internal/config"
	"github.com/tolkyn/tolkyn/cmd/tolkyn/internal/supervisor"
)

// exitCode is the error of a command that has said what went wrong already: run ends with the code and adds nothing.
type exitCode int

// Error is for whoever prints it all the same.
func (c exitCode) Error() string { return "exit code " + strconv.Itoa(int(c)) }

// supervise runs this very command again as a child, until it ends for good.
func supervise(c config.Config) error {
	log, err := newLogger(os.Stderr, c.Log)
	if err != nil {
		return fmt.Errorf("log.level: %w", err)
	}
	path, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program to run it as a child: %w; --supervisor=false runs the server without", err)
	}
	code, err := supervisor.Run(supervisor.Config{
		Path: path, Args: os.Args, Env: os.Environ(), Stdout: os.Stdout, Stderr: os.Stderr, Logger: log,
	})
	switch {
	case err != nil:
		return fmt.Errorf("%w; --supervisor=false runs the server without", err)
	case code != 0:
		return exitCode(code)
	}
	return nil
}

// wantsSupervisor says whether the server is to run as a child: as configured, else where nobody else would start it again.
func wantsSupervisor(c config.Config, origins config.Origins, getenv func(string) string, pid, parent int) bool {
	if origins.Of("supervisor.enabled") != "" {
		return c.Supervisor.Enabled
	}
	return c.Supervisor.Enabled && !isRestarted(getenv, pid, parent)
}

// isRestarted says whether what has started this process watches over it: the runtime of a container, or a manager of
// services.
func isRestarted(getenv func(string) string, pid, parent int) bool {
	if pid == 1 {
		return true
	}
	if getenv("INVOCATION_ID") == "" {
		return getenv("NOTIFY_SOCKET") != ""
	}
	// Whatever a service starts inherits the variables of systemd, a shell on a desktop too: only SYSTEMD_EXEC_PID (systemd
	// 248) names the process that systemd itself looks after.
	if main := getenv("SYSTEMD_EXEC_PID"); main != "" {
		return main == strconv.Itoa(pid)
	}
	return parent == 1
}
