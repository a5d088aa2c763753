package netem

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/tolkyn/tolkyn/internal/netsim"
)

// Limits of a trace's text: more than a day of steps of a second, and no line that a person wrote.
const (
	maxTraceSteps   = 100_000
	maxTraceLine    = 1000
	maxTraceSeconds = 7 * 24 * 3600
	maxTraceKbit    = 1e9 // 1 Tbit/s
)

// ParseTrace reads a trace written as lines of "seconds,kbit/s[,delay ms[,loss %]]", in order of time:
//
//	# seconds,kbit/s,delay ms,loss %
//	0,2500,40,0
//	10,600,80,2.5
//	14.5,0           nothing leaves the queue
//	16,-             no limit
//	loop,30          begins again after 30 s
//
// Each step is base with what its line says in place; a delay or loss that a line leaves out is that of base. A rate of 0
// has packets wait until the next step; those over 100,000 bytes are dropped. Empty lines and what stands behind # are
// passed over. Errors name the line.
func ParseTrace(r io.Reader, base netsim.LinkConfig) (netsim.Trace, error) {
	var t netsim.Trace
	err := eachLine(r, func(line string) error {
		fields := strings.Split(line, ",")
		for i := range fields {
			fields[i] = strings.TrimSpace(fields[i])
		}
		if fields[0] == "loop" {
			if len(fields) != 2 || t.Loop != 0 {
				return errors.New(`write "loop,seconds", once`)
			}
			var err error
			t.Loop, err = seconds(fields[1])
			if err == nil && t.Loop == 0 {
				err = errors.New("it begins again after 0 s: give a time above 0")
			}
			return err
		}
		step, err := parseStep(fields, base)
		if err != nil {
			return err
		}
		if last := len(t.Steps) - 1; last >= 0 && step.At <= t.Steps[last].At {
			return fmt.Errorf("%v is not after the line before: put them in order", step.At)
		}
		if len(t.Steps) == maxTraceSteps {
			return fmt.Errorf("more than %d steps", maxTraceSteps)
		}
		t.Steps = append(t.Steps, step)
		return nil
	})
	if err == nil && len(t.Steps) == 0 {
		err = errors.New("no step in it")
	}
	if err == nil {
		err = t.Check()
	}
	if err != nil {
		return netsim.Trace{}, fmt.Errorf("read trace: %w", err)
	}
	return t, nil
}

func parseStep(fields []string, base netsim.LinkConfig) (netsim.Step, error) {
	step := netsim.Step{Link: base}
	if len(fields) < 2 || len(fields) > 4 {
		return step, errors.New(`write "seconds,kbit/s[,delay ms[,loss %]]"`)
	}
	var err error
	if step.At, err = seconds(fields[0]); err != nil {
		return step, err
	}
	if fields[1] == "-" {
		step.Link.Rate = 0
	} else {
		rate, err := figure("kbit/s", fields[1], maxTraceKbit)
		if err != nil {
			return step, err
		}
		step.Link = rated(base, int64(math.Round(rate*kbit)))
	}
	if len(fields) > 2 {
		delay, err := figure("delay in ms", fields[2], 3_600_000)
		if err != nil {
			return step, err
		}
		step.Link.Delay = time.Duration(math.Round(delay * 1e6))
	}
	if len(fields) > 3 {
		loss, err := figure("loss in %", fields[3], 100)
		if err != nil {
			return step, err
		}
		step.Link.Loss = loss / 100
	}
	return step, nil
}

// rated is a link with a rate that a trace tells; 0: it stalls.
func rated(link netsim.LinkConfig, rate int64) netsim.LinkConfig {
	link.Rate = rate
	if rate < 1000 { // slower than a packet in 10 s: the queue in time of it would hold nothing
		link.Rate = max(rate, netsim.Stalled)
		if link.Queue == 0 {
			link.Queue = stalledQueue
		}
	}
	return link
}

// stalledQueue is how many bytes wait for a link that stands still: 1 s of 800 kbit/s.
const stalledQueue = 100_000

// Deliveries of mahimahi: a line holds a time in milliseconds at which one packet of so many bytes could leave.
const (
	deliverySize = 1504
	deliveryBin  = 20 * time.Millisecond // of which rates are made: long enough for one packet at 600 kbit/s
)

// ParseDeliveries reads a packet-delivery trace as mahimahi's mm-link takes it: a line for each packet of 1,504 bytes that
// can leave, with its time in whole milliseconds, in order. The trace begins again after the last. Rates are made of it over
// 20 ms each; all else is as base.
func ParseDeliveries(r io.Reader, base netsim.LinkConfig) (netsim.Trace, error) {
	var t netsim.Trace
	last, bin, inBin := int64(-1), int64(0), int64(0)
	flush := func() error {
		link := rated(base, inBin*deliverySize*8*int64(time.Second/deliveryBin))
		if n := len(t.Steps); n == 0 || t.Steps[n-1].Link != link {
			if n == maxTraceSteps {
				return fmt.Errorf("more than %d changes of the rate", maxTraceSteps)
			}
			t.Steps = append(t.Steps, netsim.Step{At: time.Duration(bin) * deliveryBin, Link: link})
		}
		return nil
	}
	width := deliveryBin.Milliseconds()
	err := eachLine(r, func(line string) error {
		at, err := strconv.ParseInt(line, 10, 64)
		switch {
		case err != nil || at < 0 || at > maxTraceSeconds*1000:
			return fmt.Errorf("%q is no time in milliseconds", line)
		case at < last:
			return fmt.Errorf("%d ms is before the line before: put them in order", at)
		}
		last = at
		if at/width > bin {
			if err := flush(); err != nil {
				return err
			}
			if bin, inBin = bin+1, 0; at/width > bin { // a gap
				if err := flush(); err != nil {
					return err
				}
				bin = at / width
			}
		}
		inBin++
		return nil
	})
	switch {
	case err == nil && last <= 0:
		err = errors.New("no time above 0 in it")
	case err == nil:
		err = flush()
	}
	if err != nil {
		return netsim.Trace{}, fmt.Errorf("read packet-delivery trace: %w", err)
	}
	t.Loop = time.Duration(bin+1) * deliveryBin
	return t, nil
}

// eachLine calls f with each line that says something, without comment and blanks around it.
func eachLine(r io.Reader, f func(string) error) error {
	scanner := bufio.NewScanner(r)
	scanner.Buffer(make([]byte, 0, maxTraceLine), maxTraceLine)
	number := 0
	for scanner.Scan() {
		number++
		line, _, _ := strings.Cut(scanner.Text(), "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if err := f(line); err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
	}
	if err := scanner.Err(); err != nil {
		return fmt.Errorf("line %d: %w", number+1, err)
	}
	return nil
}

func seconds(s string) (time.Duration, error) {
	v, err := figure("seconds", s, maxTraceSeconds)
	return time.Duration(math.Round(v * 1e9)), err
}

// figure reads a number from 0 to limit.
func figure(what, s string, limit float64) (float64, error) {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || !(v >= 0 && v <= limit) { // NaN is neither
		return 0, fmt.Errorf("%s %q: give a number from 0 to %g", what, s, limit)
	}
	return v, nil
}
