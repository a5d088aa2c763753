package report_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/tolkyn/tolkyn/bench/measure"
	"github.com/tolkyn/tolkyn/bench/report"
)

var stepsInOrder = []struct {
	step measure.Step
	ms   float64
}{
	{measure.Connect, 4.2},
	{measure.Auth, 1.1},
	{measure.Join, 9.5},
	{measure.ICE, 6.1},
	{measure.DTLS, 14},
	{measure.FirstPacket, 22},
	{measure.FirstFrame, 38},
}

// fake makes a report as a run of seconds with a full mesh of people in rooms would: the same for the same seed. The last
// person of each room sits behind a bad link.
func fake(seed uint64, rooms, people, seconds int) report.Report {
	draw := rand.New(rand.NewPCG(seed, 4))
	about := func(v float64) float64 { return v * (0.85 + 0.3*draw.Float64()) }
	over := func(v float64, n int64) measure.Distribution {
		return measure.Distribution{Count: n, Mean: v * 1.08, P50: about(v), P90: about(v * 1.5), P95: about(v * 1.9), P99: about(v * 2.7), Max: about(v * 4)}
	}
	names := []string{"aru", "bek", "dana", "erlan", "gulnar", "marat", "nurlan", "saule", "timur", "zhanar"}
	r := report.Report{
		Schema: report.Schema, Command: "tolkyn bench --scenario 'group 6' --seed 1 --html call.html --json call.json",
		Version: "v0.4.0", Commit: "d0703c7", Started: time.Date(2026, 11, 30, 9, 41, 0, 0, time.UTC), Seconds: float64(seconds),
		Machine: report.Machine{CPU: "AMD EPYC 9B14", Cores: 2, Memory: 8 << 30, Kernel: "6.18.5", Go: "go1.26.0", GSO: true, FloorNS: 640},
		Scenario: report.Scenario{
			Name: fmt.Sprintf("group %d", people), About: "People who all see and hear each other; one of them behind a poor mobile link.", Seed: seed,
			YAML:  "name: group\nseed: 1\nduration: 60s\nrooms:\n  - name: room\n    count: 1\n    callers:\n      - name: people\n        count: 6\n        publish: [microphone, camera]\n        network: mobile\npass:\n  - mos_p5 >= 4.0\n",
			Rooms: rooms, People: rooms * people,
		},
		Server: report.Server{Kind: "tolkyn", Version: "v0.4.0", Address: "127.0.0.1:8443", Local: true},
		Conditions: []report.Condition{
			{Text: "audio_mos_p5 >= 3.5", Value: 3.71, Passed: true, Worst: "zhanar hears aru"},
			{Text: "loss_p99 <= 2%", Value: 1.2, Unit: "%", Passed: true},
			{Text: "delay_p99 < 50ms", Value: 61.3, Unit: "ms", Worst: "zhanar sees bek (camera)"},
		},
		Warnings: []string{"Server and bench share 2 cores: each takes time from the other, so delays are upper bounds."},
		Setup:    map[measure.Step]measure.Distribution{},
	}
	n := int64(rooms * people)
	for _, step := range stepsInOrder {
		r.Setup[step.step] = over(step.ms, n)
	}
	r.Setup[measure.Total] = over(95, n)
	identity := func(i int) string {
		if i < len(names) {
			return names[i]
		}
		return fmt.Sprintf("%s-%d", names[i%len(names)], i)
	}
	for room := range rooms {
		for i := range people {
			c := measure.Caller{
				Room: fmt.Sprintf("room-%d", room+1), Identity: identity(i), Kind: "full", Steps: map[measure.Step]float64{}, Path: "udp", Signal: "quic",
				RTT: about(3), SentPackets: int64(130 * seconds), SentBytes: int64(90000 * seconds), ReceivedPackets: int64(130 * seconds * (people - 1)),
				ReceivedBytes: int64(90000 * seconds * (people - 1)), Checked: int64(130 * seconds),
				UpPerMinute: 5_600_000, DownPerMinute: 5_700_000 * float64(people-1),
			}
			sum := 0.0
			for k, step := range stepsInOrder {
				c.Steps[step.step] = step.ms * (0.8 + 0.5*float64((i*7+room*3+k)%11)/10)
				sum += c.Steps[step.step]
			}
			c.Steps[measure.Total] = sum
			if i == people-1 {
				c.Signal, c.Path, c.Reconnects, c.Gaps = "websocket", "tcp", 1, []float64{640}
			}
			r.Callers = append(r.Callers, c)
			for j := range people {
				if i == j {
					continue
				}
				bad := 1.0
				if i == people-1 {
					bad = 6
				}
				r.Streams = append(r.Streams,
					fakeStream(draw, measure.Audio, c.Room, identity(i), identity(j), seconds, bad),
					fakeStream(draw, measure.Video, c.Room, identity(i), identity(j), seconds, bad))
			}
		}
	}
	r.Audio, r.Video = fakeTotal(r.Streams, measure.Audio), fakeTotal(r.Streams, measure.Video)
	for t := range seconds {
		x, all := measure.Slice{At: float64(t)}, 0.0
		for _, s := range r.Streams {
			if t >= len(s.Slices) {
				continue
			}
			y := s.Slices[t]
			all++
			x.Packets += y.Packets
			x.Bitrate += y.Bitrate
			x.LossShare += y.LossShare
			x.DelayP50 += y.DelayP50
			x.DelayP95 = max(x.DelayP95, y.DelayP95)
			x.DelayMax = max(x.DelayMax, y.DelayMax)
			x.Concealed += y.Concealed * 2
			x.FPS += y.FPS * 2
			x.Frozen += y.Frozen * 2
		}
		if all > 0 {
			x.LossShare /= all
			x.DelayP50 /= all
			x.Concealed /= all
			x.FPS /= all
			x.Frozen /= all
		}
		r.Timeline = append(r.Timeline, x)
		rise := min(1, float64(t+1)/5)
		r.Usage = append(r.Usage, report.Usage{
			At: float64(t), ServerCPU: about(0.22 * rise), ClientCPU: about(0.61 * rise), KernelCPU: about(0.12 * rise),
			ServerMemory: int64(about(48<<20) * rise), Goroutines: 120, Callers: int(float64(rooms*people) * rise),
			Sent: about(780 * rise), Received: about(3900 * rise),
		})
	}
	r.ServerCost = report.Cost{CPUSeconds: 13.2, PerReceivedNS: 1190, PerInAndOutNS: 990, MemoryPerCaller: 612 << 10}
	r.ClientCost = report.Cost{CPUSeconds: 36.8, PerReceivedNS: 3300, PerInAndOutNS: 2750, Drops: 0}
	r.Links = []report.Link{
		{Name: "mobile", Direction: "up", Packets: 7800, AskedLoss: 0.02, Loss: 0.0198, AskedMS: 40, DelayP50: 40.1, DelayP99: 58.2, LateP99: 0.21},
		{Name: "mobile", Direction: "down", Packets: 38900, AskedLoss: 0.02, Loss: 0.0203, Overflow: 12, AskedMS: 40, DelayP50: 40.1, DelayP99: 61.9, LateP99: 0.24},
	}
	r.Recordings = []report.Recording{
		{Title: "zhanar hears aru", MIME: "audio/wav", Data: tone(220)},
		{Title: "bek hears aru", MIME: "audio/wav", Data: tone(330)},
	}
	return r
}

