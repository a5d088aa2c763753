package wire

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Golden bytes: what clients in the field send and expect. A change here breaks them.
var goldenClient = []struct {
	name  string
	frame *ClientFrame
	hex   string
	json  string
}{
	{
		"hello",
		&ClientFrame{Id: 1, Message: &ClientFrame_Hello{Hello: &Hello{Token: "t", Client: "c"}}},
		"08015206" + "0a0174" + "120163",
		`{"id":"1","hello":{"token":"t","client":"c"}}`,
	},
	{
		"resume",
		&ClientFrame{Id: 2, Message: &ClientFrame_Resume{Resume: &Resume{SessionId: "s", ResumeToken: []byte{1, 2}, LastSeq: 7}}},
		"08025a09" + "0a0173" + "12020102" + "1807",
		`{"id":"2","resume":{"sessionId":"s","resumeToken":"AQI=","lastSeq":"7"}}`,
	},
	{
		"ping with an ack",
		&ClientFrame{Id: 3, Ack: 300, Message: &ClientFrame_Ping{Ping: &Ping{ClientTimeMs: 5}}},
		"080310ac02620208" + "05",
		`{"id":"3","ack":"300","ping":{"clientTimeMs":"5"}}`,
	},
	{
		"join",
		&ClientFrame{Id: 4, Message: &ClientFrame_Join{Join: &Join{
			Name: "Aru", Offer: &Sdp{Type: Sdp_OFFER, Deflate: []byte{3, 0}},
			Tracks: []*Track{{TrackId: "mic", Kind: Track_AUDIO, Source: Track_MICROPHONE, Mid: "0"}},
		}}},
		"08046a1b" + "0a03417275" + "1206080112020300" + "1a0c0a036d6963100118012201" + "30",
		`{"id":"4","join":{"name":"Aru","offer":{"type":"OFFER","deflate":"AwA="},"tracks":[{"trackId":"mic","kind":"AUDIO","source":"MICROPHONE","mid":"0"}]}}`,
	},
	{
		"leave",
		&ClientFrame{Id: 5, Message: &ClientFrame_Leave{Leave: &Leave{}}},
		"08057200",
		`{"id":"5","leave":{}}`,
	},
}

var goldenServer = []struct {
	name  string
	frame *ServerFrame
	hex   string
	json  string
}{
	{
		"pong",
		&ServerFrame{Id: 3, Message: &ServerFrame_Pong{Pong: &Pong{ClientTimeMs: 5, ServerTimeMs: 6}}},
		"08036a0408051006",
		`{"id":"3","pong":{"clientTimeMs":"5","serverTimeMs":"6"}}`,
	},
	{
		"slot map event",
		&ServerFrame{Seq: 9, Message: &ServerFrame_SlotMap{SlotMap: &SlotMap{Slots: []*Slot{{Mid: "1", PeerId: "p", TrackId: "t"}}}}},
		"1009a2010b0a090a0131120170" + "1a0174",
		`{"seq":"9","slotMap":{"slots":[{"mid":"1","peerId":"p","trackId":"t"}]}}`,
	},
	{
		"error",
		&ServerFrame{Id: 4, Message: &ServerFrame_Error{Error: &Error{Code: Error_BUSY, Message: "m", RetryAfterMs: 1000, Fatal: true}}},
		"0804820" + "10a" + "0805" + "12016d" + "18e807" + "2001",
		`{"id":"4","error":{"code":"BUSY","message":"m","retryAfterMs":1000,"fatal":true}}`,
	},
	{
		"bye",
		&ServerFrame{Message: &ServerFrame_Bye{Bye: &Bye{Reason: Bye_REPLACED, Action: Bye_STOP}}},
		"b2010408021001",
		`{"bye":{"reason":"REPLACED","action":"STOP"}}`,
	},
}

func TestGoldenBytesOfClientFrames(t *testing.T) {
	for _, c := range goldenClient {
		t.Run(c.name, func(t *testing.T) {
			for format, want := range map[Format]string{Binary: unhex(t, c.hex), JSON: c.json} {
				got, err := format.EncodeClient(c.frame)
				require.NoError(t, err)
				require.Equal(t, want, string(got), "%v: %x", format, got)
				back, err := format.DecodeClient(got)
				require.NoError(t, err)
				require.True(t, proto.Equal(c.frame, back))
			}
		})
	}
}

