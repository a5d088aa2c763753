// Package report shows a measurement.
//
//	result ──► terminal
//	       ├─► JSON, CSV, Prometheus text
//	       └─► one HTML file with plots, which loads nothing from outside
//
// Empty until the bench is built.
package report
