// Package report shows a measurement. It measures nothing, opens no socket and reads no clock: all it says stands in the
// Report that it is given.
//
//	Report ──┬─► WriteText: the table at the end in a terminal        Snapshot ──► Live: the view while it runs
//	         ├─► WriteJSON, ReadJSON (report.schema.json)
//	         ├─► WriteCSV, WriteTimelineCSV, WritePrometheus
//	         ├─► WriteHTML: one page with plots, which loads nothing from outside
//	         └─► WriteBundle: a zip with events and what chrome://webrtc-internals would have saved
//
//	A B A B ──► Compare ──► Comparison: medians, spread, ratios of the pairs; text, JSON, HTML
//
// Names in a report come from strangers (identities, server versions, scenario files). Terminal formats strip what would
// move the cursor or turn the direction of writing; JSON, CSV, Prometheus text and HTML escape by their own rules.
//
// Result and Keep are the JSON of bench/results.
package report
