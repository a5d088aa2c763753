package bwe

// loss counts what arrives and what does not.
type loss struct {
	gotBytes, lostBytes float64
}

func (l *loss) missed(size int) { l.lostBytes += float64(size); l.fade() }
func (l *loss) got(size int)    { l.gotBytes += float64(size); l.fade() }
func (l *loss) came(size int)   { l.lostBytes = max(0, l.lostBytes-float64(size)) }

func (l *loss) fade() {
	if l.gotBytes+l.lostBytes > 500e3 {
		l.gotBytes /= 2
		l.lostBytes /= 2
	}
}

func (l *loss) share() float64 {
	if all := l.gotBytes + l.lostBytes; all > 0 {
		return l.lostBytes / all
	}
	return 0
}
