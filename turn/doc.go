// Package turn relays the media of clients whose network lets nothing else through (RFC 8656). It is a shell: sockets, workers and
// limits around turn/internal/control, which decides.
//
//	              ┌──────────── lane: a share of the clients ─────────────┐
//	UDP ─────────►│ ChannelData, Send ──────────► allocation ─┬─ allowed ─┼─► relay port ──► peer
//	TCP ─┐ frames │                                  ▲        │           │       │
//	TLS ─┴───────►│ requests ──► control.Core ───────┘        └─ our own ─┼─► PacketPath ──► SFU, in memory
//	              │                                                       │       │
//	client ◄──────┼── queues: a slow reader's old media is dropped ◄──────┼───────┴── handover.Link, of each media address of ours
//	              └───────────────────────────────────────────────────────┘
//	worker ──► lanes: one worker serves all lanes while the load is low, and gives half of them away when it is busy
//
// A lane belongs to one goroutine at a time, so that packets need no lock. Peers are our own media addresses and what Config.Allow
// names; without that no relay socket is ever opened, and a relayed address is a number that nobody binds.
//
// It meets the SFU through the small port PacketPath alone: neither package imports the other.
package turn
