// Package spell finds the word that was likely meant.
//
//	"micorphone" ──► distance to each known word ──► "microphone", when it is near enough
//
// Pure.
package spell

import "strings"

// Nearest returns the known word that is at most a third of its letters away from word, the first of equals, or "". Capitals do
// not count.
func Nearest(word string, known []string) string {
	best, bestDistance := "", 0
	for _, candidate := range known {
		limit := max(1, len(candidate)/3)
		if max(len(word), len(candidate))-min(len(word), len(candidate)) > limit {
			continue // Cheap, and what came from outside may be long.
		}
		d := Distance(strings.ToLower(word), strings.ToLower(candidate))
		if d <= limit && (best == "" || d < bestDistance) {
			best, bestDistance = candidate, d
		}
	}
	return best
}

// Distance is how many bytes have to be put in, taken out, changed or swapped with their neighbour to make a out of b (Damerau and
// Levenshtein; no byte is touched twice). Swapped letters are what fingers do most.
func Distance(a, b string) int {
	before, above, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before, above, row = above, row, before
		row[0] = i + 1
		for j := range len(b) {
			change := above[j]
			if a[i] != b[j] {
				change++
			}
			row[j+1] = min(change, above[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
	}
	return row[len(b)]
}
