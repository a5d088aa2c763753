package report_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"

	"github.com/tolkyn/tolkyn/bench/report"
)

// page parses what WriteHTML wrote, as a browser would.
func page(t *testing.T, b []byte) (all []*html.Node) {
	t.Helper()
	root, err := html.Parse(bytes.NewReader(b))
	require.NoError(t, err)
	for n := range root.Descendants() {
		if n.Type == html.ElementNode {
			all = append(all, n)
		}
	}
	return all
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func everyPage(t *testing.T) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	for name, r := range map[string]report.Report{
		"group": fake(1, 1, 6, 60), "capacity": withCapacity(fake(2, 2, 3, 10)), "hostile": hostileReport(), "empty": {},
	} {
		var b bytes.Buffer
		require.NoError(t, report.WriteHTML(&b, r))
		all[name] = b.Bytes()
	}
	for name, c := range map[string]report.Comparison{
		"comparison": planted(), "hostile comparison": report.Compare([]report.Report{hostileReport()}, []report.Report{hostileReport()}),
		"empty comparison": report.Compare(nil, nil),
	} {
		var b bytes.Buffer
		require.NoError(t, c.WriteHTML(&b))
		all[name] = b.Bytes()
	}
	for name, s := range map[string]report.Study{"study": study(), "empty study": {}} {
		var b bytes.Buffer
		require.NoError(t, s.WriteHTML(&b))
		all[name] = b.Bytes()
	}
	return all
}

func TestPageLoadsNothingFromOutside(t *testing.T) {
	outside := regexp.MustCompile(`(?i)https?:|//[a-z0-9-]+\.[a-z]|@import|url\(|fetch\(|XMLHttpRequest|new WebSocket|sendBeacon|import\(`)
	for name, b := range everyPage(t) {
		require.Empty(t, outside.FindAll(b, -1), name)
		for _, n := range page(t, b) {
			for _, a := range n.Attr {
				switch a.Key {
				case "src", "href", "poster", "data", "action", "srcset":
					ok := strings.HasPrefix(a.Val, "#") || strings.HasPrefix(a.Val, "data:audio/") || strings.HasPrefix(a.Val, "data:video/") || a.Val == "data:,"
					require.True(t, ok, "%s: %s %s=%.60q", name, n.Data, a.Key, a.Val)
				}
			}
		}
	}
}

func TestPageRunsItsOwnScriptOnly(t *testing.T) {
	for name, b := range everyPage(t) {
		policy, scripts := "", 0
		for _, n := range page(t, b) {
			for _, a := range n.Attr {
				require.False(t, strings.HasPrefix(a.Key, "on"), "%s: a handler %s on %s", name, a.Key, n.Data)
			}
			switch {
			case n.Data == "meta" && attribute(n, "http-equiv") == "Content-Security-Policy":
				policy = attribute(n, "content")
			case n.Data == "script" && attribute(n, "type") == "application/json":
				scripts++
				require.True(t, json.Valid([]byte(n.FirstChild.Data)), name)
			case n.Data == "script":
				scripts++
				sum := sha256.Sum256([]byte(n.FirstChild.Data))
				require.Contains(t, policy, "script-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"';", "%s: the browser would refuse the script", name)
			}
		}
		require.Equal(t, 2, scripts, name)
		require.True(t, strings.HasPrefix(policy, "default-src 'none';"), name)
	}
}

func TestPageShowsHostileNamesAsText(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, report.WriteHTML(&b, hostileReport()))
	shown := 0
	for _, n := range page(t, b.Bytes()) {
		require.NotEqual(t, "text/html", attribute(n, "type"))
		if n.Data == "bdi" && n.FirstChild != nil && strings.Contains(n.FirstChild.Data, "alert(1)") {
			shown++
		}
		if n.Data == "script" && attribute(n, "type") == "application/json" {
			var data struct {
				Streams struct{ Names []string }
			}
			require.NoError(t, json.Unmarshal([]byte(n.FirstChild.Data), &data))
			require.Contains(t, data.Streams.Names, hostile, "it arrives whole")
		}
	}
	require.Greater(t, shown, 3)
	require.NotContains(t, b.String(), base64.StdEncoding.EncodeToString([]byte("<script>alert(1)</script>")), "a recording that is a page")
}

func TestPageOfALargeRunStaysSmall(t *testing.T) {
	r := fake(1, 1, 16, 60) // 480 streams
	r.Streams = append(r.Streams, r.Streams[:20]...)
	r.Recordings = nil
	var b bytes.Buffer
	require.NoError(t, report.WriteHTML(&b, r))
	require.Less(t, b.Len(), 400_000)

	// Twenty times as many do not make it twenty times as large.
	for range 20 {
		r.Streams = append(r.Streams, r.Streams[:500]...)
	}
	b.Reset()
	require.NoError(t, report.WriteHTML(&b, r))
	require.Less(t, b.Len(), 1_000_000)
	require.Contains(t, b.String(), "The worst 2,000 of 10,500; JSON and CSV have all.")
}