func fakeStream(draw *rand.Rand, kind measure.Kind, room, to, from string, seconds int, bad float64) measure.Stream {
	rate, bits, track, codec := 50.0, 32e3, "microphone", "opus"
	if kind == measure.Video {
		rate, bits, track, codec = 80, 700e3, "camera", "VP8"
	}
	noise := func(v float64) float64 { return v * (0.7 + 0.6*draw.Float64()) }
	s := measure.Stream{Room: room, Receiver: to, Sender: from, Track: track, Kind: kind, Codec: codec, Seconds: float64(seconds)}
	var delays []float64
	lost, frozen, hidden := 0.0, 0.0, 0.0
	for t := range seconds {
		storm := 1.0
		if t > seconds/2 && t < seconds/2+6 {
			storm = 1 + 2*bad
		}
		x := measure.Slice{
			At: float64(t), Packets: int64(noise(rate)), Bitrate: noise(bits), LossShare: noise(0.0004 * bad * storm * storm),
			DelayP50: noise(4 + 6*bad), DelayP95: noise(7 + 7*bad*storm), DelayMax: noise(12 + 11*bad*storm),
		}
		if kind == measure.Audio {
			x.Concealed = x.LossShare * 1.4
		} else {
			x.FPS = max(4, 30-noise(0.2*bad*storm))
			if storm > 1 && bad > 1 {
				x.Frozen = noise(0.12)
			}
		}
		lost += x.LossShare
		frozen += x.Frozen
		hidden += x.Concealed
		delays = append(delays, x.DelayP95)
		s.Packets += x.Packets
		s.Bitrate += x.Bitrate
		s.Slices = append(s.Slices, x)
	}
	slices.Sort(delays)
	k := float64(max(1, seconds))
	s.Bitrate /= k
	s.Bytes = int64(s.Bitrate * k / 8)
	at := func(q float64) float64 {
		if len(delays) == 0 {
			return 0
		}
		return delays[int(q*float64(len(delays)-1))]
	}
	s.Loss = measure.Loss{Expected: int64(float64(s.Packets) * (1 + lost/k)), Before: 2.5 * lost / k, After: lost / k, Repaired: int64(float64(s.Packets) * 1.5 * lost / k)}
	s.Delay = measure.Distribution{Count: s.Packets, Mean: at(0.5) * 0.7, P50: at(0.5) * 0.6, P90: at(0.7), P95: at(0.8), P99: at(0.97), Max: at(1) * 1.2}
	s.Buffered = measure.Distribution{Count: s.Packets, Mean: 40, P50: 40, P90: 48, P95: 52, P99: 61, Max: 80}
	s.Played = measure.Distribution{Count: s.Packets, Mean: s.Delay.Mean + 40, P50: s.Delay.P50 + 40, P90: s.Delay.P90 + 40, P95: s.Delay.P95 + 42, P99: s.Delay.P99 + 45, Max: s.Delay.Max + 60}
	s.Jitter = noise(1.2 * bad)
	if kind == measure.Audio {
		mos := max(1.2, 4.45-0.05*noise(1)-hidden/k*28)
		s.Sound = &measure.Sound{
			Concealed: hidden / k, Window: 1.7 * hidden / k, Hole: 120 * hidden, Resent: lost / k / 2, Copied: lost / k / 3, FEC: lost / k / 5,
			Events: int64(hidden * 3), Late: hidden / k / 4, Expanded: 0.004, Accelerated: 0.003, R: mos * 20, MOS: mos,
			LipSync: measure.Distribution{Count: 100, Mean: 12, P50: 11, P90: 18, P95: 21, P99: 30, Max: 44},
		}
	} else {
		s.Picture = &measure.Picture{
			Frames: int64(29 * seconds), FPS: 29.4 - frozen, Freezes: int64(frozen * 2), FrozenSeconds: frozen, Width: 640, Height: 360,
			KeyframeWait: measure.Distribution{Count: 1, P50: 41, P95: 41, Max: 41}, Score: max(1.2, 4.5-0.1*noise(1)-frozen/k*14),
		}
	}
	return s
}

