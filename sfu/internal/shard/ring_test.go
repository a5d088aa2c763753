package shard

import (
	"encoding/binary"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tolkyn/tolkyn/internal/handover"
)

// Many write at once; what the reader gets is whole, once, and in the order of each writer.
func TestTheRingKeepsEachWritersOrder(t *testing.T) {
	const writers, packets = 4, 5_000
	r := newRing()
	var wg sync.WaitGroup
	var links [writers]*handover.Link
	for i := range links {
		links[i] = handover.New(handover.Config{})
		wg.Go(func() {
			b := make([]byte, 1200)
			for n := uint32(0); n < packets; {
				binary.BigEndian.PutUint32(b, n)
				binary.BigEndian.PutUint32(b[1196:], n)
				if r.put(links[i], b) {
					n++
				}
			}
		})
	}
	next := map[*handover.Link]uint32{}
	for got := 0; got < writers*packets; {
		l, b := r.take()
		if l == nil {
			continue
		}
		require.Len(t, b, 1200)
		require.Equal(t, next[l], binary.BigEndian.Uint32(b))
		require.Equal(t, next[l], binary.BigEndian.Uint32(b[1196:]))
		next[l]++
		got++
	}
	wg.Wait()
	l, _ := r.take()
	require.Nil(t, l)
	require.True(t, r.empty())
	for _, l := range links {
		require.Zero(t, l.Waiting.Load())
	}
}

func TestOneLinkHasAShareOfTheRing(t *testing.T) {
	r := newRing()
	one := handover.New(handover.Config{})
	for range ringShare {
		require.True(t, r.put(one, []byte{1}))
	}
	require.False(t, r.put(one, []byte{1}))
	for range ringSize - ringShare {
		require.True(t, r.put(handover.New(handover.Config{}), []byte{1}))
	}
	require.False(t, r.put(handover.New(handover.Config{}), []byte{1}))
	require.False(t, r.put(one, make([]byte, handover.MaxSize+1)))
	require.EqualValues(t, [3]uint64{1, 1, 1}, [3]uint64{r.flooded.Load(), r.overflowed.Load(), r.oversized.Load()})
	for range ringSize {
		l, _ := r.take()
		require.NotNil(t, l)
	}
	r.release()
	require.True(t, r.put(one, []byte{1}))
}

// A fault ends the handling of a packet half-way: the place is free again, and the packet is not met twice.
func TestAFaultGivesItsPlaceInTheRingBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer b.close()
		anna, boris := b.member(1, 0), b.member(2, 1)
		b.shard.Post(Assign{ID: 2, Slot: 0, Track: 1})
		l := handover.New(handover.Config{Carrier: nobody{}})
		b.ask(t, func(s *Shard) {
			s.links[l] = &transport{link: l, peer: &peer{id: 9, connected: true, pionUntil: 1 << 62}} // without a pion: an answer of STUN's meets nil
			s.peers[9] = s.links[l].peer
		})
		broken := make([]byte, 20)
		broken[0] = 1 // a response
		for range 2 * ringSize {
			b.shard.Deliver(l, broken)
			synctest.Wait()
		}
		for range 50 {
			anna.say()
			time.Sleep(20 * time.Millisecond)
			boris.listen()
		}
		require.Equal(t, 50, boris.heard[200])
		st, ok := b.shard.Stats()
		require.True(t, ok)
		require.Positive(t, st.Faults)
		require.EqualValues(t, 2*ringSize, st.HandedIn)
		require.Zero(t, st.Drops.LinkOverflow)
	})
}

// nobody is a carrier of links that lead nowhere.
type nobody struct{}

func (nobody) Send(*handover.Link, []byte, bool) bool { return true }
func (nobody) Done(*handover.Link)                    {}
