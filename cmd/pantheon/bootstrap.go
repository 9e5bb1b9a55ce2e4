package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"pantheon/actors/account"
	"pantheon/actors/host"
	"pantheon/events"
	"pantheon/events/problem"
	"pantheon/projections/zone"
)

// operatorAccount is the cell's own account; it is the same in every cell.
const operatorAccount events.AccountID = "00000000-0000-4000-8000-000000000001"

// hostIdentity is who this machine is in the cell, kept in the data folder.
type hostIdentity struct {
	ID events.HostID `json:"id"`
}

// lockData takes the data folder for this process; the lock ends with it.
func lockData(data string) (*os.File, error) {
	if err := os.MkdirAll(data, 0o711); err != nil {
		return nil, cannotWrite(err)
	}
	lock, err := os.OpenFile(filepath.Join(data, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, cannotWrite(err)
	}
	if err := takeLock(lock); err != nil {
		_ = lock.Close()
		return nil, problem.New(problem.Conflict, "cannot start: another pantheon runs on %s", data).
			WithHint("--data names another folder; pantheon down --data %s stops that one", data)
	}
	if err := errors.Join(lock.Truncate(0), writePID(lock)); err != nil {
		_ = lock.Close()
		return nil, cannotWrite(err)
	}
	return lock, nil
}

// lockPatience is how long a lock may stay after its platform was killed: a
// child on its way to another program holds it until it gets there.
const lockPatience = time.Second

func takeLock(lock *os.File) error {
	ctx, cancel := context.WithTimeout(context.Background(), lockPatience)
	defer cancel()
	var err error
	_ = poll(ctx, func() (bool, error) { // the last answer counts
		err = unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		return !errors.Is(err, unix.EWOULDBLOCK), nil
	})
	return err
}

func writePID(lock *os.File) error {
	_, err := lock.WriteAt(strconv.AppendInt(nil, int64(os.Getpid()), 10), 0)
	return err
}

func loadHostIdentity(path string) (hostIdentity, error) {
	var identity hostIdentity
	text, err := os.ReadFile(path)
	if err == nil {
		if err := json.Unmarshal(text, &identity); err != nil {
			return identity, fmt.Errorf("cannot read %s: %w", path, err)
		}
		_, err := events.ParseHostID(string(identity.ID))
		return identity, err
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return identity, cannotWrite(err)
	}
	identity.ID = events.HostID(randomID())
	if text, err = json.Marshal(identity); err != nil {
		return identity, err
	}
	return identity, writeSynced(path, text)
}

// randomID gives 32 hexadecimal digits.
func randomID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // crypto/rand.Read never fails (Go 1.24)
	return hex.EncodeToString(id[:])
}

// loadAPIKey gives the key that signs sessions, making it at the first start.
func loadAPIKey(path string) ([]byte, error) {
	key, err := os.ReadFile(path)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	key = make([]byte, 32)
	_, _ = rand.Read(key)
	return key, writeSynced(path, key)
}

// writeSynced writes a small file that must survive a power failure.
func writeSynced(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return cannotWrite(err)
	}
	file, err := os.OpenFile(path+".new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return cannotWrite(err)
	}
	_, err = file.Write(text)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return cannotWrite(err)
	}
	return os.Rename(path+".new", path)
}

// startCommand is one that every start of the platform carries out.
type startCommand struct {
	key     string
	to      events.StreamID
	command any
}

// bootstrap makes sure that the cell knows its operator, this machine and, on
// an empty cell, the sample upstreams. Every command may be repeated.
func (p *platform) bootstrap(ctx context.Context) error {
	if p.cell != nil && !p.cell.settings.HoldsLog { // a cell that was moved may have its former machine yet
		if err := mayBear(p.inventory.Snapshot(), p.host.ID, p.options.hostName); err != nil {
			return err
		}
	}
	commands := []startCommand{
		{"host/" + p.startID(), p.host.ID.Stream(), host.Register{
			Host: p.host.ID, Name: p.options.hostName, Zone: p.options.zone, MemoryMiB: p.options.memoryMiB,
			Cores: runtime.NumCPU(), Isolated: p.machine.isolated(), Version: versionText()}},
		{"software/" + p.startID(), p.host.ID.Stream(), ownSoftware()},
		{"addresses/" + p.startID(), p.host.ID.Stream(), host.ReportAddresses{Addresses: machineAddresses()}},
	}
	if p.cell != nil {
		commands = append(commands,
			startCommand{"roles/" + p.startID(), p.host.ID.Stream(), host.TakeRoles{Roles: p.cell.node.Host().Roles}},
			startCommand{"endpoint/" + p.startID(), p.host.ID.Stream(), host.ReportEndpoint{Endpoint: p.cell.settings.Endpoint}})
	}
	if p.cell == nil || p.cell.settings.HoldsLog {
		operator := startCommand{"operator", operatorAccount.Stream(), account.Register{Account: operatorAccount, Kind: events.AccountOperator, Name: "Operator"}}
		commands = append(append([]startCommand{operator}, commands...), p.zoneBootstrap()...)
	}
	for _, c := range commands {
		if err := p.command(ctx, c.key, c.to, c.command); err != nil {
			return fmt.Errorf("cannot register this machine: %w", err)
		}
	}
	if !p.control() {
		return nil
	}
	for _, sample := range sampleUpstreams {
		if _, err := os.Stat(sample.Source.Location); err != nil {
			continue
		}
		if err := p.command(ctx, "upstream/"+p.startID()+"/"+sample.Name, operatorAccount.Stream(), sample); err != nil {
			return fmt.Errorf("cannot offer upstream %s: %w", sample.Name, err)
		}
	}
	return nil
}

// startID tells this start of the platform from others.
func (p *platform) startID() string { return strconv.FormatInt(p.started.UnixNano(), 36) }

// command carries out one command of the platform itself and waits until the
// views show it.
func (p *platform) command(ctx context.Context, key string, to events.StreamID, command any) error {
	receipt, err := p.commander.Do(ctx, events.Meta{
		Command: events.CommandID("start:" + key), Principal: p.host.ID.Stream().String(), Gateway: zone.StartGateway,
	}, to, command)
	if err != nil {
		return err
	}
	return p.inventory.Wait(ctx, receipt.Tip.Position)
}

// sampleUpstreams are offered where the distribution has them installed.
var sampleUpstreams = []account.AddUpstream{
	{Upstream: "00000000-0000-4000-8000-000000000101", Name: "wordpress", Label: "WordPress", Framework: events.WordPress,
		Source: events.CodeSource{Location: "/usr/share/wordpress"}, Once: true},
	{Upstream: "00000000-0000-4000-8000-000000000102", Name: "mediawiki", Label: "MediaWiki", Framework: events.PHP,
		Source: events.CodeSource{Location: "/usr/share/mediawiki"}, Once: true},
}

// offeredMemoryMiB is what a machine offers by default: three quarters of its
// memory; the rest is for the platform, the kernel and its page cache.
func offeredMemoryMiB() (int, error) {
	meminfo, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	defer func() { _ = meminfo.Close() }()
	for lines := bufio.NewScanner(meminfo); lines.Scan(); {
		if rest, found := strings.CutPrefix(lines.Text(), "MemTotal:"); found {
			kib, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(rest), " kB"))
			return kib / 1024 * 3 / 4, err
		}
	}
	return 0, errors.New("/proc/meminfo has no MemTotal")
}
