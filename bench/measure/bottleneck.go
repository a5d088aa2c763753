package measure

import "time"

const (
	// fullCores is the share of its cores from which a process has no room left: the last tenth is what a scheduler keeps
	// losing between threads.
	fullCores = 0.9
	// lagLimit is how late the bench's own timers may fire before its delays are its own: a tenth of the 50 ms that a server
	// is judged by.
	lagLimit = 5 * time.Millisecond
	// lateLimit is the same of the network emulator.
	lateLimit = 5 * time.Millisecond
	// throttledLimit is the share of a quota's periods (100 ms each) that must have ended with the bench stopped for the second to
	// count: its callers then slept through a good part of every other one. Bursts of a garbage collector stay below.
	throttledLimit = 0.5
	// often is the share of seconds that must be bad: one bad second is a hiccup, not a limit.
	often = 0.2
)

// Load is what one second asked of the machines.
type Load struct {
	ServerCores, ServerHas float64       // used and there to use; ServerHas 0: the server runs elsewhere, unseen
	ClientCores, ClientHas float64       // of the bench; ClientHas: cores, or what a cgroup leaves of them; 0: unknown
	ClientThrottled        float64       // share of the periods of the bench's quota in which the kernel stopped it, 0..1; 0: no quota
	ClientDrops            int64         // datagrams that the bench's sockets had no room for, in this second
	ClientLag              time.Duration // by how much the bench's timers fired too late at most, nine times of ten
	EmulatorLate           time.Duration // p99 by which the emulator released packets too late
	EmulatorOverflow       int64         // packets that it dropped before the modelled bottleneck, in this second
	LinkFull               bool          // the modelled link itself dropped: its queue was full
}

// Bottleneck is what gave way.
type Bottleneck string

// What can give way. The empty one: nothing did.
const (
	Client  Bottleneck = "client"
	Server  Bottleneck = "server"
	Network Bottleneck = "network"
)

// FindBottleneck says what gave way in a run of these seconds, and why in a sentence. The bench's own overflow and
// shortage of CPU come first: with those, nothing it says of others holds. A bench that its quota stops may show neither full
// cores, as others have the machine in what is left to it, nor late timers, as it never comes to tell. Then the server; then timers and emulator that
// were late though there was CPU left; then a modelled link that was full, as it was asked to be. Each must have been at
// its limit in a fifth of the seconds; of datagrams that the bench dropped one second is enough, as they look like the
// server's loss.
func FindBottleneck(seconds []Load) (Bottleneck, string) {
	if len(seconds) == 0 {
		return "", ""
	}
	var drops, clientFull, lag, late, link, serverFull int
	for _, s := range seconds {
		drops += count(s.ClientDrops > 0 || s.EmulatorOverflow > 0)
		clientFull += count(s.ClientHas > 0 && s.ClientCores >= fullCores*s.ClientHas || s.ClientThrottled >= throttledLimit)
		lag += count(s.ClientLag > lagLimit)
		late += count(s.EmulatorLate > lateLimit)
		link += count(s.LinkFull)
		serverFull += count(s.ServerHas > 0 && s.ServerCores >= fullCores*s.ServerHas)
	}
	enough := func(n int) bool { return float64(n) >= often*float64(len(seconds)) && n > 0 }
	switch {
	case drops > 0:
		return Client, "the bench's own sockets or emulator overflowed: use more cores, or fewer callers on this machine"
	case enough(clientFull):
		return Client, "the bench used all of its cores: give it more, or run it on another machine than the server"
	case enough(serverFull):
		return Server, "the server used all of its cores"
	case enough(lag):
		return Client, "the bench's timers fired more than 5 ms late: its machine is busy, so delays are partly its own"
	case enough(late):
		return Client, "the network emulator was more than 5 ms late: delays are partly its own"
	case enough(link):
		return Network, "a modelled link was full and dropped packets, as it was asked to"
	}
	return "", ""
}

func count(yes bool) int {
	if yes {
		return 1
	}
	return 0
}
