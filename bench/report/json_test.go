package report_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/invopop/jsonschema"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tolkyn/tolkyn/bench/measure"
	"github.com/tolkyn/tolkyn/bench/report"
)

func TestJSONComesBackAsItWas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := fake(rapid.Uint64().Draw(t, "seed"), rapid.IntRange(1, 2).Draw(t, "rooms"), rapid.IntRange(2, 3).Draw(t, "people"), rapid.IntRange(1, 3).Draw(t, "seconds"))
		r.Partial = rapid.Bool().Draw(t, "partial")
		if rapid.Bool().Draw(t, "capacity") {
			r = withCapacity(r)
		}
		r.Callers[0].Error = rapid.String().Draw(t, "error")
		var b bytes.Buffer
		require.NoError(t, report.WriteJSON(&b, r))
		back, err := report.ReadJSON(&b)
		require.NoError(t, err)
		// Bytes that are no UTF-8 become U+FFFD: JSON knows no others. No stream has a reason to differ.
		r.Callers[0].Error = back.Callers[0].Error
		require.Equal(t, r.Recordings, back.Recordings)
		r.Recordings, back.Recordings = nil, nil // cmp looks at each byte
		require.Empty(t, cmp.Diff(r, back, cmpopts.EquateEmpty()))
	})
}

func TestReadJSONRefusesOtherVersions(t *testing.T) {
	_, err := report.ReadJSON(strings.NewReader(`{"schema": 2}`))
	require.ErrorIs(t, err, report.ErrSchema)
	require.ErrorContains(t, err, "2, and this bench reads 1")
	for text, want := range map[string]string{
		`{}`:                              "no field schema",
		`[{"name":"a row"}]`:              "not JSON that tolkyn bench wrote",
		`<html>`:                          "not JSON that tolkyn bench wrote",
		``:                                "not JSON that tolkyn bench wrote",
		`{"schema": 1, "streams": "all"}`: "streams",
	} {
		_, err := report.ReadJSON(strings.NewReader(text))
		require.ErrorContains(t, err, want, text)
	}
	// Fields of a newer bench are no reason to refuse.
	r, err := report.ReadJSON(strings.NewReader(`{"schema": 1, "command": "tolkyn bench", "smell": "none"}`))
	require.NoError(t, err)
	require.Equal(t, "tolkyn bench", r.Command)
}

func TestFiguresThatAreNoNumbersDoNotLoseTheReport(t *testing.T) {
	r := fake(1, 1, 3, 4)
	r.Audio.MOSWorst = math.NaN()
	r.Streams[1].Slices[2].DelayMax = math.Inf(1)
	r.Callers[0].Steps[measure.ICE] = math.NaN()
	r.Streams[0].Sound.R = math.Inf(-1)
	before := r.Streams[1].Slices[2].DelayMax

	var b bytes.Buffer
	require.NoError(t, report.WriteJSON(&b, r))
	back, err := report.ReadJSON(&b)
	require.NoError(t, err)
	require.Zero(t, back.Audio.MOSWorst)
	require.Zero(t, back.Streams[1].Slices[2].DelayMax)
	require.Zero(t, back.Streams[0].Sound.R)
	require.Contains(t, back.Callers[0].Steps, measure.ICE)
	require.Equal(t, r.Streams[1].Delay, back.Streams[1].Delay)
	warning := back.Warnings[len(back.Warnings)-1]
	for _, name := range []string{"audio.mos_p5", "streams[1].slices[2].delay_max_ms", "callers[0].steps_ms.ice", "streams[0].sound.r"} {
		require.Contains(t, warning, name)
	}
	require.Equal(t, before, r.Streams[1].Slices[2].DelayMax, "the caller's report is not touched")
	require.Len(t, r.Warnings, 1)
	for _, write := range []func() error{
		func() error { return report.WriteText(&b, r, false) },
		func() error { return report.WriteHTML(&b, r) },
		func() error { return report.WriteCSV(&b, r) },
		func() error { return report.WritePrometheus(&b, r) },
	} {
		require.NoError(t, write())
	}
}

// TestSchemaIsFresh compares the committed schema with the one that the struct and its comments make.
func TestSchemaIsFresh(t *testing.T) {
	reflector := jsonschema.Reflector{DoNotReference: true, AllowAdditionalProperties: true}
	require.NoError(t, reflector.AddGoComments("github.com/tolkyn/tolkyn/bench/report", "."))
	require.NoError(t, reflector.AddGoComments("github.com/tolkyn/tolkyn/bench", "../measure"))
	schema := reflector.Reflect(report.Report{})
	schema.ID = ""
	schema.Title = "Report of tolkyn bench"
	if version, ok := schema.Properties.Get("schema"); ok {
		version.Const = report.Schema
	}
	fresh, err := json.MarshalIndent(schema, "", " ")
	require.NoError(t, err)
	fresh = append(fresh, '\n')
	if *update {
		require.NoError(t, os.WriteFile("report.schema.json", fresh, 0o644))
		return
	}
	require.True(t, bytes.Equal(report.JSONSchema, fresh), "report.schema.json is older than Report: run go generate here")
}

func TestReportsMeetTheSchema(t *testing.T) {
	var schema any
	require.NoError(t, json.Unmarshal(report.JSONSchema, &schema))
	for name, r := range map[string]report.Report{
		"full": fake(1, 2, 3, 5), "capacity": withCapacity(fake(3, 1, 2, 1)), "empty": {},
	} {
		var b bytes.Buffer
		require.NoError(t, report.WriteJSON(&b, r))
		var v any
		require.NoError(t, json.Unmarshal(b.Bytes(), &v))
		require.Empty(t, breaches(schema, v, ""), name)
	}
	// The check itself: it sees what is missing and what has another type.
	require.NotEmpty(t, breaches(schema, map[string]any{"schema": 2.0}, ""))
	require.NotEmpty(t, breaches(schema.(map[string]any)["properties"].(map[string]any)["seconds"], "ten", ""))
}

// breaches checks a value against the words of JSON Schema that ours uses.
func breaches(schema, v any, at string) []string {
	rules, ok := schema.(map[string]any)
	if !ok {
		return nil // true: anything
	}
	var out []string
	if want, ok := rules["type"].(string); ok {
		fits := false
		switch v := v.(type) {
		case map[string]any:
			fits = want == "object"
		case []any:
			fits = want == "array"
		case string:
			fits = want == "string"
		case bool:
			fits = want == "boolean"
		case float64:
			fits = want == "number" || want == "integer" && v == math.Trunc(v)
		}
		if !fits {
			return []string{fmt.Sprintf("%s: %v is no %s", at, v, want)}
		}
	}
	if want, ok := rules["const"]; ok && want != v {
		out = append(out, at+": not the constant")
	}
	if list, ok := v.([]any); ok {
		for i, item := range list {
			out = append(out, breaches(rules["items"], item, fmt.Sprintf("%s[%d]", at, i))...)
		}
	}
	if object, ok := v.(map[string]any); ok {
		required, _ := rules["required"].([]any)
		for _, name := range required {
			if _, ok := object[name.(string)]; !ok {
				out = append(out, fmt.Sprintf("%s: %s is missing", at, name))
			}
		}
		properties, _ := rules["properties"].(map[string]any)
		for name, value := range object {
			inner, ok := properties[name]
			if !ok {
				inner = rules["additionalProperties"]
			}
			out = append(out, breaches(inner, value, at+"."+name)...)
		}
	}
	return out
}
