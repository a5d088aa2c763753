// Package report shows a measurement.
//
//	result ──► terminal
//	       ├─► JSON, CSV, Prometheus text
//	       └─► one HTML file with plots, which loads nothing from outside
//
// Result and Keep are the JSON of bench/results; the rest is empty until the bench is built.
package report
