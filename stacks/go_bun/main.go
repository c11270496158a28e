// Command go_bun answers dyno's contract with net/http and bun on real queries: the control app in Go.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/uptrace/bun"
)

const app = "go-bun"

// How long requests that are running may take after SIGTERM.
const shutdownTimeout = 3 * time.Second

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, app+":", err)
		os.Exit(1)
	}
}

func run() error {
	s, err := readSettings(os.Getenv)
	if err != nil {
		return err
	}
	runtime.GOMAXPROCS(s.workers)
	db, err := openDatabase(s)
	if err != nil {
		return fmt.Errorf("the database at %s refuses: %w", s.database.address, err)
	}
	defer db.Close()
	listener, err := net.Listen("tcp", net.JoinHostPort(s.host, s.port))
	if err != nil {
		return err
	}
	return serve(listener, routes(service{db}))
}

// serve answers until SIGTERM or SIGINT, then ends the requests that are running. A second signal kills.
func serve(listener net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 75 * time.Second}
	asked, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-asked.Done():
		stop()
	}
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	// Serve returns as soon as Shutdown begins; it is Shutdown that waits for the requests.
	if err := server.Shutdown(ctx); errors.Is(err, context.DeadlineExceeded) {
		log.Print("requests still running after ", shutdownTimeout, " are dropped")
	} else if err != nil {
		return err
	}
	return nil
}

// service answers the operations that need the database or tell about it.
type service struct {
	db *bun.DB
}

func routes(v service) http.Handler {
	mux := http.NewServeMux()
	for _, method := range []string{"GET ", "POST "} {
		mux.HandleFunc(method+"/v1/hello", helloText)
		mux.HandleFunc(method+"/v2/hello", helloHTML)
	}
	mux.HandleFunc("GET /heartbeat", v.heartbeat)
	mux.HandleFunc("GET /about", answer(http.StatusOK, v.about))
	mux.HandleFunc("GET /version", answer(http.StatusOK, version))
	mux.HandleFunc("GET /types", answer(http.StatusOK, v.types))
	mux.HandleFunc("GET /contacts/for", answer(http.StatusOK, v.contacts(iterateContacts)))
	mux.HandleFunc("GET /contacts/fetch", answer(http.StatusOK, v.contacts(fetchContacts)))
	mux.HandleFunc("GET /contacts/{id}", answer(http.StatusOK, v.contact))
	mux.HandleFunc("POST /contacts", answer(http.StatusCreated, v.contactCreate))
	mux.HandleFunc("GET /fibonacci/{n}", answer(http.StatusOK, fibonacciOf))
	return mux
}
