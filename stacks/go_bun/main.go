// Command go_bun answers dyno's contract with net/http and bun on real queries: the control app in Go.
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"

	"dyno/core"
	"github.com/uptrace/bun"
)

var about = core.About{
	App:       "go-bun",
	Framework: "bun", FrameworkModule: "github.com/uptrace/bun",
	Driver: "pgdriver", DriverModule: "github.com/uptrace/bun/driver/pgdriver",
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, about.App+":", err)
		os.Exit(1)
	}
}

func run() error {
	s, err := core.ReadSettings(os.Getenv)
	if err != nil {
		return err
	}
	d, err := parseDatabase(s.DatabaseURL)
	if err != nil {
		return err
	}
	db, err := openDatabase(d, s.PoolSize)
	if err != nil {
		return fmt.Errorf("the database at %s refuses: %w", d.address, err)
	}
	defer db.Close()
	return core.Serve(s, routes(service{db}))
}

// service answers the operations that need the database or tell about it.
type service struct {
	db *bun.DB
}

func routes(v service) http.Handler {
	return core.Routes(map[string]http.HandlerFunc{
		"GET /v1/hello":       core.HelloText,
		"POST /v1/hello":      core.HelloText,
		"GET /v2/hello":       core.HelloHTML,
		"POST /v2/hello":      core.HelloHTML,
		"GET /heartbeat":      about.Heartbeat(v.ping),
		"GET /about":          core.Answer(http.StatusOK, v.about),
		"GET /version":        core.Answer(http.StatusOK, core.Version),
		"GET /types":          core.Answer(http.StatusOK, v.types),
		"GET /contacts/for":   core.Answer(http.StatusOK, v.contacts(iterateContacts)),
		"GET /contacts/fetch": core.Answer(http.StatusOK, v.contacts(fetchContacts)),
		"GET /contacts/{id}":  core.Answer(http.StatusOK, v.contact),
		"POST /contacts":      core.Answer(http.StatusCreated, v.contactCreate),
		"GET /fibonacci/{n}":  core.Answer(http.StatusOK, core.Fibonacci),
	})
}

func (v service) ping(ctx context.Context) error {
	_, err := v.db.ExecContext(ctx, "select 1")
	return err
}

func (v service) about(*http.Request) (any, error) {
	return about.Facts(v.db.Stats().MaxOpenConnections), nil
}
