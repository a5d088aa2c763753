package browser

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/tolkyn/tolkyn/bench/source"
)

var (
	//go:embed page.js
	pageScript string
	//go:embed worker.js
	workerScript string
)

const (
	// openWithin bounds the start of Chromium, and of a page in it, on a machine that is busy with calls.
	openWithin = 30 * time.Second
	// endWithin bounds Chromium's end; after it it is killed.
	endWithin = 5 * time.Second
	// probes are the round trips by which a page's clock is compared with ours, at its start.
	probes = 20
)

// startChromium starts the process: devices and sound without asking, no slowing down of pages that nobody looks at.
func startChromium(path, origin string, wrap func(*exec.Cmd)) (context.Context, error) {
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.NoSandbox,
		chromedp.Flag("autoplay-policy", "no-user-gesture-required"),
		chromedp.Flag("use-fake-device-for-media-stream", true),
		chromedp.Flag("use-fake-ui-for-media-stream", true),
		chromedp.Flag("disable-features", "Translate,WebRtcHideLocalIpsWithMdns"),
		chromedp.Flag("disable-component-update", true),
		// Without a certificate only localhost may use all of the browser; servers under test stand elsewhere too.
		chromedp.Flag("unsafely-treat-insecure-origin-as-secure", origin),
	)
	if wrap != nil {
		options = append(options, chromedp.ModifyCmdFunc(wrap))
	}
	// Ended by chromedp.Cancel, and with this process at the latest.
	allocator, _ := chromedp.NewExecAllocator(context.Background(), options...)
	browser, _ := chromedp.NewContext(allocator)
	if err := chromedp.Do(browser); err != nil {
		return nil, fmt.Errorf("start Chromium (%s): %w", path, err)
	}
	return browser, nil
}

// tab is one page. One goroutine at a time, but for take.
type tab struct {
	ctx   context.Context
	ahead time.Duration // the page's clock is ahead of ours by so much
	off   time.Duration // at most by so much more or less; below 0: not known yet
}

// openTab opens a page of the server's origin with our scripts in it.
func openTab(browser context.Context, origin string) (*tab, error) {
	ctx, _ := chromedp.NewContext(browser) // ended by close, or with the browser
	t := &tab{ctx: ctx, off: -1}
	within, cancel := context.WithTimeout(ctx, openWithin)
	defer cancel()
	if err := chromedp.Do(ctx); err != nil {
		return nil, fmt.Errorf("open a page: %w", err)
	}
	// The server's own policy forbids all scripts but its own.
	if _, err := chromedp.Call(within, page.SetBypassCSP, page.SetBypassCSPParams{Enabled: true}); err != nil {
		return nil, fmt.Errorf("open a page: %w", err)
	}
	if err := chromedp.Do(within, chromedp.Navigate(origin+"/sdk-test.html")); err != nil {
		return nil, fmt.Errorf("open %s: %w", origin, err)
	}
	worker, err := json.Marshal(source.ReadJS + source.WriteJS + workerScript)
	if err != nil {
		return nil, err
	}
	script := fmt.Sprintf("%s\n%s\nglobalThis.tolkynWorker = %s;\n%s", source.ReadJS, source.WriteJS, worker, pageScript)
	if _, err := chromedp.Run(within, chromedp.Evaluate[string](script+"\n''")); err != nil {
		return nil, fmt.Errorf("run the caller's script: %w", err)
	}
	for range probes {
		if err := t.probe(within); err != nil {
			return nil, fmt.Errorf("compare clocks: %w", err)
		}
	}
	return t, nil
}

// probe compares clocks once: the quickest round trip says most.
func (t *tab) probe(ctx context.Context) error {
	sent := time.Now()
	theirs, err := call[float64](ctx, t, "clock")
	if err != nil {
		return err
	}
	half := time.Since(sent) / 2
	if t.off < 0 || half < t.off {
		t.off, t.ahead = half, time.UnixMicro(int64(theirs*1000)).Sub(sent.Add(half))
	}
	return nil
}

// call runs one of the page's functions.
func call[T any](ctx context.Context, t *tab, function string, arguments ...any) (T, error) {
	var out T
	var list []string
	for _, a := range arguments {
		b, err := json.Marshal(a)
		if err != nil {
			return out, err
		}
		list = append(list, string(b))
	}
	// The tab's own context carries the connection to it; the other's end is this one's.
	inner, cancel := context.WithCancel(t.ctx)
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	text, err := chromedp.Run(inner, chromedp.Evaluate[string](
		fmt.Sprintf("(async () => JSON.stringify((await tolkynCaller.%s(%s)) ?? null))()", function, strings.Join(list, ", ")),
		chromedp.EvalAwaitPromise))
	if err != nil {
		if ctx.Err() != nil {
			return out, fmt.Errorf("%s: %w", function, context.Cause(ctx))
		}
		return out, fmt.Errorf("%s: %w", function, scriptError(err))
	}
	return out, json.Unmarshal([]byte(text), &out)
}

// scriptError is what a page's code threw, without the page's stack.
func scriptError(err error) error {
	var thrown *chromedp.ExceptionError
	if !errors.As(err, &thrown) {
		return err
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	return errors.New(line)
}

// endChromium closes all pages and the process.
func endChromium(browser context.Context) error {
	ctx, cancel := context.WithTimeout(browser, endWithin)
	defer cancel()
	if err := chromedp.Cancel(ctx); err != nil {
		return fmt.Errorf("end Chromium: %w", err)
	}
	return nil
}
