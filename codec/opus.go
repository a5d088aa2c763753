package codec

// inspectOpus: every Opus packet is a whole frame that decodes on its own (RFC 7587 §4.2); its marker bit only tells the
// start of a talkspurt. The bytes are not judged: end-to-end encrypted ones need not begin with a readable TOC.
func inspectOpus() Meta { return Meta{Start: true, End: true} }
