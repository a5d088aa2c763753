package scenario

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tolkyn/tolkyn/internal/spell"
)

// Known is what other parts of the bench understand: each says what is wrong with a text, or nil. One that is not set accepts
// all.
type Known struct {
	Condition func(text string) error // of pass
	Preset    func(name string) error // a network's
	Trace     func(text string) error // a network's
}

// Check says whether s can be played. The error is Problems.
func Check(s Scenario, known Known) error {
	if problems := validate(s, known, origins{}); len(problems) > 0 {
		return problems
	}
	return nil
}

// validator notes what is wrong with values that have the right type.
type validator struct {
	scenario Scenario
	known    Known
	origins  origins
	problems Problems
}

func (v *validator) problem(key, format string, args ...any) {
	v.problems = append(v.problems, Problem{Origin: v.origins.of(key), Key: key, Text: fmt.Sprintf(format, args...)})
}

// validate checks what the values mean, alone and together. What is together looks at sizes first: later checks count on them.
func validate(s Scenario, known Known, from origins) Problems {
	v := &validator{scenario: s, known: known, origins: from}
	v.fields(reflect.ValueOf(s), "")
	if len(v.problems) > 0 {
		return v.problems
	}
	v.size()
	if len(v.problems) > 0 {
		return v.problems
	}
	v.names()
	for i, room := range s.Rooms {
		v.room(fmt.Sprintf("rooms[%d]", i), room)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Networks)) {
		v.network(join("networks", name), name, s.Networks[name])
	}
	v.conditions()
	if s.Warmup >= s.Duration {
		v.problem("warmup", "got %v of a run of %v: nothing would be measured; make it shorter", s.Warmup, s.Duration)
	}
	if len(v.problems) == 0 {
		v.arrivals()
	}
	return v.problems
}

// rule is what a field's tags say about its values.
type rule struct {
	required    bool
	enum        []string
	pattern     *regexp.Regexp
	low, high   int64 // of whole numbers, or of the length of what has one; high 0: no limit
	from, to    string
	least, most int64 // from and to as durations or rates
}

// ruleOf reads the tags of a field.
func ruleOf(f reflect.StructField) rule {
	var r rule
	for part := range strings.SplitSeq(f.Tag.Get("jsonschema"), ",") {
		name, value, _ := strings.Cut(part, "=")
		number, _ := strconv.ParseInt(value, 10, 64)
		switch name {
		case "required":
			r.required = true
		case "enum":
			r.enum = append(r.enum, value)
		case "pattern":
			r.pattern = regexp.MustCompile(value)
		case "minimum", "minItems":
			r.low = number
		case "maximum", "maxItems", "maxLength", "maxProperties":
			r.high = number
		}
	}
	r.from, r.to, _ = strings.Cut(f.Tag.Get("range"), "..")
	r.least, r.most = limit(f.Type, r.from), limit(f.Type, r.to)
	return r
}

// limit is one end of a range tag of a field of type t.
func limit(t reflect.Type, text string) int64 {
	if t == reflect.TypeFor[Rate]() {
		var rate Rate
		_ = rate.UnmarshalText([]byte(text)) // An empty tag is no limit.
		return int64(rate)
	}
	d, _ := time.ParseDuration(text)
	return int64(d)
}

// fields holds every value to the tags of its field.
func (v *validator) fields(value reflect.Value, key string) {
	switch value.Kind() {
	case reflect.Pointer:
		if !value.IsNil() {
			v.fields(value.Elem(), key)
		}
	case reflect.Slice:
		for i := range value.Len() {
			v.fields(value.Index(i), fmt.Sprintf("%s[%d]", key, i))
		}
	case reflect.Map:
		names := value.MapKeys()
		slices.SortFunc(names, func(a, b reflect.Value) int { return cmp.Compare(a.String(), b.String()) })
		for _, name := range names {
			v.fields(value.MapIndex(name), join(key, name.String()))
		}
	case reflect.Float64:
		if share := value.Float(); !(share >= 0 && share <= 1) {
			v.problem(key, "got %v, want a share from 0%% to 100%%", Share(share))
		}
	case reflect.Struct:
		for i := range value.NumField() {
			if f := value.Type().Field(i); keyOf(f) != "-" {
				v.field(value.Field(i), ruleOf(f), join(key, keyOf(f)))
				v.fields(value.Field(i), join(key, keyOf(f)))
			}
		}
	}
}

