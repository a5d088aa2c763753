package plain

import (
	"errors"
	"strings"

	"github.com/tolkyn/tolkyn/bench/measure"
)

// message is what either side says; one field is set.
type message struct {
	Join   *join  `json:"join,omitempty"`   // the participant's first
	Offer  string `json:"offer,omitempty"`  // of the server, with all candidates
	Answer string `json:"answer,omitempty"` // of the participant, with all candidates
	Error  string `json:"error,omitempty"`  // of the server, its last
}

// join says who comes. A participant takes the place of one in the same room that has its identity.
type join struct {
	Room     string         `json:"room"`
	Identity string         `json:"identity"`
	Publish  []measure.Kind `json:"publish,omitempty"`
	Audio    int            `json:"audio,omitempty"` // tracks wanted at a time
	Video    int            `json:"video,omitempty"`
}

const (
	mostName   = 128
	mostTracks = 16
	mostWanted = 200
)

func (j *join) check() error {
	switch {
	case j == nil:
		return errors.New("the first message must be a join")
	case j.Room == "" || len(j.Room) > mostName:
		return errors.New("join.room: want 1 to 128 bytes")
	case j.Identity == "" || len(j.Identity) > mostName || strings.ContainsFunc(j.Identity, unfitForSDP):
		return errors.New("join.identity: want 1 to 128 printable ASCII characters without spaces, for it is a stream's id in SDP")
	case len(j.Publish) > mostTracks:
		return errors.New("join.publish: want at most 16 tracks")
	case j.Audio < 0 || j.Audio > mostWanted || j.Video < 0 || j.Video > mostWanted:
		return errors.New("join.audio, join.video: want 0 to 200")
	}
	return nil
}

func unfitForSDP(r rune) bool { return r <= ' ' || r > '~' }

func (j *join) wants(kind measure.Kind) int {
	if kind == measure.Audio {
		return j.Audio
	}
	return j.Video
}
