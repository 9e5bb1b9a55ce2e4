package mesh_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pantheon/runtime/fastcgi/fpmtest"
)

// startNginx gives servers by how they reach php-fpm: over its Unix socket
// ("unix"), over TCP ("tcp", and "tcp-line" where a line is between), and over
// TLS to an nginx beside it ("tls").
func startNginx(b *testing.B, folder string) map[string]string {
	if _, err := exec.LookPath("nginx"); err != nil {
		b.Skip("nginx is missing: apt-get install nginx")
	}
	remote, encrypted := freeAddress(b), freeAddress(b)
	pool := []string{"[tcp]", "listen = " + remote, "pm = static", "pm.max_children = 4"}
	user := ""
	if os.Geteuid() == 0 {
		pool, user = append(pool, "user = nobody", "group = nogroup"), "user root; "
	}
	fpm := fpmtest.Start(b, 4, pool...)
	writeCertificate(b, folder)
	text := user + "worker_processes auto; daemon off; pid " + folder + "/pid; error_log " + folder + "/error.log; events { worker_connections 1024; }\n" +
		"http { access_log off; keepalive_requests 1000000; tcp_nodelay on;\n" +
		"ssl_certificate " + folder + "/cert.pem; ssl_certificate_key " + folder + "/key.pem; ssl_protocols TLSv1.3;\n" +
		"upstream encrypted { server " + encrypted + "; keepalive 8; keepalive_requests 1000000; }\n"
	server := func(address, options, pass string) string {
		text += fmt.Sprintf("server { listen %s%s; location / { %s } }\n", address, options, pass)
		return address
	}
	fastcgi := "include /etc/nginx/fastcgi_params; fastcgi_param SCRIPT_FILENAME " + folder + "/index.php; fastcgi_pass "
	server(encrypted, " ssl; ssl_verify_client on; ssl_client_certificate "+folder+"/cert.pem", fastcgi+"unix:"+fpm.Socket+";")
	ways := map[string]string{
		"unix":     server(freeAddress(b), "", fastcgi+"unix:"+fpm.Socket+";"),
		"tcp":      server(freeAddress(b), "", fastcgi+remote+";"),
		"tcp-line": server(freeAddress(b), "", fastcgi+startLine(b, remote)+";"),
		"tls": server(freeAddress(b), "", `proxy_pass https://encrypted; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_ssl_protocols TLSv1.3; proxy_ssl_name machine; `+
			"proxy_ssl_verify on; proxy_ssl_trusted_certificate "+folder+"/cert.pem; proxy_ssl_certificate "+folder+"/cert.pem; proxy_ssl_certificate_key "+folder+"/key.pem;"),
	}
	config := filepath.Join(folder, "nginx.conf")
	if err := os.WriteFile(config, []byte(text+"}\n"), 0o600); err != nil {
		b.Fatal(err)
	}
	runNginx(b, config, ways["tcp"])
	return ways
}

func runNginx(b *testing.B, config, address string) {
	command := exec.Command("nginx", "-c", config)
	command.Stderr = os.Stderr
	if err := command.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = command.Process.Signal(os.Interrupt)
		_ = command.Wait()
	})
	until(b, func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

// writeCertificate makes one that both sides show and trust.
func writeCertificate(b *testing.B, folder string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "machine"}, DNSNames: []string{"machine"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		b.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		b.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"cert.pem": {Type: "CERTIFICATE", Bytes: certificate}, "key.pem": {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(filepath.Join(folder, name), pem.EncodeToMemory(block), 0o600); err != nil {
			b.Fatal(err)
		}
	}
}

// lineDelay of a line, each way: two racks of a data centre.
const lineDelay = 100 * time.Microsecond

// startLine gives an address from which it is as far to another one. It takes
// connections at once, so that the way there and back that connecting takes is
// added to the first bytes.
func startLine(b *testing.B, to string) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			arrives := time.Now().Add(3 * lineDelay)
			far, err := net.Dial("tcp", to)
			if err != nil {
				near.Close()
				continue
			}
			go carry(far, near, arrives)
			go carry(near, far, time.Time{})
		}
	}()
	b.Cleanup(func() { listener.Close() })
	return listener.Addr().String()
}

// carry moves bytes until one end closes; the first arrive no sooner than first.
func carry(to, from net.Conn, first time.Time) {
	defer to.Close()
	defer from.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		wait := max(lineDelay, time.Until(first)) // a timer of the runtime is ten times as long
		pause := unix.NsecToTimespec(wait.Nanoseconds())
		_ = unix.Nanosleep(&pause, nil)
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// freeAddress is for programs that cannot choose a port themselves.
func freeAddress(b *testing.B) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}