// field holds one value to its rule. Zero is a default unless the field is required.
func (v *validator) field(value reflect.Value, r rule, key string) {
	if value.IsZero() {
		if r.required {
			v.problem(key, "is missing, want %s", v.want(value, r))
		}
		return
	}
	switch value.Kind() {
	case reflect.String:
		v.text(value.String(), r, key)
	case reflect.Slice, reflect.Map:
		if n := int64(value.Len()); n < r.low || r.high > 0 && n > r.high {
			v.problem(key, "got %d entries, want %d to %d", n, r.low, r.high)
		}
	case reflect.Int:
		if n := value.Int(); n < r.low || n > r.high {
			v.problem(key, "got %d, want a whole number from %d to %d", n, r.low, r.high)
		}
	case reflect.Uint64:
		if n := value.Uint(); n > uint64(r.high) {
			v.problem(key, "got %d, want a whole number from 0 to %d", n, r.high)
		}
	case reflect.Int64: // Durations and rates.
		if n := value.Int(); n < r.least || n > r.most {
			v.problem(key, "got %v, want from %s to %s", value.Interface(), r.from, r.to)
		}
	}
}

func (v *validator) want(value reflect.Value, r rule) string {
	switch {
	case len(r.enum) > 0:
		return "one of " + strings.Join(r.enum, ", ")
	case value.Kind() == reflect.Slice:
		return "a list"
	case value.Kind() == reflect.Int:
		return fmt.Sprintf("a whole number from %d to %d", r.low, r.high)
	case r.from != "":
		return "from " + r.from + " to " + r.to
	default:
		return expected(value.Type())
	}
}

func (v *validator) text(got string, r rule, key string) {
	switch {
	case r.high > 0 && int64(len(got)) > r.high:
		v.problem(key, "got %d characters, want at most %d", len(got), r.high)
	case r.pattern != nil && !r.pattern.MatchString(got):
		v.problem(key, "got %q, want small letters, digits and dashes, for example class-7", got)
	case len(r.enum) > 0 && !slices.Contains(r.enum, got):
		v.problem(key, "got %q, want one of %s%s", got, strings.Join(r.enum, ", "), didYouMean(got, r.enum))
	}
}

// size keeps the whole within what a machine can hold.
func (v *validator) size() {
	rooms, people := v.scenario.Size()
	if rooms > MaxRooms {
		v.problem("rooms", "got %d rooms with all copies, want at most %d", rooms, MaxRooms)
	}
	if people > MaxPeople {
		v.problem("rooms", "got %d callers in all rooms, want at most %d", people, MaxPeople)
	}
	events, records := 0.0, 0
	for _, room := range v.scenario.Rooms {
		for _, group := range room.Callers {
			events += float64(room.copies()*group.people()) * group.expectedEvents(v.scenario.Duration)
			records += min(group.Record, group.people())
		}
	}
	if events > MaxEvents {
		v.problem("rooms", "got about %.0f comings, goings and mutes, want at most %d: fewer callers, a shorter run, or a longer churn and talk",
			events, MaxEvents)
	}
	if records > maxRecords {
		v.problem("rooms", "got %d callers to record, want at most %d", records, maxRecords)
	}
}

// expectedEvents is how many events one caller of the group has in a run, by the means.
func (g Group) expectedEvents(run time.Duration) float64 {
	events := 2 + float64(len(g.Reconnect))
	if g.Churn != nil {
		events += 2 * run.Seconds() / (g.Churn.Stay + g.Churn.Away).Seconds()
	}
	if g.Talk != nil {
		events += 2 * run.Seconds() / (g.Talk.Spell + g.Talk.Pause).Seconds()
	}
	if g.View != nil && g.View.Every > 0 {
		events += run.Seconds() / g.View.Every.Seconds()
	}
	return events
}

