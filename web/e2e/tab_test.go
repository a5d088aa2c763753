package e2e

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// pageScript runs in every page before the page's own scripts: see its opening comment.
//
//go:embed page.js
var pageScript string

// tab is one page of one browser. Its methods are called from the test's goroutine, except console.
type tab interface {
	// open loads the URL and waits until it is loaded.
	open(ctx context.Context, url string) error
	// evaluate runs an expression, waits for it when it is a promise, and returns its value as JSON.
	evaluate(ctx context.Context, expression string) ([]byte, error)
	// resize sets the size of the page in CSS pixels.
	resize(ctx context.Context, width, height int) error
	// screenshot returns what the page shows as PNG.
	screenshot(ctx context.Context) ([]byte, error)
	// console returns what the page wrote to its console so far, uncaught errors included.
	console() []string
	// close ends the page.
	close() error
}

// patience bounds one step in one page: joining, or waiting for pictures, on a machine where three browsers encode.
const patience = 40 * time.Second

// findProgram returns the path of the first of the programs that is installed.
func findProgram(t testing.TB, apt string, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	require.FailNow(t, "not installed", "none of %v is installed: apt-get install -y %s", names, apt)
	return ""
}

// show loads the URL in the tab, and arranges that a failing test tells what the page knows.
func show(t *testing.T, p tab, name, url string) {
	t.Helper()
	t.Cleanup(func() {
		if t.Failed() {
			explain(t, p, name)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, p.open(ctx, url), name)
}

// explain prints the console and the page's own report.
func explain(t *testing.T, p tab, name string) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	report, err := p.evaluate(ctx, "window.e2e?.report()")
	var text string
	if err == nil {
		err = json.Unmarshal(report, &text)
	}
	t.Logf("page %s: console:\n  %s\nreport (%v):\n%s", name, strings.Join(p.console(), "\n  "), err, text)
}

// eval runs an expression in the page and decodes its value; the test fails when it throws.
func eval[T any](t *testing.T, p tab, expression string, args ...any) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience+5*time.Second)
	defer cancel()
	value, err := evalContext[T](ctx, p, expression, args...)
	require.NoError(t, err, "in the page: "+expression)
	return value
}

// evalContext puts each argument as JSON in the place of a %v.
func evalContext[T any](ctx context.Context, p tab, expression string, args ...any) (T, error) {
	var value T
	for i, arg := range args {
		b, err := json.Marshal(arg)
		if err != nil {
			return value, err
		}
		args[i] = string(b)
	}
	text, err := p.evaluate(ctx, fmt.Sprintf(expression, args...))
	if err != nil {
		return value, err
	}
	return value, json.Unmarshal(text, &value)
}

// await waits until the expression is true in the page.
func await(t *testing.T, p tab, why, expression string, args ...any) {
	t.Helper()
	got := eval[string](t, p, "e2e.until(async () => ("+expression+"), "+fmt.Sprint(patience.Milliseconds())+")", args...)
	require.Empty(t, got, why)
}

// stringify makes any value of an expression travel as a string, the same way in both protocols.
func stringify(expression string) string {
	return "(async () => JSON.stringify((await (" + expression + ")) ?? null))()"
}
