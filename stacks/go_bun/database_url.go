package main

import (
	"errors"
	"net"
	"net/url"
	"strings"
)

// database is where DATABASE_URL points to, resolved.
type database struct {
	url     url.URL
	network string // tcp or unix
	address string // host:port, or the socket's path
	name    string
	// The modes of TLS to try, in this order.
	sslModes []string
}

func parseDatabase(text string) (database, error) {
	// The error of url.Parse would show the password.
	parsed, err := url.Parse(text)
	if err != nil || (parsed.Scheme != "postgres" && parsed.Scheme != "postgresql") {
		return database{}, errors.New("DATABASE_URL isn't a postgres:// address")
	}
	user := parsed.User.Username()
	if user == "" {
		return database{}, errors.New("DATABASE_URL names no user: for instance postgres://me:secret@127.0.0.1/dyno")
	}
	result := database{url: *parsed, name: strings.TrimPrefix(parsed.Path, "/")}
	if result.name == "" { // as libpq has it
		result.name = user
	}
	host, port := parsed.Hostname(), parsed.Port()
	if other := parsed.Query().Get("host"); other != "" {
		host = other
	}
	if host == "" {
		host = "127.0.0.1"
	}
	if port == "" {
		port = "5432"
	}
	near := host == "localhost" || net.ParseIP(host).IsLoopback()
	if strings.HasPrefix(host, "/") {
		near, result.network, result.address = true, "unix", host+"/.s.PGSQL."+port
	} else {
		result.network, result.address = "tcp", net.JoinHostPort(host, port)
	}
	result.sslModes = sslModes(parsed.Query().Get("sslmode"), near)
	return result, nil
}

// sslModes is what libpq does for a mode, in the modes that pgdriver has: its own `allow` and `prefer` demand TLS.
// Without a mode nothing is encrypted on this machine, as for every stack, and elsewhere TLS is preferred.
func sslModes(asked string, near bool) []string {
	switch {
	case asked == "" && near:
		return []string{"disable"}
	case asked == "" || asked == "prefer":
		return []string{"require", "disable"}
	case asked == "allow":
		return []string{"disable", "require"}
	}
	return []string{asked}
}

// dsn is the address as pgdriver reads it, its place left out: pgdriver takes a host from it without a port.
func (d database) dsn(sslMode string) string {
	query := d.url.Query()
	query.Del("host")
	query.Set("sslmode", sslMode)
	dsn := d.url
	dsn.RawQuery = query.Encode()
	return dsn.String()
}