func fakeTotal(streams []measure.Stream, kind measure.Kind) report.Total {
	t := report.Total{}
	over := func(get func(measure.Stream) float64) measure.Distribution {
		var v []float64
		for _, s := range streams {
			if s.Kind == kind {
				v = append(v, get(s))
			}
		}
		if len(v) == 0 {
			return measure.Distribution{}
		}
		slices.Sort(v)
		at := func(q float64) float64 { return v[int(math.Round(q*float64(len(v)-1)))] }
		sum := 0.0
		for _, x := range v {
			sum += x
		}
		return measure.Distribution{Count: int64(len(v)), Mean: sum / float64(len(v)), P50: at(0.5), P90: at(0.9), P95: at(0.95), P99: at(0.99), Max: at(1)}
	}
	worst := 5.0
	for _, s := range streams {
		if s.Kind != kind {
			continue
		}
		t.Streams++
		t.Packets += s.Packets
		t.Bytes += s.Bytes
		if s.Sound != nil {
			worst = min(worst, s.Sound.MOS)
		} else {
			worst = min(worst, s.Picture.Score)
			t.Freezes += s.Picture.Freezes
		}
	}
	t.Delay = over(func(s measure.Stream) float64 { return s.Delay.P95 })
	t.Played = over(func(s measure.Stream) float64 { return s.Played.P95 })
	t.Buffered = over(func(s measure.Stream) float64 { return s.Buffered.P95 })
	t.Before = over(func(s measure.Stream) float64 { return s.Loss.Before })
	t.After = over(func(s measure.Stream) float64 { return s.Loss.After })
	if kind == measure.Audio {
		t.Concealed = over(func(s measure.Stream) float64 { return s.Sound.Concealed })
		t.Window = over(func(s measure.Stream) float64 { return s.Sound.Window })
		t.Hole = over(func(s measure.Stream) float64 { return s.Sound.Hole })
		t.Resent, t.Copied, t.FEC = 0.012, 0.008, 0.005
		t.MOS = over(func(s measure.Stream) float64 { return s.Sound.MOS })
		t.LipSync = over(func(s measure.Stream) float64 { return s.Sound.LipSync.P50 })
		t.MOSWorst = worst
	} else {
		t.FPS = over(func(s measure.Stream) float64 { return s.Picture.FPS })
		t.Frozen = over(func(s measure.Stream) float64 { return s.Picture.FrozenSeconds / s.Seconds })
		t.Score = over(func(s measure.Stream) float64 { return s.Picture.Score })
		t.ScoreP5 = worst
	}
	return t
}

