package core

import (
	"slices"
	"strings"
	"testing"
)

func TestSettings(t *testing.T) {
	read := func(pairs ...string) (Settings, error) {
		return ReadSettings(func(name string) string {
			if at := slices.Index(pairs, name); at >= 0 {
				return pairs[at+1]
			}
			return ""
		})
	}
	const address = "postgres://me@127.0.0.1/dyno"
	got, err := read("DATABASE_URL", address, "DYNO_POOL_SIZE", "8", "DYNO_WORKERS", "2", "DYNO_HOST", "::1", "DYNO_PORT", "9495")
	if err != nil || !got.PreparedStatements || got.PoolSize != 8 || got.Workers != 2 || got.Host != "::1" || got.Port != "9495" {
		t.Error(got, err)
	}
	for _, name := range []string{"DYNO_POOL_SIZE", "DYNO_WORKERS"} {
		for _, value := range []string{"0", "-1", "x", "1.5"} {
			if _, err := read("DATABASE_URL", address, name, value); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s=%s: %v", name, value, err)
			}
		}
	}
	if got, err := read("DATABASE_URL", address, "DYNO_PREPARED_STATEMENTS", "0"); err != nil || got.PreparedStatements {
		t.Error(got, err)
	}
	if _, err := read(); err == nil || !strings.Contains(err.Error(), "DATABASE_URL") {
		t.Error(err)
	}
}
