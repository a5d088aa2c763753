package source

import _ "embed"

// ReadJS is a classic script with the readers of this package, for pages and for workers of RTCRtpScriptTransform; its opening
// comment says what it offers.
//
//go:embed read.js
var ReadJS string

// WriteJS is the writers likewise, to run after ReadJS.
//
//go:embed write.js
var WriteJS string
