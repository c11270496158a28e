// Command go_pgx answers dyno's contract with net/http and pgx, without an ORM: the ceiling for Go.
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"

	"dyno/core"
	"github.com/jackc/pgx/v5/pgxpool"
)

var about = core.About{
	App: "go-pgx", Framework: "net/http", Driver: "pgx", DriverModule: "github.com/jackc/pgx/v5",
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
	pool, err := openPool(s)
	if err != nil {
		return err
	}
	defer pool.Close()
	return core.Serve(s, routes(service{pool}))
}

// service answers the operations that need the database or tell about it.
type service struct {
	pool *pgxpool.Pool
}

func routes(v service) http.Handler {
	return core.Routes(map[string]http.HandlerFunc{
		"GET /v1/hello":       core.HelloText,
		"POST /v1/hello":      core.HelloText,
		"GET /v2/hello":       core.HelloHTML,
		"POST /v2/hello":      core.HelloHTML,
		"GET /heartbeat":      about.Heartbeat(func(ctx context.Context) error { return v.pool.Ping(ctx) }),
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

func (v service) about(*http.Request) (any, error) {
	return about.Facts(int(v.pool.Config().MaxConns)), nil
}
