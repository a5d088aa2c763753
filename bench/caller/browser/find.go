package browser

import (
	"fmt"
	"os/exec"
)

// Find returns the path of an installed Chromium. The error says how to install one.
func Find() (string, error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("browser callers need Chromium, and none is installed: apt-get install -y chromium")
}
