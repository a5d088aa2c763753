//go:build linux

package main

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
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
	openWithin = 30 * time.Second
	joinWithin = 30 * time.Second
	askWithin  = 10 * time.Second
	// probes are the round trips by which a page's clock is compared with ours: the quickest says most.
	probes = 50
)

// job is what a page's process is started for. It is one line on its standard input.
type job struct {
	Chromium string // path
	Origin   string // of the server
	Script   string // runs in the page before ours; LiveKit's SDK
}

// order is a further line, answered by one line.
type order struct {
	Do  string `json:"do"` // "join", "take", "leave"
	How how    `json:"how"`
}

// how is what a page is told of a join; see page.js.
type how struct {
	Kind    string `json:"kind"`
	URL     string `json:"url"`
	Token   string `json:"token"`
	Name    string `json:"name"`
	Publish bool   `json:"publish"`
}

// answer of a page's process.
type answer struct {
	Error string  `json:"error,omitempty"`
	Ahead float64 `json:"ahead,omitempty"` // of the first: ms by which the page's clock is ahead of this machine's
	Taken *taken  `json:"taken,omitempty"`
}

// taken is what a page tells at a take. Times are ms since the Unix epoch, by this machine's clock, but stamps say
// when they were sent by the sending page's.
type taken struct {
	At        float64  `json:"at"`
	Video     incoming `json:"video"`
	Audio     incoming `json:"audio"`
	Sent      outgoing `json:"sent"`
	Available float64  `json:"available"` // bits a second, Chromium's own estimate of its uplink
	Frames    []stamp  `json:"frames"`
	Errors    []string `json:"errors"`
}

// incoming are sums of getStats since the stream began.
type incoming struct {
	PacketsReceived        float64 `json:"packetsReceived"`
	PacketsLost            float64 `json:"packetsLost"`
	BytesReceived          float64 `json:"bytesReceived"`
	FramesDecoded          float64 `json:"framesDecoded"`
	TotalInterFrameDelay   float64 `json:"totalInterFrameDelay"` // s, between each picture decoded and the one before
	FreezeCount            float64 `json:"freezeCount"`
	TotalFreezesDuration   float64 `json:"totalFreezesDuration"` // s
	FrameHeight            float64 `json:"frameHeight"`          // not a sum
	Retransmitted          float64 `json:"retransmitted"`
	NackCount              float64 `json:"nackCount"`
	PLICount               float64 `json:"pliCount"`
	ConcealedSamples       float64 `json:"concealedSamples"`
	SilentConcealedSamples float64 `json:"silentConcealedSamples"`
	TotalSamples           float64 `json:"totalSamples"`
}

type outgoing struct {
	Encodings []encoding `json:"encodings"`
}

// encoding is one of a simulcast.
type encoding struct {
	RID           string  `json:"rid"`
	Active        bool    `json:"active"`
	FramesEncoded float64 `json:"framesEncoded"`
	Height        float64 `json:"height"`
	Bytes         float64 `json:"bytes"`
	Target        float64 `json:"target"` // bits a second
	Limited       string  `json:"limited"`
	LimitedCPU    float64 `json:"limitedCPU"` // s
	Retransmitted float64 `json:"retransmitted"`
}

// stamp of a picture that came: when its last packet did, and when it was encoded.
type stamp struct {
	At   float64 `json:"at"`
	Sent float64 `json:"sent"`
}

// servePage drives one Chromium, in the namespace that this process was started in, by the lines it reads, until they end.
func servePage(in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 16<<20)
	if !lines.Scan() {
		return errors.New("no job")
	}
	var j job
	if err := json.Unmarshal(lines.Bytes(), &j); err != nil {
		return err
	}
	say := json.NewEncoder(out)
	t, err := openTab(j)
	if err != nil {
		return errors.Join(err, say.Encode(answer{Error: err.Error()}))
	}
	defer t.close()
	if err := say.Encode(answer{Ahead: t.ahead}); err != nil {
		return err
	}
	for lines.Scan() {
		var o order
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			return err
		}
		a := answer{}
		if a.Taken, err = t.obey(o); err != nil {
			a.Error = err.Error()
		}
		if err := say.Encode(a); err != nil {
			return err
		}
	}
	return lines.Err()
}

// tab is one page of a Chromium of its own. One goroutine.
type tab struct {
	browser, ctx context.Context
	ahead        float64 // ms by which the page's clock is ahead of this process's
}

// openTab starts Chromium with a fresh profile and opens a page of the server's origin with our scripts in it.
func openTab(j job) (*tab, error) {
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(j.Chromium),
		chromedp.NoSandbox,
		chromedp.Flag("autoplay-policy", "no-user-gesture-required"),
		chromedp.Flag("use-fake-device-for-media-stream", "fps=30"),
		chromedp.Flag("use-fake-ui-for-media-stream", true),
		chromedp.Flag("disable-features", "Translate,WebRtcHideLocalIpsWithMdns"),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("unsafely-treat-insecure-origin-as-secure", j.Origin),
	)
	allocator, _ := chromedp.NewExecAllocator(context.Background(), options...) // ended by chromedp.Cancel, or with this process
	browser, _ := chromedp.NewContext(allocator)
	if err := chromedp.Do(browser); err != nil {
		return nil, fmt.Errorf("start Chromium (%s): %w", j.Chromium, err)
	}
	ctx, _ := chromedp.NewContext(browser)
	t := &tab{browser: browser, ctx: ctx}
	if err := t.load(j); err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

