package batch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
)

// echo answers every datagram with itself until the socket is closed.
func echo(t *testing.T, socket *net.UDPConn) (ended chan error) {
	t.Helper()
	conn, err := New(socket)
	if err != nil {
		t.Fatal(err)
	}
	ended = make(chan error, 1)
	go func() {
		for {
			n, err := conn.Read()
			if err != nil {
				ended <- err
				return
			}
			for i := range n {
				data, cut := conn.Datagram(i)
				conn.Answer(i, fmt.Appendf(conn.Buffer(i), "%v %s %t %d", conn.Sender(i), data[:min(len(data), 20)], cut, len(data)))
			}
			if _, err := conn.Write(); err != nil {
				ended <- err
				return
			}
		}
	}()
	return ended
}

// An answer leaves from the address that was asked, whatever the socket is
// bound to, and IPv4 senders of an IPv6 socket have IPv4 addresses.
func TestAddresses(t *testing.T) {
	for _, c := range []struct{ network, listen, ask string }{
		{"udp4", "127.0.0.1:0", "127.0.0.1"},
		{"udp4", "0.0.0.0:0", "127.0.0.1"},
		{"udp4", "0.0.0.0:0", "127.3.2.1"},
		{"udp6", "[::1]:0", "::1"},
		{"udp", "[::]:0", "::1"},
		{"udp", "[::]:0", "127.3.2.1"},
	} {
		t.Run(c.listen+" "+c.ask, func(t *testing.T) {
			address, err := net.ResolveUDPAddr(c.network, c.listen)
			if err != nil {
				t.Fatal(err)
			}
			socket, err := net.ListenUDP(c.network, address)
			if err != nil {
				t.Skipf("cannot listen on %s here: %v", c.listen, err)
			}
			ended := echo(t, socket)
			port := socket.LocalAddr().(*net.UDPAddr).Port
			client, err := net.DialUDP("udp", nil, &net.UDPAddr{IP: net.ParseIP(c.ask), Port: port})
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			for range 3 * Size {
				exchange(t, client, "hello", fmt.Sprintf("%v hello false 5", client.LocalAddr()))
			}
			exchange(t, client, string(make([]byte, 3000))[:3000], "")
			if err := socket.Close(); err != nil {
				t.Fatal(err)
			}
			if err := <-ended; !errors.Is(err, net.ErrClosed) {
				t.Errorf("ended with %v", err)
			}
		})
	}
}

// exchange works with a connected socket, which takes answers of the asked
// address only.
func exchange(t *testing.T, client *net.UDPConn, ask, want string) {
	t.Helper()
	if _, err := client.Write([]byte(ask)); err != nil {
		t.Fatal(err)
	}
	var buffer [4096]byte
	n, err := client.Read(buffer[:])
	if err != nil {
		t.Fatal(err)
	}
	if got := string(buffer[:n]); want != "" && got != want {
		t.Fatalf("answer %q, want %q", got, want)
	} else if want == "" && got[len(got)-9:] != "true 2048" {
		t.Fatalf("a datagram that is too long came as %q", got)
	}
}

// Many datagrams at once: none is answered twice or to another sender.
func TestMany(t *testing.T) {
	sockets, err := Listen(context.Background(), "127.0.0.1:0", 2)
	if err != nil {
		t.Fatal(err)
	}
	var endings []chan error
	for _, s := range sockets {
		endings = append(endings, echo(t, s))
	}
	done := make(chan error)
	for range 8 {
		go func() {
			client, err := net.DialUDP("udp", nil, sockets[0].LocalAddr().(*net.UDPAddr))
			if err != nil {
				done <- err
				return
			}
			defer client.Close()
			done <- flood(client)
		}()
	}
	for range 8 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	for i, s := range sockets {
		s.Close()
		<-endings[i]
	}
}

func flood(client *net.UDPConn) error {
	var buffer [4096]byte
	for round := range 100 {
		seen := map[string]bool{}
		for i := range 32 { // few enough for every socket buffer
			text := fmt.Sprintf("%d-%d", round, i)
			if _, err := client.Write([]byte(text)); err != nil {
				return err
			}
			seen[fmt.Sprintf("%v %s false %d", client.LocalAddr(), text, len(text))] = true
		}
		for range 32 {
			n, err := client.Read(buffer[:])
			if err != nil {
				return err
			}
			if !seen[string(buffer[:n])] {
				return fmt.Errorf("unexpected answer %q", buffer[:n])
			}
			delete(seen, string(buffer[:n]))
		}
	}
	return nil
}

// A sender that is gone does not disturb the others.
func TestUnreachableSender(t *testing.T) {
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	ended := echo(t, socket)
	to := socket.LocalAddr().(*net.UDPAddr)
	for range 100 {
		gone, err := net.DialUDP("udp4", nil, to)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := gone.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		gone.Close()
	}
	client, err := net.DialUDP("udp4", nil, to)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	exchange(t, client, "hello", fmt.Sprintf("%v hello false 5", client.LocalAddr()))
	socket.Close()
	<-ended
}
