package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
	"strings"
	"time"

	"pantheon/events"
	"pantheon/gateways/api"
	"pantheon/gateways/yggdrasil/keyring"
	"pantheon/runtime/mesh"
)

// The keys of the name servers on all machines that answer for the cell's names:
// control machines share them by the vault, the others ask those by the mesh.

// tsigKeys is the API's way to the keys of transfers.
type tsigKeys struct {
	ring *keyring.Ring
	// share brings what was changed to the other control machines; nil where there
	// are none.
	share func()
}

func (k tsigKeys) NewTSIG(name, algorithm string) (api.TSIGKey, error) {
	key, secret, err := k.ring.NewTSIG(name, algorithm)
	if err == nil && k.share != nil {
		k.share()
	}
	return api.TSIGKey{Name: key.Name, Algorithm: key.Algorithm, Secret: secret}, err
}

func (k tsigKeys) TSIGs() []api.TSIGKey {
	var all []api.TSIGKey
	for _, key := range k.ring.TSIGs() {
		all = append(all, api.TSIGKey{Name: key.Name, Algorithm: key.Algorithm})
	}
	return all
}

func (k tsigKeys) RemoveTSIG(name string) error {
	err := k.ring.RemoveTSIG(name)
	if err == nil && k.share != nil {
		k.share()
	}
	return err
}

// tsigKeys gives them to the API.
func (p *platform) tsigKeys() tsigKeys {
	k := tsigKeys{ring: p.names.keys}
	if p.cell != nil && p.cell.secrets != nil {
		k.share = func() {
			ctx, cancel := context.WithTimeout(context.Background(), shareTimeout)
			defer cancel()
			if err := p.cell.secrets.Scan(ctx); err != nil {
				p.options.logger.Warn("cannot bring a key to the other control machines now; it is tried again", "error", err)
			}
		}
	}
	return k
}

// shareTimeout is what a command waits for the other control machines.
const shareTimeout = 3 * time.Second

// secretChanged has read again what another control machine has changed.
func (p *platform) secretChanged(name string) {
	if p.names.keys == nil || !strings.HasPrefix(name, "dns/tsig/") {
		return
	}
	if err := p.names.keys.Reload(); err != nil {
		p.options.logger.Error("cannot read the TSIG keys that another machine has changed", "error", err)
	}
}

// nameKeys gives the keys to the machines that are no control machines.
type nameKeys struct{ *platform }

func (k nameKeys) NameKeys(_ context.Context, _ events.HostID, request mesh.NameKeysRequest) (mesh.NameKeysReply, error) {
	files, err := k.names.keys.Files()
	if err != nil {
		return mesh.NameKeysReply{}, err
	}
	reply := mesh.NameKeysReply{Digest: keysDigest(files)}
	if bytes.Equal(reply.Digest, request.Digest) {
		return reply, nil
	}
	reply.Files = map[string][]byte{}
	size := 0
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if name <= request.After {
			continue
		}
		if size += len(name) + len(files[name]); size > mesh.MaxNameKeysBytes && len(reply.Files) > 0 {
			reply.More = true
			break
		}
		reply.Files[name] = files[name]
	}
	return reply, nil
}

func keysDigest(files map[string][]byte) []byte {
	hash := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		for _, part := range [][]byte{[]byte(name), files[name]} {
			_, _ = hash.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part)))) // it never fails
			_, _ = hash.Write(part)
		}
	}
	return hash.Sum(nil)
}

// keysPause is between two questions for the keys: a key works, and one that was
// removed does not, within seconds.
const keysPause = 2 * time.Second

// followNameKeys keeps the keys on this machine, which is no control machine, as
// those have them, until ctx ends.
func (p *platform) followNameKeys(ctx context.Context) error {
	ticker := time.NewTicker(keysPause)
	defer ticker.Stop()
	var known []byte
	for {
		if digest, err := p.fetchNameKeys(ctx, known); err == nil {
			known = digest
		} else if ctx.Err() == nil {
			p.options.logger.Info("cannot ask for the keys of names; trying again", "error", err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// fetchNameKeys takes over what is new, all of it or nothing.
func (p *platform) fetchNameKeys(ctx context.Context, known []byte) (digest []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, membershipTimeout)
	defer cancel()
	request, files := mesh.NameKeysRequest{Digest: known}, map[string][]byte{}
	for {
		reply, err := askControl(ctx, p.cell, func(ctx context.Context, control events.HostID) (mesh.NameKeysReply, error) {
			return p.cell.mesh.NameKeys(ctx, control, request)
		})
		if err != nil || bytes.Equal(reply.Digest, known) {
			return known, err
		}
		maps.Copy(files, reply.Files)
		if !reply.More {
			if !bytes.Equal(keysDigest(files), reply.Digest) {
				return known, nil // they were changed between two parts
			}
			return reply.Digest, p.names.keys.Install(files)
		}
		request.After = slices.Max(slices.Collect(maps.Keys(reply.Files)))
	}
}
