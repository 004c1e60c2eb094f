package relay

// Job and request ids: mints UUIDv7s that strictly rise within a process.

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"sync"
	"time"
)

// What UUIDv7 leaves beside time, version and variant is 74 random bits: 12 of them in high, 62 in low.
const (
	highEnd = 1 << 12
	lowEnd  = 1 << 62
)

type mint struct {
	mu   sync.Mutex
	ms   uint64
	high uint64
	low  uint64
}

var ids mint

// NewID returns a UUIDv7 as text, greater than every one minted before in this process, from any goroutine.
func NewID() string {
	return ids.next(time.Now())
}

func (m *mint) next(now time.Time) string {
	ms := uint64(max(now.UnixMilli(), 0))
	m.mu.Lock()
	if ms > m.ms {
		m.renew(ms)
	} else {
		// The same millisecond, or a clock set back: rise by a random step, so that ids stay hard to guess.
		m.low += 1 + random()>>32
		if m.low >= lowEnd {
			m.low -= lowEnd
			m.high++
		}
		if m.high >= highEnd {
			m.renew(m.ms + 1)
		}
	}
	var id [16]byte
	binary.BigEndian.PutUint64(id[:8], m.ms<<16|0x7000|m.high)
	binary.BigEndian.PutUint64(id[8:], 1<<63|m.low)
	m.mu.Unlock()

	var text [36]byte
	hex.Encode(text[0:8], id[0:4])
	hex.Encode(text[9:13], id[4:6])
	hex.Encode(text[14:18], id[6:8])
	hex.Encode(text[19:23], id[8:10])
	hex.Encode(text[24:36], id[10:16])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return string(text[:])
}

func (m *mint) renew(ms uint64) {
	m.ms = ms
	// The upper half stays empty, so that a millisecond has room to rise in.
	m.high = random() % (highEnd / 2)
	m.low = random() % lowEnd
}

func random() uint64 {
	var bytes [8]byte
	_, _ = rand.Read(bytes[:]) // never fails: the runtime ends the program instead
	return binary.BigEndian.Uint64(bytes[:])
}
