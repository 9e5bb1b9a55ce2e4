package e2e

import (
	endian "encoding/binary"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

const (
	vnetHeader  = 10 // struct virtio_net_hdr
	etherHeader = 14
	tcpHeader   = 20 // without options
	// meshPort and logPort of the machines; see pantheon up --cluster.
	meshPort = 7600
	logPort  = 7601
	// resets of connections in one run; longResets with PANTHEON_TEST_LONG.
	resets     = 8
	longResets = 100
)

// resetOf gives what a machine gets in the place of a frame whose connection is
// reset: nothing of its content, and the end of the connection. false where the
// frame is none of a connection to or from the port, or carries nothing.
func resetOf(frame []byte, port uint16) (reset []byte, is bool) {
	if len(frame) < vnetHeader+etherHeader+20+tcpHeader || endian.BigEndian.Uint16(frame[vnetHeader+12:]) != 0x0800 {
		return nil, false
	}
	ip := frame[vnetHeader+etherHeader:]
	inner := int(ip[0]&15) * 4
	if ip[9] != 6 || len(ip) < inner+tcpHeader {
		return nil, false
	}
	tcp := ip[inner:]
	content := int(endian.BigEndian.Uint16(ip[2:])) - inner - int(tcp[12]>>4)*4
	source, target := endian.BigEndian.Uint16(tcp), endian.BigEndian.Uint16(tcp[2:])
	if tcp[13]&0x06 != 0 || content <= 0 || source != port && target != port { // SYN, RST
		return nil, false
	}
	reset = slices.Concat(make([]byte, vnetHeader), frame[vnetHeader:vnetHeader+etherHeader], ip[:inner], tcp[:tcpHeader])
	ip, tcp = reset[vnetHeader+etherHeader:], reset[vnetHeader+etherHeader+inner:]
	endian.BigEndian.PutUint16(ip[2:], uint16(inner+tcpHeader))
	endian.BigEndian.PutUint16(ip[10:], 0)
	endian.BigEndian.PutUint16(ip[10:], checksum(ip[:inner]))
	tcp[12], tcp[13] = 5<<4, 0x14 // RST, ACK
	clear(tcp[14:])
	pseudo := slices.Concat(ip[12:20], []byte{0, 6, 0, tcpHeader})
	endian.BigEndian.PutUint16(tcp[16:], checksum(append(pseudo, tcp...)))
	return reset, true
}

// checksum is that of RFC 1071; of an even number of bytes.
func checksum(text []byte) uint16 {
	var sum uint32
	for ; len(text) > 0; text = text[2:] {
		sum += uint32(endian.BigEndian.Uint16(text))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// tally keeps what it is sent, as often as it is done.
const tally = `<?php
$db = mysqli_connect($_ENV['DB_HOST'], $_ENV['DB_USER'], $_ENV['DB_PASSWORD'], $_ENV['DB_NAME'], $_ENV['DB_PORT']);
$db->query('CREATE TABLE IF NOT EXISTS done (id VARCHAR(40))');
if ($_SERVER['REQUEST_METHOD'] === 'POST') {
	$db->query("INSERT INTO done VALUES ('" . $db->real_escape_string($_POST['id']) . "')");
	exit('done');
}
if (isset($_GET['all'])) {
	foreach ($db->query('SELECT id, COUNT(*) FROM done GROUP BY id')->fetch_all() as $row) echo $row[0], '=', $row[1], ';';
	exit;
}
echo 'sum=', $db->query('SELECT 40 + 2')->fetch_row()[0];
`

// poster sends forms, none of them twice, until it is told to end.
type poster struct {
	v            *visitor
	mu           sync.Mutex
	ended        bool
	acknowledged []string
	failed       []string
}

func (p *poster) post() {
	for n := 0; ; n++ {
		id := fmt.Sprint("form-", n)
		answer, err := p.v.try("POST", "/", strings.NewReader(url.Values{"id": {id}}.Encode()), "Content-Type", "application/x-www-form-urlencoded")
		p.mu.Lock()
		if err == nil && answer.status == 200 && answer.body == "done" {
			p.acknowledged = append(p.acknowledged, id)
		} else {
			p.failed = append(p.failed, id)
		}
		ended := p.ended
		p.mu.Unlock()
		if ended {
			return
		}
	}
}

func (p *poster) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.acknowledged)
}

// TestMatrixResets: the connections of a machine are reset in the middle, again and
// again. What is sent is not done twice, and is done when it is answered. Who asks for
// something that was under way may be turned away, and nobody else.
func TestMatrixResets(t *testing.T) {
	c := matrix(t)
	first, second := c.machines[0], c.machines[1]
	c.siteOn(t, second, "torn", map[string]string{"index.php": tally})
	first.visitor("torn").sees(t, 200, "/", "sum=42")
	cable := c.net.relayed(t, second.number)
	readers := visit(t, first, "sum=42", "torn")
	p := &poster{v: first.visitor("torn")}
	p.v.client.Timeout = answerWithin
	var posting sync.WaitGroup
	posting.Go(p.post)
	end := sync.OnceFunc(func() {
		p.mu.Lock()
		p.ended = true
		p.mu.Unlock()
		posting.Wait()
	})
	defer end()
	times := resets
	if long() {
		times = longResets
	}
	for n := range times {
		port, sent := uint32(meshPort), p.count()
		if n%4 == 3 {
			port = logPort
		}
		cable.reset.Store(port)
		eventually(t, "a connection is reset", func() bool { return cable.reset.Load() == 0 })
		readers.goesOn(t, slowFor)
		eventually(t, "forms are answered", func() bool { return p.count() >= sent+slowFor })
		if port == logPort {
			first.ok(t, "env", "set", "torn.dev", "--workers", fmt.Sprint(3+n/4%2))
		}
	}
	end()
	failures := readers.stop()
	t.Logf("who reads: %d requests answered, %d not", readers.answered, len(failures))
	if len(failures) > times/4 { // but for a response that broke off
		t.Errorf("who reads was not answered %d times although %d connections were reset; the first time: %+v", len(failures), times, failures[0])
	}
	c.awaits(t, second, "ready")
	done := map[string]string{}
	for _, row := range strings.Split(strings.TrimSuffix(first.visitor("torn").sees(t, 200, "/?all").body, ";"), ";") {
		id, times, _ := strings.Cut(row, "=")
		if done[id] = times; times != "1" {
			t.Errorf("%s was done %s times", id, times)
		}
	}
	for _, id := range p.acknowledged {
		if done[id] == "" {
			t.Errorf("%s was answered and not done", id)
		}
	}
	t.Logf("%d resets: of %d forms %d were answered, %d done", times, len(p.acknowledged)+len(p.failed), len(p.acknowledged), len(done))
	if len(p.failed) > 2*times {
		t.Errorf("%d forms were not answered although %d connections were reset", len(p.failed), times)
	}
}
