package main

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// settings come from environment variables, as twelve-factor has it.
type settings struct {
	database database
	poolSize int // connections, all opened at start
	workers  int // GOMAXPROCS
	host     string
	port     string
}

// database is where DATABASE_URL points to, resolved.
type database struct {
	url     url.URL
	network string // tcp or unix
	address string // host:port, or the socket's path
	name    string
	// The modes of TLS to try, in this order.
	sslModes []string
}

func readSettings(environment func(string) string) (settings, error) {
	variable := func(name, otherwise string) string {
		if value := environment(name); value != "" {
			return value
		}
		return otherwise
	}
	result := settings{host: variable("DYNO_HOST", "127.0.0.1"), port: variable("DYNO_PORT", "8000")}
	var err error
	if result.database, err = parseDatabase(environment("DATABASE_URL")); err != nil {
		return settings{}, err
	}
	if result.poolSize, err = positive("DYNO_POOL_SIZE", variable("DYNO_POOL_SIZE", "4")); err != nil {
		return settings{}, err
	}
	if result.workers, err = positive("DYNO_WORKERS", variable("DYNO_WORKERS", "1")); err != nil {
		return settings{}, err
	}
	return result, nil
}

func positive(name, text string) (int, error) {
	number, err := strconv.Atoi(text)
	if err != nil || number < 1 {
		return 0, fmt.Errorf("%s must be a whole number above 0, not %q", name, text)
	}
	return number, nil
}

func parseDatabase(text string) (database, error) {
	if text == "" {
		return database{}, errors.New("DATABASE_URL is not set: for instance postgres://me:secret@127.0.0.1/dyno")
	}
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
