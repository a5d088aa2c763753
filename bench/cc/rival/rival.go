package rival

import (
	"github.com/tolkyn/tolkyn/bench/cc"
	"github.com/tolkyn/tolkyn/sfu/bwe"
)

// All are the rivals, in the order of tables.
func All() []cc.Maker { return []cc.Maker{PionGCC, GoogCC, SCReAM, NADA} }

// withDefaults fills a Config as bwe.New does.
func withDefaults(cfg bwe.Config) bwe.Config {
	if cfg.Start == 0 {
		cfg.Start = 300 * bwe.Kbps
	}
	if cfg.Min == 0 {
		cfg.Min = 30 * bwe.Kbps
	}
	if cfg.Max == 0 {
		cfg.Max = 50 * bwe.Mbps
	}
	return cfg
}
