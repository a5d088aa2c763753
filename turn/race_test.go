//go:build race

package turn

// As without the race detector, which makes a sync.Pool lose what it holds: crypto/tls's buffers, those of the client too.
var forMore, toSeal = map[Way]float64{TLS: 6}, map[Way]float64{TLS: 2}