// names sees to it that no two rooms, and no two callers of one room, are called the same.
func (v *validator) names() {
	rooms := map[string]bool{}
	for i, room := range v.scenario.Rooms {
		for copied := range room.copies() {
			name := numbered(room.Name, copied, room.copies())
			if rooms[name] {
				v.problem(fmt.Sprintf("rooms[%d].name", i), "a second room would be called %q; rename one", name)
				break
			}
			rooms[name] = true
		}
		identities := map[string]bool{}
		for j, group := range room.Callers {
			for n := range group.people() {
				identity := numbered(group.Name, n, group.people())
				if identities[identity] {
					v.problem(fmt.Sprintf("rooms[%d].callers[%d].name", i, j), "a second caller of the room would be called %q; rename one",
						identity)
					break
				}
				identities[identity] = true
			}
		}
	}
}

func (v *validator) room(key string, room Room) {
	v.arrival(key+".open", room.Open)
	published := 0
	for i, group := range room.Callers {
		v.group(fmt.Sprintf("%s.callers[%d]", key, i), group)
		published += len(group.Publish)
	}
	switch {
	case room.people() < 2:
		v.problem(key+".callers", "one caller alone receives nothing: want at least two in a room")
	case published == 0:
		v.problem(key+".callers", "nobody publishes anything: add to one group publish: [{media: microphone}]")
	}
}

func (v *validator) group(key string, g Group) {
	seen := map[Media]bool{}
	for i, track := range g.Publish {
		at := fmt.Sprintf("%s.publish[%d]", key, i)
		if seen[track.Media] {
			v.problem(at+".media", "a second %s; keep one", track.Media)
		}
		seen[track.Media] = true
		v.track(at, track, g.kind())
	}
	v.arrival(key+".arrive", g.Arrive)
	if g.Network != "" {
		v.networkName(key+".network", g.Network)
	}
	if g.View != nil {
		v.view(key+".view", *g.View, g.kind())
	}
	if g.Talk != nil && !seen[Microphone] {
		v.problem(key+".talk", "there is no microphone to talk into: add publish: [{media: microphone}]")
	}
	if g.Record > 0 && g.kind() != Full {
		v.problem(key+".record", "a %s caller plays nothing out: only full ones can be recorded", g.kind())
	}
	if g.Record > g.people() {
		v.problem(key+".record", "got %d of %d callers", g.Record, g.people())
	}
	for i, r := range g.Reconnect {
		if r.At+r.Over >= v.scenario.Duration {
			v.problem(fmt.Sprintf("%s.reconnect[%d].at", key, i), "got %v to %v in a run of %v: make it earlier, or duration longer",
				r.At, r.At+r.Over, v.scenario.Duration)
		}
	}
}

func (v *validator) track(key string, t Track, kind Kind) {
	profiles := pictures
	if t.Media == Microphone {
		profiles = sounds
	}
	if t.Profile != "" && !slices.Contains(profiles, t.Profile) {
		v.problem(key+".profile", "got %s for a %s, want one of %s", t.Profile, t.Media, list(profiles))
		return
	}
	filled := t.filled()
	if layers := layersOf(filled); filled.Layers > layers {
		v.problem(key+".layers", "got %d, want at most %d: a %s of %s has no smaller ones", filled.Layers, layers, t.Media, filled.Profile)
	}
	if t.FPS != 0 && (kind != Light || t.Media == Microphone) {
		v.problem(key+".fps", "is of pictures that light callers make up: leave it out, or choose kind: light")
	}
	if t.Bitrate != 0 && kind != Light {
		v.problem(key+".bitrate", "a %s caller plays clips, whose bitrate is what it is: choose a profile, or kind: light", kind)
	}
}

func (v *validator) view(key string, view View, kind Kind) {
	for i, size := range view.Sizes {
		if w, h := size.Pixels(); w == 0 || h == 0 {
			v.problem(fmt.Sprintf("%s.sizes[%d]", key, i), "got %q, want a size in pixels, for example 320x180", printable(string(size)))
		}
	}
	switch {
	case kind == Browser:
		v.problem(key, "a browser's page lays its pictures out by itself: leave it out, or choose another kind")
	case len(view.Sizes) > 1 && view.Every == 0:
		v.problem(key+".every", "is missing: how long does it stay with each of %d sizes?", len(view.Sizes))
	case len(view.Sizes) == 1 && view.Every > 0:
		v.problem(key+".every", "belongs to several sizes, and there is one; leave it out")
	}
}

