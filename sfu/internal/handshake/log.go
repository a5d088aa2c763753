package handshake

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/pion/logging"
)

// pionLog passes pion's warnings and errors on at debug level: a stranger's packets cause them, so they are no news to
// the operator. Nothing is formatted while debug is off.
type pionLog struct {
	to    *slog.Logger
	scope string
}

// NewLogger implements logging.LoggerFactory.
func (l pionLog) NewLogger(scope string) logging.LeveledLogger { return pionLog{l.to, scope} }

func (l pionLog) warn(format string, args ...any) {
	if l.to != nil && l.to.Enabled(context.Background(), slog.LevelDebug) {
		l.to.Debug("pion", "scope", l.scope, "says", fmt.Sprintf(format, args...))
	}
}

func (pionLog) Trace(string)          {}
func (pionLog) Tracef(string, ...any) {}
func (pionLog) Debug(string)          {}
func (pionLog) Debugf(string, ...any) {}
func (pionLog) Info(string)           {}
func (pionLog) Infof(string, ...any)  {}

// Warn implements logging.LeveledLogger.
func (l pionLog) Warn(msg string) { l.warn("%s", msg) }

// Warnf implements logging.LeveledLogger.
func (l pionLog) Warnf(format string, args ...any) { l.warn(format, args...) }

// Error implements logging.LeveledLogger.
func (l pionLog) Error(msg string) { l.warn("%s", msg) }

// Errorf implements logging.LeveledLogger.
func (l pionLog) Errorf(format string, args ...any) { l.warn(format, args...) }
