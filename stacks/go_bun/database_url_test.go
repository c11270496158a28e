package main

import (
	"slices"
	"strings"
	"testing"
)

func TestDatabaseAddresses(t *testing.T) {
	for text, want := range map[string][3]string{
		"postgres://me@127.0.0.1/dyno":                     {"tcp", "127.0.0.1:5432", "dyno"},
		"postgresql://me:s%2Fcret@db.example:6432/dyno":    {"tcp", "db.example:6432", "dyno"},
		"postgres://me@[::1]/dyno":                         {"tcp", "[::1]:5432", "dyno"},
		"postgres://me@/dyno":                              {"tcp", "127.0.0.1:5432", "dyno"},
		"postgres://me@127.0.0.1":                          {"tcp", "127.0.0.1:5432", "me"},
		"postgres://me@localhost/dyno?host=/run/postgres":  {"unix", "/run/postgres/.s.PGSQL.5432", "dyno"},
		"postgres://me@localhost:6432/dyno?host=%2Frun%2F": {"unix", "/run//.s.PGSQL.6432", "dyno"},
		"postgres://me@/dyno?host=db.example":              {"tcp", "db.example:5432", "dyno"},
	} {
		got, err := parseDatabase(text)
		if err != nil || [3]string{got.network, got.address, got.name} != want {
			t.Errorf("%s: %v %v", text, got, err)
		}
	}
}

func TestDatabaseAddressesThatAreRefused(t *testing.T) {
	for _, text := range []string{
		"dyno", "mysql://me@127.0.0.1/dyno", "postgres://127.0.0.1/dyno", "postgres://me:secret@127.0.0.1:x/dyno",
		"host=127.0.0.1 dbname=dyno",
	} {
		_, err := parseDatabase(text)
		if err == nil || !strings.Contains(err.Error(), "DATABASE_URL") || strings.Contains(err.Error(), ":secret@127.0.0.1:x") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestModesOfTLS(t *testing.T) {
	for text, want := range map[string][]string{
		"postgres://me@127.0.0.1/dyno":                      {"disable"},
		"postgres://me@localhost/dyno":                      {"disable"},
		"postgres://me@db.example/dyno?host=/run":           {"disable"},
		"postgres://me@db.example/dyno":                     {"require", "disable"},
		"postgres://me@localhost/dyno?sslmode=prefer":       {"require", "disable"},
		"postgres://me@db.example/dyno?sslmode=allow":       {"disable", "require"},
		"postgres://me@db.example/dyno?sslmode=verify-full": {"verify-full"},
	} {
		got, err := parseDatabase(text)
		if err != nil || !slices.Equal(got.sslModes, want) {
			t.Errorf("%s: %v %v", text, got.sslModes, err)
		}
	}
}

func TestModesOfTLSThatNobodyKnowsAreErrors(t *testing.T) {
	d, err := parseDatabase("postgres://me@127.0.0.1/dyno?sslmode=often")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newConnector(d, d.sslModes[0]); err == nil || !strings.Contains(err.Error(), "often") {
		t.Error(err)
	}
}
