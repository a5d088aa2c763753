package main

import (
	"fmt"
	"io"
	"net"
	"strings"

	"rsc.io/qr"
)

// pageURL is where a browser finds the page that listens on bound; host stands in for a wildcard.
func pageURL(scheme string, bound net.Addr, host string) string {
	_, port, err := net.SplitHostPort(bound.String())
	if err != nil {
		return scheme + "://" + bound.String()
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}

// announce says how to open the page. In lan mode url carries the invitation, and a code shows it to phones.
func announce(out io.Writer, m mode, url string) error {
	switch m {
	case local:
		_, err := fmt.Fprintf(out, "Tolkyn is ready: open %s\n", url)
		return err
	case relayAlone:
		_, err := fmt.Fprintf(out, "Tolkyn relays at %s\n", url)
		return err
	case production:
		_, err := fmt.Fprintf(out, "Tolkyn is ready at %s\n", url)
		return err
	}
	code, err := qr.Encode(url, qr.L)
	if err != nil {
		return fmt.Errorf("draw the code for phones: %w", err)
	}
	_, err = fmt.Fprintf(out, "Tolkyn is ready: open %s\n%s"+
		"The certificate is self-made: each device asks once whether to trust it. The invitation holds for 10 minutes.\n",
		url, drawCode(code))
	return err
}

// quiet is the white border that readers need around a code, in modules (ISO 18004 asks for 4; 2 is enough for phones
// and leaves room on a small terminal).
const quiet = 2

// drawCode draws two rows of modules in one line of text, light on whatever the terminal's background is.
func drawCode(code *qr.Code) string {
	var text strings.Builder
	for y := -quiet; y < code.Size+quiet; y += 2 {
		text.WriteString("\x1b[30;107m") // Black on white, so that dark terminals do not turn the code inside out.
		for x := -quiet; x < code.Size+quiet; x++ {
			top, bottom := code.Black(x, y), code.Black(x, y+1) // False outside the code.
			switch {
			case top && bottom:
				text.WriteRune('█')
			case top:
				text.WriteRune('▀')
			case bottom:
				text.WriteRune('▄')
			default:
				text.WriteByte(' ')
			}
		}
		text.WriteString("\x1b[0m\n")
	}
	return text.String()
}
