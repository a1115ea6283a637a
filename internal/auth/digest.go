package auth

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"sync"
)

// digest is what a token is remembered by: an authenticator of its text.
type digest [16]byte

// digester makes digests with GMAC, under a key of its own that nobody learns and a nonce that
// is always the same. No digest leaves the process, and of such a hash who sees none of them
// finds no second text of one: each that is tried has a chance of 2⁻¹⁰⁰ at most, the length of
// a token and the number of those remembered taken in. It takes less than half of the time of SHA-256.
type digester struct {
	mac     cipher.AEAD
	scratch sync.Pool // of *scratch: what an interface is given is on the heap
}

type scratch struct {
	text []byte
	sum  []byte
}

var oneNonce = make([]byte, 12)

func newDigester() *digester {
	key := make([]byte, 16)
	_, _ = rand.Read(key) // it never fails
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // only of a key of another length
	}
	mac, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // only of a block of another size
	}
	return &digester{mac: mac, scratch: sync.Pool{New: func() any { return &scratch{} }}}
}

func (d *digester) of(token string) (out digest) {
	s, _ := d.scratch.Get().(*scratch)
	defer d.scratch.Put(s)
	s.text = append(s.text[:0], token...)
	s.sum = d.mac.Seal(s.sum[:0], oneNonce, nil, s.text) //nolint:gosec // nothing is encrypted: see above
	return digest(s.sum)
}
