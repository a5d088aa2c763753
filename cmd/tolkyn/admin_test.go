package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/cmd/tolkyn/internal/config"
	"github.com/tolkyn/tolkyn/sfu"
	"github.com/tolkyn/tolkyn/signaling"
)

func TestAdmin(t *testing.T) {
	healthy := func(context.Context) error { return nil }
	stuck := func(context.Context) error { return errors.New("shard 0 does not answer") }
	for _, test := range []struct {
		name  string
		path  string
		probe func(context.Context) error
		drain bool
		pprof bool
		want  int
		body  string
	}{
		{"alive", "/livez", healthy, false, false, 200, "ok\n"},
		{"alive while draining", "/livez", healthy, true, false, 200, "ok\n"},
		{"ready", "/readyz", healthy, false, false, 200, "ok\n"},
		{"not ready while draining", "/readyz", healthy, true, false, 503, "draining\n"},
		{"not ready with a stuck shard", "/readyz", stuck, false, false, 503, "media: shard 0 does not answer\n"},
		{"no pprof unless asked", "/debug/pprof/", healthy, false, false, 404, ""},
		{"pprof", "/debug/pprof/", healthy, false, true, 200, ""},
		{"metrics", "/metrics", healthy, false, false, 200, ""},
		{"nothing else", "/", healthy, false, true, 404, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := newLoad(config.Default().Limits)
			if test.drain {
				l.Drain()
			}
			metrics := newMetrics(figures{
				load:      l,
				sfu:       func() (sfu.Stats, bool) { return sfu.Stats{}, false },
				signaling: func() signaling.Stats { return signaling.Stats{Errors: map[string]uint64{"BUSY": 1}} },
			})
			recorder := httptest.NewRecorder()
			newAdmin(l, test.probe, metrics, test.pprof).
				ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, test.path, nil))
			require.Equal(t, test.want, recorder.Code)
			if test.body != "" {
				require.Equal(t, test.body, recorder.Body.String())
			}
		})
	}
}
