package signaling

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/tolkyn/tolkyn/signaling/wire"
)

// Bounds of what is kept for clients that ask again.
const (
	maxAnswers     = maxQueue + 16 // more than can be unanswered at once; beyond: the oldest is let go
	maxAnswerBytes = 32 << 10      // of one session; beyond: the oldest are let go
)

// answers keeps what a session's requests were answered, by frame id. A client whose connection broke asks again with the
// same ids, and what it asked is not done again. An answer is let go when the client shows that it has it (an event that
// followed it on the same connection was handled), when newer ones need its place, and when it is too old.
type answers struct {
	kept  []answer // in the order in which they were given
	bytes int
	gone  uint64 // the highest id whose answer was let go
}

type answer struct {
	id    uint64
	frame *wire.ServerFrame // nil: Ok. A Joined is without peers and slots: those are asked anew
	join  uint64            // the generation that a Joined is of
	bytes int
	old   bool   // a sweep has seen it
	conn  uint64 // the attached connection that it was said on; 0: the client may not have it
	after uint64 // the last event said before it there
}

// keep takes an answer that was just said.
func (a *answers) keep(one answer) {
	if one.frame != nil {
		one.bytes = proto.Size(one.frame)
	}
	a.kept = append(a.kept, one)
	a.bytes += one.bytes
	for len(a.kept) > maxAnswers || a.bytes > maxAnswerBytes {
		a.drop(0)
	}
}

// find returns the answer to this id; it is good until the next call of another method.
func (a *answers) find(id uint64) *answer {
	for i := range a.kept {
		if a.kept[i].id == id {
			return &a.kept[i]
		}
	}
	return nil
}

// handled: the client has handled events up to seq on the connection that is attached, and so what was said before them.
func (a *answers) handled(seq uint64) {
	a.dropIf(func(one answer) bool { return one.conn != 0 && one.after < seq })
}

// saidAfter: what was said on the attached connection came after this event.
func (a *answers) saidAfter(seq uint64) {
	for i := range a.kept {
		a.kept[i].after = max(a.kept[i].after, seq)
	}
}

// lost: that connection is replaced by a new one, and nobody knows what of it arrived.
func (a *answers) lost() {
	for i := range a.kept {
		a.kept[i].conn = 0
	}
}

// replaced: the peers of earlier joins than this are no more, so nobody can take part as them.
func (a *answers) replaced(join uint64) {
	for i := range a.kept {
		one := &a.kept[i]
		if one.join != 0 && one.join != join {
			one.join = 0
			a.bytes -= one.bytes
			one.frame = wire.Reply(one.id, &wire.ServerFrame_Error{Error: &wire.Error{
				Code: wire.Error_NOT_FOUND, Message: "join: a later one of this session took its place",
			}})
			one.bytes = proto.Size(one.frame)
			a.bytes += one.bytes
		}
	}
}

// sweep lets go of what the sweep before has seen already.
func (a *answers) sweep() {
	a.dropIf(func(one answer) bool { return one.old })
	for i := range a.kept {
		a.kept[i].old = true
	}
	if len(a.kept) == 0 {
		a.kept = nil
	}
}

func (a *answers) dropIf(done func(answer) bool) {
	for i := 0; i < len(a.kept); {
		if done(a.kept[i]) {
			a.drop(i)
		} else {
			i++
		}
	}
}

func (a *answers) drop(i int) {
	a.gone = max(a.gone, a.kept[i].id)
	a.bytes -= a.kept[i].bytes
	a.kept = slices.Delete(a.kept, i, i+1)
}
