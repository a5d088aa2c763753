package bench

import (
	"slices"

	"github.com/tolkyn/tolkyn/bench/scenario"
)

// FirstLook is what is played when nobody says what: a call of two and a group of six at one time, within a minute.
func FirstLook() scenario.Scenario {
	two, err := scenario.Builtin("one-to-one")
	six, err2 := scenario.Builtin("group 6")
	if err != nil || err2 != nil {
		panic("the built-in scenarios are broken") // which their tests would have told
	}
	s := two
	s.Name, s.About = "first-look", "A call of two and a group of six at the same time: does it work, and how good is it?"
	s.Duration = max(two.Duration, min(six.Duration, two.Duration*5/2))
	s.Warmup = max(two.Warmup, six.Warmup)
	s.Rooms = append(slices.Clone(two.Rooms), six.Rooms...)
	for _, condition := range six.Pass {
		if !slices.Contains(s.Pass, condition) {
			s.Pass = append(s.Pass, condition)
		}
	}
	return s
}