// tone is half a second of a sine of f Hz as a WAV file.
func tone(f float64) []byte {
	const rate = 8000
	var b bytes.Buffer
	samples := make([]int16, rate/2)
	for i := range samples {
		samples[i] = int16(8000 * math.Sin(2*math.Pi*f*float64(i)/rate))
	}
	b.WriteString("RIFF")
	for _, v := range []any{uint32(36 + 2*len(samples)), []byte("WAVEfmt "), uint32(16), uint16(1), uint16(1), uint32(rate), uint32(2 * rate), uint16(2), uint16(16), []byte("data"), uint32(2 * len(samples)), samples} {
		if err := binary.Write(&b, binary.LittleEndian, v); err != nil {
			panic(err)
		}
	}
	return b.Bytes()
}

// withCapacity gives r a search that ended between 340 and 360.
func withCapacity(r report.Report) report.Report {
	r.Capacity = &report.Capacity{Unit: "subscribers", Largest: 340, Failed: 360, Until: "loss_p99>0.5% or delay_p99>50ms or mos_p5<4.0"}
	for _, load := range []int{50, 100, 200, 400, 300, 350, 340, 360} {
		held := load <= 340
		try := report.Try{Load: load, Held: held, ServerCPU: float64(load) * 0.0026, ClientCPU: float64(load) * 0.0011, PacketsIn: 115, PacketsOut: float64(load) * 115, PerPacket: 1200 - float64(load)/2}
		if !held {
			try.Bottleneck = "server"
			try.Conditions = []report.Condition{{Text: "delay_p99>50ms", Value: float64(load) / 4, Unit: "ms"}}
		}
		r.Capacity.Tries = append(r.Capacity.Tries, try)
	}
	r.Bottleneck = "server"
	return r
}
