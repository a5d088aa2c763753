package scenario

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Rate is in bits a second. In text it has its unit: 24kbit/s, 1.2Mbit/s.
type Rate int64

// The units of a Rate, large ones first.
var rateUnits = []struct {
	name string
	bits Rate
}{{"Gbit/s", 1e9}, {"Mbit/s", 1e6}, {"kbit/s", 1e3}, {"bit/s", 1}}

// maxRate bounds what text can say: 1 Tbit/s.
const maxRate = 1e12

// UnmarshalText reads a number and its unit.
func (r *Rate) UnmarshalText(text []byte) error {
	for _, unit := range rateUnits {
		number, ok := strings.CutSuffix(string(text), unit.name)
		if !ok {
			continue
		}
		value, ok := decimal(strings.TrimSpace(number))
		if !ok || value*float64(unit.bits) > maxRate {
			break
		}
		*r = Rate(math.Round(value * float64(unit.bits)))
		return nil
	}
	return fmt.Errorf("got %q, want a rate, for example 24kbit/s or 1.2Mbit/s", text)
}

// MarshalText writes the largest unit that needs no fraction.
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

func (r Rate) String() string {
	for _, unit := range rateUnits {
		if r%unit.bits == 0 && r != 0 {
			return strconv.FormatInt(int64(r/unit.bits), 10) + unit.name
		}
	}
	return "0bit/s"
}

// Share is a part of a whole, from 0 to 1. In text it is in percent: 30%.
type Share float64

// shareSteps is how finely text can say a share: a millionth of a percent, so that what was read is written the same.
const shareSteps = 1e8

// UnmarshalText reads a number of percent.
func (s *Share) UnmarshalText(text []byte) error {
	number, percent := strings.CutSuffix(string(text), "%")
	value, ok := decimal(strings.TrimSpace(number))
	if !percent || !ok || value > 100 {
		return fmt.Errorf("got %q, want a share from 0%% to 100%%, for example 2.5%%", text)
	}
	*s = Share(math.Round(value/100*shareSteps) / shareSteps)
	return nil
}

// MarshalText writes percent.
func (s Share) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

func (s Share) String() string {
	return strconv.FormatFloat(math.Round(float64(s)*shareSteps)/(shareSteps/100), 'f', -1, 64) + "%"
}

// Size is a picture's on a screen, in pixels. In text: 320x180. The zero value is unknown.
type Size string

// maxSide bounds both sides of a Size.
const maxSide = 16384

// UnmarshalText reads width and height.
func (s *Size) UnmarshalText(text []byte) error {
	size := Size(text)
	if w, h := size.Pixels(); w == 0 || h == 0 {
		return fmt.Errorf("got %q, want a size in pixels, for example 320x180", printable(string(text)))
	}
	*s = size
	return nil
}

// Pixels returns width and height; 0 and 0 of what is no size.
func (s Size) Pixels() (width, height int) {
	w, h, _ := strings.Cut(string(s), "x")
	width, height = side(w), side(h)
	if width == 0 || height == 0 {
		return 0, 0
	}
	return width, height
}

// side reads one of them; 0: it is none.
func side(text string) int {
	if strings.Trim(text, "0123456789") != "" {
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil || n > maxSide {
		return 0
	}
	return n
}

// decimal reads digits with at most one point: no sign, no exponent, no names of numbers.
func decimal(text string) (float64, bool) {
	if strings.Trim(text, "0123456789.") != "" {
		return 0, false
	}
	value, err := strconv.ParseFloat(text, 64)
	return value, err == nil
}
