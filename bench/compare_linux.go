package bench

import (
	"context"
	"fmt"

	"github.com/tolkyn/tolkyn/bench/report"
)

// Compare plays one scenario against two servers in turn, A B A B, rounds times each: a machine whose speed drifts is as slow to
// one as to the other. What was done when ctx ends is in both lists.
func Compare(ctx context.Context, a, b Config, rounds int) (of [2][]report.Report, err error) {
	for round := range rounds {
		for i, c := range []Config{a, b} {
			if watch := c.Watch; watch != nil {
				c.Watch = func(view report.Snapshot) {
					view.Phase = fmt.Sprintf("%c, round %d of %d: %s", 'A'+i, round+1, rounds, view.Phase)
					watch(view)
				}
			}
			r, _, err := Run(ctx, c)
			if err != nil {
				return of, fmt.Errorf("round %d of %c: %w", round+1, 'A'+i, err)
			}
			if ctx.Err() != nil {
				return of, nil // cut short, it compares with nothing
			}
			of[i] = append(of[i], r)
		}
	}
	return of, nil
}
