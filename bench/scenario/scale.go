package scenario

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// Grows says what a capacity run makes more of: the scenario's own word, or rooms when the last room has copies, else people.
func Grows(s Scenario) Growth {
	switch {
	case s.Grows != "":
		return s.Grows
	case s.Rooms[len(s.Rooms)-1].copies() > 1:
		return GrowRooms
	default:
		return GrowPeople
	}
}

// Unit names what Scale's load counts: "rooms", "people", or "subscribers" when the group that grows publishes nothing.
func Unit(s Scenario) string {
	switch room := s.Rooms[len(s.Rooms)-1]; {
	case Grows(s) == GrowRooms:
		return "rooms"
	case len(room.Callers[len(room.Callers)-1].Publish) == 0:
		return "subscribers"
	default:
		return "people"
	}
}

// Load is the load of s as it stands, in Units.
func Load(s Scenario) int {
	room := s.Rooms[len(s.Rooms)-1]
	if Grows(s) == GrowRooms {
		return room.copies()
	}
	return room.Callers[len(room.Callers)-1].people()
}

// Scale returns s at another load: so many copies of its last room, or so many people in that room's last group. They come as
// fast as before: what their coming takes longer is put before all that has a time since the start of the run, so that everybody
// is there for as long as in s. Traces are left as they are. The error is Problems: a load that is too small or too large.
// s has passed Check and is left as it was.
func Scale(s Scenario, load int) (Scenario, error) {
	scaled := s
	scaled.Grows = Grows(s) // A load of one would make it something else.
	scaled.Rooms = slices.Clone(s.Rooms)
	for i := range scaled.Rooms {
		scaled.Rooms[i].Callers = slices.Clone(s.Rooms[i].Callers)
	}
	last := &scaled.Rooms[len(scaled.Rooms)-1]
	if load < 1 || load > MaxPeople {
		return Scenario{}, Problems{{Text: fmt.Sprintf("got a load of %d %s, want from 1 to %d", load, Unit(s), MaxPeople)}}
	}
	if scaled.Grows == GrowRooms {
		last.Count = load
	} else {
		group := &last.Callers[len(last.Callers)-1]
		group.Count, group.Record = load, min(load, group.Record)
	}
	v := &validator{scenario: scaled}
	if v.size(); len(v.problems) > 0 {
		return Scenario{}, v.problems
	}
	scaled.shift(lastArrival(scaled) - lastArrival(s))
	return scaled, Check(scaled, Known{})
}

// shift moves by d what has a time since the start of the run, but not to before it.
func (s *Scenario) shift(d time.Duration) {
	s.Duration += d
	s.Warmup = max(0, s.Warmup+d)
	for i := range s.Rooms {
		for j := range s.Rooms[i].Callers {
			group := &s.Rooms[i].Callers[j]
			group.Reconnect = slices.Clone(group.Reconnect)
			for k := range group.Reconnect {
				group.Reconnect[k].At = max(time.Millisecond, group.Reconnect[k].At+d)
			}
		}
	}
	s.Networks = maps.Clone(s.Networks)
	for name, network := range s.Networks {
		network.Events = slices.Clone(network.Events)
		for i := range network.Events {
			network.Events[i].At = max(0, network.Events[i].At+d)
		}
		s.Networks[name] = network
	}
}
