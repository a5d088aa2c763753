package report

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"strings"

	"github.com/tolkyn/tolkyn/bench/measure"
)

// JSONSchema is the JSON Schema (draft 2020-12) of what WriteJSON writes.
//
//go:generate go test -run TestSchemaIsFresh . -update
//go:embed report.schema.json
var JSONSchema []byte

// maxReport bounds what ReadJSON takes: far above a day of 20,000 callers, far below what would fill a machine.
const maxReport = 4 << 30

// ErrSchema says that a report was written under another Schema than this one.
var ErrSchema = errors.New("report has another schema")

// WriteJSON writes r as one JSON object. Its schema becomes Schema, and figures that are no numbers become 0 with a
// warning that names them: an hour's run is not lost over one division.
func WriteJSON(w io.Writer, r Report) error {
	b, err := json.MarshalIndent(settled(r), "", " ")
	if err != nil {
		return fmt.Errorf("encode report: %w", err)
	}
	if _, err := w.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// ReadJSON reads what WriteJSON wrote. Fields that it does not know are left out: a newer bench may add some. A report
// of another schema is refused with ErrSchema.
func ReadJSON(r io.Reader) (Report, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxReport))
	if err != nil {
		return Report{}, fmt.Errorf("read report: %w", err)
	}
	var head struct {
		Schema *int `json:"schema"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return Report{}, fmt.Errorf("read report: it is not JSON that tolkyn bench wrote: %w", err)
	}
	switch {
	case head.Schema == nil:
		return Report{}, fmt.Errorf("read report: it has no field schema: is it a file that tolkyn bench --json wrote?")
	case *head.Schema != Schema:
		return Report{}, fmt.Errorf("read report: %w: %d, and this bench reads %d: read it with the bench that wrote it, "+
			"or measure again", ErrSchema, *head.Schema, Schema)
	}
	var out Report
	if err := json.Unmarshal(b, &out); err != nil {
		return Report{}, fmt.Errorf("read report: %w", err)
	}
	return out, nil
}

// settled returns r ready to be shown: with its schema, lists that are empty instead of absent (readers in other
// languages need not ask), and finite numbers only. It does not touch what r points to.
func settled(r Report) Report {
	r.Schema = Schema
	r.Conditions = listed(r.Conditions)
	r.Warnings = append([]string{}, r.Warnings...)
	r.Callers = listed(r.Callers)
	r.Streams = listed(r.Streams)
	r.Timeline = listed(r.Timeline)
	r.Usage = listed(r.Usage)
	r.Links = listed(r.Links)
	if r.Capacity != nil {
		c := *r.Capacity
		c.Tries = append([]Try{}, c.Tries...)
		for i := range c.Tries {
			c.Tries[i].Conditions = listed(c.Tries[i].Conditions)
		}
		r.Capacity = &c
	}
	if r.Setup == nil {
		r.Setup = map[measure.Step]measure.Distribution{}
	}
	var wrong []string
	v := reflect.New(reflect.TypeFor[Report]()).Elem()
	v.Set(finite(reflect.ValueOf(r), &wrong))
	r = v.Interface().(Report)
	if len(wrong) > 0 {
		const most = 5
		names := strings.Join(wrong[:min(most, len(wrong))], ", ")
		if len(wrong) > most {
			names = fmt.Sprintf("%s and %d more", names, len(wrong)-most)
		}
		r.Warnings = append(r.Warnings, "Not numbers, shown as 0: "+names+".")
	}
	return r
}

func listed[T any](v []T) []T {
	if v == nil {
		return []T{}
	}
	return v
}

// finite returns v without infinite numbers and NaN, and adds the names of the fields that held some. What holds none is not
// copied, and names are put together on the way back from one that does: a report holds millions of numbers.
func finite(v reflect.Value, wrong *[]string) reflect.Value {
	switch v.Kind() {
	case reflect.Float64:
		if f := v.Float(); math.IsNaN(f) || math.IsInf(f, 0) {
			*wrong = append(*wrong, "")
			return reflect.Zero(v.Type())
		}
	case reflect.Pointer:
		if v.IsNil() {
			return v
		}
		if inner, ok := mended(v.Elem(), wrong, nil); ok {
			out := reflect.New(v.Type().Elem())
			out.Elem().Set(inner)
			return out
		}
	case reflect.Struct:
		if v.Type().PkgPath() == "time" {
			return v
		}
		out, copied := v, false
		for i := range v.NumField() {
			inner, ok := mended(v.Field(i), wrong, func() string { return fieldName(v.Type().Field(i)) })
			if !ok {
				continue
			}
			if !copied {
				out, copied = reflect.New(v.Type()).Elem(), true
				out.Set(v)
			}
			out.Field(i).Set(inner)
		}
		return out
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 || v.Type().Elem().Kind() == reflect.String {
			return v
		}
		out, copied := v, false
		for i := range v.Len() {
			inner, ok := mended(v.Index(i), wrong, func() string { return fmt.Sprintf("[%d]", i) })
			if !ok {
				continue
			}
			if !copied {
				out, copied = reflect.MakeSlice(v.Type(), v.Len(), v.Len()), true
				reflect.Copy(out, v)
			}
			out.Index(i).Set(inner)
		}
		return out
	case reflect.Map:
		out, copied := v, false
		for _, key := range v.MapKeys() {
			inner, ok := mended(v.MapIndex(key), wrong, key.String)
			if !ok {
				continue
			}
			if !copied {
				out, copied = reflect.MakeMap(v.Type()), true
				for _, k := range v.MapKeys() {
					out.SetMapIndex(k, v.MapIndex(k))
				}
			}
			out.SetMapIndex(key, inner)
		}
		return out
	}
	return v
}

// mended returns what finite makes of a part, and whether it had to do anything. What it found gets the part's name in front.
func mended(v reflect.Value, wrong *[]string, name func() string) (reflect.Value, bool) {
	before := len(*wrong)
	out := finite(v, wrong)
	if len(*wrong) == before {
		return v, false
	}
	if name != nil {
		for i, inside := range (*wrong)[before:] {
			full := name()
			if inside != "" && inside[0] != '[' {
				full += "."
			}
			(*wrong)[before+i] = full + inside
		}
	}
	return out, true
}

func fieldName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}
