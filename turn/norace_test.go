//go:build !race

package turn

// How often crypto/tls takes memory for what a test does once. forMore: 24 bytes each time that it needs more of the socket; toSeal: for
// what leaves.
var forMore, toSeal = map[Way]float64{TLS: 1}, map[Way]float64{}
