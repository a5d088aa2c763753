package sfu_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/netsim"
)

func TestThreeClientsHearAndSeeEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, netsim.LinkConfig{Delay: 20 * time.Millisecond})
		defer w.close()
		anna := w.newClient("anna").join("demo").talk()
		boris := w.newClient("boris").join("demo").talk()
		chingiz := w.newClient("chingiz").join("demo").talk()
		anna.hears(5*time.Second, boris, chingiz)
		boris.hears(5*time.Second, anna, chingiz)
		chingiz.hears(5*time.Second, anna, boris)
		before := chingiz.got(anna, true)
		time.Sleep(2 * time.Second)
		require.InDelta(t, 180, chingiz.got(anna, true)-before, 6, "30 frames/s of 3 packets")
	})
}
