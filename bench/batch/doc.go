// Package batch plays many runs that know nothing of each other, on all cores.
//
//	run 0 ─┐
//	run 1 ─┼─► as many at a time as there are cores ──► progress(done, of)
//	run n ─┘
package batch

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
)

// Play calls run for 0 to n-1, from as many goroutines as there are cores, and tells after each how far it is; one call of
// progress at a time. It returns when all have returned; an end of ctx leaves out those that have not begun.
func Play(ctx context.Context, n int, run func(i int), progress func(done, of int)) {
	var next, done atomic.Int64
	var told sync.Mutex
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), n) {
		workers.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				run(i)
				told.Lock()
				progress(int(done.Add(1)), n)
				told.Unlock()
			}
		})
	}
	workers.Wait()
}