func TestGoldenBytesOfServerFrames(t *testing.T) {
	for _, c := range goldenServer {
		t.Run(c.name, func(t *testing.T) {
			for format, want := range map[Format]string{Binary: unhex(t, c.hex), JSON: c.json} {
				got, err := format.EncodeServer(c.frame)
				require.NoError(t, err)
				require.Equal(t, want, string(got), "%v: %x", format, got)
				back, err := format.DecodeServer(got)
				require.NoError(t, err)
				require.True(t, proto.Equal(c.frame, back))
			}
		})
	}
}

func TestBadFramesAreTypedErrors(t *testing.T) {
	for _, c := range []struct {
		name   string
		format Format
		bytes  string
		want   error
	}{
		{"too large", Binary, strings.Repeat("x", MaxClientFrame+1), ErrFrameTooLarge},
		{"too large JSON", JSON, strings.Repeat(" ", MaxClientFrame+1), ErrFrameTooLarge},
		{"cut short", Binary, "\x52\x06\x0a", ErrBadFrame},
		{"wrong wire type", Binary, "\x50\xff", ErrBadFrame},
		{"length beyond the end", Binary, "\x52\xff\xff\xff\xff\x0f", ErrBadFrame},
		{"text that is not UTF-8", Binary, "\x52\x03\x0a\x01\xff", ErrBadFrame},
		{"JSON cut short", JSON, `{"hello":`, ErrBadFrame},
		{"JSON with a field nobody knows", JSON, `{"helo":{}}`, ErrBadFrame},
		{"JSON with two messages", JSON, `{"ping":{},"leave":{}}`, ErrBadFrame},
		{"JSON nested 20,000 deep", JSON, `{"join":` + strings.Repeat("[", 20000), ErrBadFrame},
		{"JSON with something after", JSON, `{"ping":{}} {}`, ErrBadFrame},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := c.format.DecodeClient([]byte(c.bytes))
			require.ErrorIs(t, err, c.want)
		})
	}
}

func TestAMessageOfALaterVersionIsNoMessage(t *testing.T) {
	frame, err := Binary.DecodeClient([]byte("\x08\x07\xfa\x01\x00")) // id 7, field 31
	require.NoError(t, err)
	require.EqualValues(t, 7, frame.GetId())
	require.Nil(t, frame.GetMessage())
}

func TestEncodeRefusesWhatCouldNotBeDecoded(t *testing.T) {
	hello := func(token string) *ClientFrame {
		return &ClientFrame{Message: &ClientFrame_Hello{Hello: &Hello{Token: token}}}
	}
	for _, format := range []Format{Binary, JSON} {
		_, err := format.EncodeClient(hello(strings.Repeat("x", MaxClientFrame)))
		require.ErrorIs(t, err, ErrFrameTooLarge)
		_, err = format.EncodeClient(hello("\xff"))
		require.ErrorIs(t, err, ErrBadFrame)
	}
}

func FuzzDecode(f *testing.F) {
	for _, c := range goldenClient {
		f.Add(false, []byte(unhex(f, c.hex)))
		f.Add(true, []byte(c.json))
	}
	for _, c := range goldenServer {
		f.Add(false, []byte(unhex(f, c.hex)))
		f.Add(true, []byte(c.json))
	}
	f.Fuzz(func(t *testing.T, asJSON bool, b []byte) {
		format := Binary
		if asJSON {
			format = JSON
		}
		if frame, err := format.DecodeClient(b); err == nil {
			roundTrip(t, frame, Format.EncodeClient, Format.DecodeClient)
		}
		if frame, err := format.DecodeServer(b); err == nil {
			roundTrip(t, frame, Format.EncodeServer, Format.DecodeServer)
		}
	})
}

// roundTrip: what decodes must encode, in both formats, to something that decodes to the same frame; if not, it is too large.
func roundTrip[F proto.Message](
	t *testing.T, frame F, encode func(Format, F) ([]byte, error), decode func(Format, []byte) (F, error),
) {
	for _, format := range []Format{Binary, JSON} {
		if format == JSON {
			forgetUnknown(frame.ProtoReflect()) // JSON has no place for fields of a later version
		}
		b, err := encode(format, frame)
		if err != nil {
			require.ErrorIs(t, err, ErrFrameTooLarge)
			continue
		}
		back, err := decode(format, b)
		require.NoError(t, err, "%v: %q", format, b)
		require.True(t, proto.Equal(frame, back), "%v: %v, then %v", format, frame, back)
	}
}

func forgetUnknown(m protoreflect.Message) {
	m.SetUnknown(nil)
	m.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case field.Message() == nil:
		case field.IsList():
			for i := range v.List().Len() {
				forgetUnknown(v.List().Get(i).Message())
			}
		default:
			forgetUnknown(v.Message())
		}
		return true
	})
}

func unhex(t testing.TB, s string) string {
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return string(b)
}
