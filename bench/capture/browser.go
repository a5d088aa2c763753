//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// firefoxPrefs let the page use fake devices without being asked, and plain candidates on loopback.
const firefoxPrefs = `
user_pref("media.navigator.streams.fake", true);
user_pref("media.navigator.permission.disabled", true);
user_pref("media.peerconnection.ice.loopback", true);
user_pref("media.peerconnection.ice.obfuscate_host_addresses", false);
user_pref("media.webrtc.codec.video.av1.enabled", true);
user_pref("app.update.enabled", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("browser.startup.homepage_override.mstone", "ignore");
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("dom.min_background_timeout_value", 4);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("services.settings.server", "data:,#remote-settings-dummy/v1");
user_pref("toolkit.telemetry.enabled", false);
`

// endWithin is how long a browser may take to end before it is killed.
const endWithin = 5 * time.Second

// browse opens the URL in a browser with a fresh profile, until the context ends.
func browse(ctx context.Context, name, url string) (err error) {
	profile, err := os.MkdirTemp("", "capture")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(profile)) }()
	var cmd *exec.Cmd
	if name == "firefox" {
		if err := os.WriteFile(filepath.Join(profile, "user.js"), []byte(firefoxPrefs), 0o600); err != nil {
			return err
		}
		cmd = exec.Command(program(name), "--headless", "--no-remote", "--new-instance", "--profile", profile, url)
		cmd.Env = append(os.Environ(), "HOME="+profile, "MOZ_CRASHREPORTER_DISABLE=1")
	} else {
		cmd = exec.Command(program(name), "--headless", "--no-sandbox", "--user-data-dir="+profile, "--no-first-run",
			"--use-fake-device-for-media-stream=fps=30", "--use-fake-ui-for-media-stream", "--disable-sync",
			"--autoplay-policy=no-user-gesture-required", "--disable-features=Translate,WebRtcHideLocalIpsWithMdns",
			"--disable-background-networking", "--disable-component-update", url)
	}
	// Browsers are many processes: they end as one group, and with this process at the latest.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		return fmt.Errorf("%s ended by itself: %w", name, err)
	case <-ctx.Done():
	}
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) // may have ended by now
	select {
	case <-ended:
	case <-time.After(endWithin):
	}
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what is left of the group
	return nil
}

func program(name string) string {
	if name == "firefox" {
		return "firefox-esr"
	}
	return name
}

// version is what the browser says of itself.
func version(ctx context.Context, name string) (string, error) {
	out, err := exec.CommandContext(ctx, program(name), "--version").Output()
	if err != nil {
		return "", fmt.Errorf("ask %s for its version (apt-get install -y chromium firefox-esr): %w", name, err)
	}
	text, _, _ := strings.Cut(strings.TrimSpace(string(out)), " built on")
	return text, nil
}