func (v *validator) arrival(key string, a Arrival) {
	set := 0
	for _, d := range []time.Duration{a.Every, a.Over, a.Poisson} {
		if d > 0 {
			set++
		}
	}
	if set > 1 {
		v.problem(key, "got several of every, over and poisson; keep one")
	}
}

// networkName wants a network of this scenario or a preset.
func (v *validator) networkName(key, name string) {
	if _, ok := v.scenario.Networks[name]; ok {
		return
	}
	own := slices.Sorted(maps.Keys(v.scenario.Networks))
	if v.known.Preset == nil {
		return
	}
	if err := v.known.Preset(name); err != nil {
		text := didYouMean(name, own)
		if text == "" && len(own) > 0 {
			text = "; networks of this scenario: " + strings.Join(own, ", ")
		}
		v.problem(key, "%v%s", err, text)
	}
}

func (v *validator) network(key, name string, n Network) {
	if !networkNames.MatchString(name) || len(name) > maxNetworkName {
		v.problem(key, "got the name %.50q, want small letters, digits and dashes, at most %d", name, maxNetworkName)
	}
	if n.Preset != "" && v.known.Preset != nil {
		if err := v.known.Preset(n.Preset); err != nil {
			v.problem(key+".preset", "%v", err)
		}
	}
	if n.Trace != "" && v.known.Trace != nil {
		if err := v.known.Trace(n.Trace); err != nil {
			v.problem(key+".trace", "%v", err)
		}
	}
	if n.Repeat && n.Trace == "" {
		v.problem(key+".repeat", "there is no trace to repeat")
	}
	last := time.Duration(0)
	for i, e := range n.Events {
		at := fmt.Sprintf("%s.events[%d]", key, i)
		if e.At < last {
			v.problem(at+".at", "got %v after %v; put events in order of time", e.At, last)
		}
		last = e.At
		v.networkEvent(at, e)
	}
}

func (v *validator) networkEvent(key string, e NetworkEvent) {
	if e.At >= v.scenario.Duration {
		v.problem(key+".at", "got %v in a run of %v: make it earlier, or duration longer", e.At, v.scenario.Duration)
	}
	for _, only := range []struct {
		key  string
		set  bool
		of   Happening
		must bool
	}{
		{"for", e.For > 0, Blackout, true},
		{"to", e.To != "", Move, true},
		{"up", e.Up != nil, Set, false},
		{"down", e.Down != nil, Set, false},
	} {
		switch {
		case only.set && e.Do != only.of:
			v.problem(key+"."+only.key, "belongs to %s, not to %s; leave it out", only.of, e.Do)
		case !only.set && e.Do == only.of && only.must:
			v.problem(key+"."+only.key, "is missing: %s needs it", only.of)
		}
	}
	if e.Do == Set && e.Up == nil && e.Down == nil {
		v.problem(key, "set needs up, down or both")
	}
	if e.Do == Move && e.To != "" {
		v.networkName(key+".to", e.To)
	}
}

const maxNetworkName = 40

var networkNames = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`)

func (v *validator) conditions() {
	for i, text := range v.scenario.Pass {
		key := fmt.Sprintf("pass[%d]", i)
		if strings.TrimSpace(text) == "" {
			v.problem(key, "is empty, want a condition, for example loss_p99 <= 0.5%%")
			continue
		}
		if v.known.Condition == nil {
			continue
		}
		if err := v.known.Condition(text); err != nil {
			v.problem(key, "%v", err)
		}
	}
}

// arrivals sees to it that all come before the end.
func (v *validator) arrivals() {
	if last := lastArrival(v.scenario); last >= v.scenario.Duration {
		v.problem("duration", "got %v, but the last caller comes at %v: make it longer, or let them come faster",
			v.scenario.Duration, last)
	}
}

func didYouMean(got string, known []string) string {
	if near := spell.Nearest(got, known); near != "" {
		return "; did you mean " + near + "?"
	}
	return ""
}

func list[T ~string](words []T) string {
	var all []string
	for _, word := range words {
		all = append(all, string(word))
	}
	return strings.Join(all, ", ")
}
