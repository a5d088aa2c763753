package e2e

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// chromium is a browser context of a Chromium: storage, connections and pages apart from all others.
type chromium struct {
	ctx context.Context
	id  cdp.BrowserContextID // "" where the process has no other
}

var sharedChromium shared[*chromium]

// startChromium returns a fresh browser context of the Chromium of all tests; or where more is wanted of it, a Chromium of its
// own. Either ends with the test.
func startChromium(t *testing.T, more ...chromedp.ExecAllocatorOption) *chromium {
	t.Helper()
	if len(more) > 0 {
		return runChromium(t, more...)
	}
	all := sharedChromium.get(t, func(t testing.TB) *chromium { return runChromium(t) })
	process := chromedp.FromContext(all.ctx).Browser
	made, err := cdp.Call(all.ctx, process, target.CreateBrowserContext, target.CreateBrowserContextParams{})
	require.NoError(t, err)
	id := made.BrowserContextID
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(all.ctx, 10*time.Second)
		defer cancel()
		_, err := cdp.Call(ctx, process, target.DisposeBrowserContext, target.DisposeBrowserContextParams{BrowserContextID: id})
		if err != nil {
			t.Logf("close the pages: %v", err)
		}
	})
	return &chromium{all.ctx, id}
}

// runChromium starts a headless Chromium with a fresh profile that lets pages use microphones and play sound without being asked,
// and does not slow down pages in the background. It ends with the test.
func runChromium(t testing.TB, more ...chromedp.ExecAllocatorOption) *chromium {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(findProgram(t, "chromium", "chromium", "chromium-browser", "google-chrome")),
		chromedp.UserDataDir(t.TempDir()),
		chromedp.NoSandbox,
		chromedp.Flag("autoplay-policy", "no-user-gesture-required"),
		chromedp.Flag("use-fake-device-for-media-stream", "fps=30"),
		chromedp.Flag("use-fake-ui-for-media-stream", true),
		chromedp.Flag("disable-features", "Translate,WebRtcHideLocalIpsWithMdns"),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("lang", "en"),
		chromedp.WindowSize(1280, 800),
	)
	allocator, _ := chromedp.NewExecAllocator(context.Background(), append(options, more...)...)
	browser, _ := chromedp.NewContext(allocator)
	require.NoError(t, chromedp.Do(browser), "start Chromium")
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(browser, 10*time.Second)
		defer cancel()
		if err := chromedp.Cancel(ctx); err != nil {
			t.Logf("end Chromium: %v", err)
		}
	})
	return &chromium{ctx: browser}
}

// chromiumTab is a page in a window of its own, so that it is visible and gets animation frames.
type chromiumTab struct {
	ctx context.Context

	mu    sync.Mutex
	lines []string // guarded by mu
}

func (b *chromium) tab(t *testing.T) tab {
	t.Helper()
	var within []chromedp.ContextOption
	if b.id != "" {
		within = append(within, chromedp.WithExistingBrowserContext(b.id))
	}
	ctx, cancel := chromedp.NewContext(b.ctx, within...)
	t.Cleanup(cancel)
	c := &chromiumTab{ctx: ctx}
	require.NoError(t, chromedp.Do(ctx), "open a tab")
	messages := chromedp.Console(ctx)
	go func() { // ends with the tab
		for m, err := range messages {
			if err != nil {
				return
			}
			c.mu.Lock()
			c.lines = append(c.lines, string(m.Type)+": "+m.Text)
			c.mu.Unlock()
		}
	}()
	_, err := chromedp.Call(ctx, page.AddScriptToEvaluateOnNewDocument,
		page.AddScriptToEvaluateOnNewDocumentParams{Source: pageScript})
	require.NoError(t, err)
	return c
}

// within returns the tab's context with the deadline of another.
func (c *chromiumTab) within(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(c.ctx)
	}
	return context.WithDeadline(c.ctx, deadline)
}

func (c *chromiumTab) open(ctx context.Context, url string) error {
	ctx, cancel := c.within(ctx)
	defer cancel()
	return chromedp.Do(ctx, chromedp.Navigate(url))
}

func (c *chromiumTab) evaluate(ctx context.Context, expression string) ([]byte, error) {
	ctx, cancel := c.within(ctx)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](stringify(expression), chromedp.EvalAwaitPromise))
	return []byte(text), err
}

func (c *chromiumTab) resize(ctx context.Context, width, height int) error {
	ctx, cancel := c.within(ctx)
	defer cancel()
	return chromedp.Do(ctx, chromedp.EmulateViewport(int64(width), int64(height)))
}

func (c *chromiumTab) screenshot(ctx context.Context) ([]byte, error) {
	ctx, cancel := c.within(ctx)
	defer cancel()
	return chromedp.Run(ctx, chromedp.CaptureScreenshot())
}

func (c *chromiumTab) console() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.lines...)
}

func (c *chromiumTab) close() error {
	ctx, cancel := context.WithTimeout(c.ctx, 10*time.Second)
	defer cancel()
	return chromedp.Cancel(ctx)
}
