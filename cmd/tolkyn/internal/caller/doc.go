// Package caller is what 'tolkyn call' does: it joins a room, plays clips into it and records what comes.
//
//	clip.ivf ─► player ─► track ─┐                 ┌─ slot ─► tap ─┐ in order      ┌─► aru-camera.ivf
//	clip.ogg ─► player ─► track ─┼─ client.Room ═══┼─ slot ─► tap ─┼─► recording ──┼─► aru-microphone.ogg
//	              ▲ keyframes    │                 └─ slot ─► tap ─┘ by whose it is└─► bek-camera.ivf
//	              └──────────────┘
//	                     every second: Report ─► table; at the end: Report ─► summary
//
// A player is a goroutine that sleeps until its clip's next frame is due, counted from the moment all players began. Each
// slot has a goroutine that reads it; taps and recordings are guarded by one lock.
package caller