func (t *tab) load(j job) error {
	if err := chromedp.Do(t.ctx); err != nil {
		return fmt.Errorf("open a page: %w", err)
	}
	within, cancel := context.WithTimeout(t.ctx, openWithin)
	defer cancel()
	// The server's own policy forbids all scripts but its own.
	if _, err := chromedp.Call(within, page.SetBypassCSP, page.SetBypassCSPParams{Enabled: true}); err != nil {
		return fmt.Errorf("open a page: %w", err)
	}
	path := "/sdk-test.html"
	if j.Script != "" {
		path = "/" // LiveKit's is a page of one word
	}
	if err := chromedp.Do(within, chromedp.Navigate(j.Origin+path)); err != nil {
		return fmt.Errorf("open %s: %w", j.Origin, err)
	}
	worker, err := json.Marshal(source.ReadJS + source.WriteJS + workerScript)
	if err != nil {
		return err
	}
	if j.Script != "" {
		if _, err := chromedp.Run(within, chromedp.Evaluate[string](j.Script+"\n;''")); err != nil {
			return fmt.Errorf("run LiveKit's SDK: %w", err)
		}
	}
	script := fmt.Sprintf("globalThis.tolkynWorker = %s;\n%s\n;''", worker, pageScript)
	if _, err := chromedp.Run(within, chromedp.Evaluate[string](script)); err != nil {
		return fmt.Errorf("run the page's script: %w", err)
	}
	best := time.Duration(0)
	for range probes {
		sent := time.Now()
		theirs, err := call[float64](within, "clock")
		if err != nil {
			return fmt.Errorf("compare clocks: %w", err)
		}
		if half := time.Since(sent) / 2; best == 0 || half < best {
			best, t.ahead = half, theirs-float64(sent.Add(half).UnixMicro())/1000
		}
	}
	return nil
}

func (t *tab) obey(o order) (*taken, error) {
	limit := askWithin
	if o.Do == "join" {
		limit = joinWithin
	}
	ctx, cancel := context.WithTimeout(t.ctx, limit)
	defer cancel()
	switch o.Do {
	case "join":
		_, err := call[any](ctx, "join", o.How)
		return nil, err
	case "leave":
		_, err := call[any](ctx, "leave")
		return nil, err
	case "take":
		got, err := call[taken](ctx, "take")
		got.At -= t.ahead
		for i := range got.Frames {
			got.Frames[i].At -= t.ahead
		}
		return &got, err
	}
	return nil, fmt.Errorf("order %q is not known", o.Do)
}

// call runs one of the page's functions.
func call[T any](ctx context.Context, function string, arguments ...any) (out T, err error) {
	var list []string
	for _, a := range arguments {
		b, err := json.Marshal(a)
		if err != nil {
			return out, err
		}
		list = append(list, string(b))
	}
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](
		fmt.Sprintf("(async () => JSON.stringify((await tolkynCongestion.%s(%s)) ?? null))()", function, strings.Join(list, ", ")),
		chromedp.EvalAwaitPromise))
	if err != nil {
		return out, fmt.Errorf("%s: %w", function, err)
	}
	return out, json.Unmarshal([]byte(text), &out)
}

func (t *tab) close() {
	ctx, cancel := context.WithTimeout(t.browser, 5*time.Second)
	defer cancel()
	_ = chromedp.Cancel(ctx) // it ends with this process at the latest
}

// chrome is a page's process, seen from the bench. One goroutine at a time.
type chrome struct {
	cmd   *exec.Cmd
	tell  io.WriteCloser
	hear  *bufio.Scanner
	ahead float64 // ms by which the page's clock is ahead of this machine's
}

// startBrowser starts this very program as a page's process, at its end of the network by start.
func startBrowser(start func(*exec.Cmd) error, j job) (*chrome, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	b := &chrome{cmd: exec.Command(self, pageVerb)}
	b.cmd.Stderr = os.Stderr
	if b.tell, err = b.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	said, err := b.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	b.hear = bufio.NewScanner(said)
	b.hear.Buffer(nil, 16<<20)
	if err := start(b.cmd); err != nil {
		return nil, err
	}
	a, err := b.ask(j)
	if err != nil {
		b.close()
		return nil, err
	}
	b.ahead = a.Ahead
	return b, nil
}

// ask sends one line and waits for the answer.
func (b *chrome) ask(what any) (a answer, err error) {
	line, err := json.Marshal(what)
	if err != nil {
		return a, err
	}
	if _, err := b.tell.Write(append(line, '\n')); err != nil {
		return a, err
	}
	if !b.hear.Scan() {
		return a, errors.Join(errors.New("the page's process has ended"), b.hear.Err())
	}
	if err := json.Unmarshal(b.hear.Bytes(), &a); err != nil {
		return a, err
	}
	if a.Error != "" {
		return a, errors.New(a.Error)
	}
	return a, nil
}

func (b *chrome) close() {
	_ = b.tell.Close() // it hears the end of its input, or has ended
	done := make(chan struct{})
	go func() {
		_ = b.cmd.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		_ = b.cmd.Process.Kill()
		<-done
	}
}
