package core

import (
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

// How long requests that are running may take after SIGTERM.
const shutdownTimeout = 3 * time.Second

// Serve answers on the settings' address, with as many threads as they say, until a signal ends it.
func Serve(s Settings, handler http.Handler) error {
	runtime.GOMAXPROCS(s.Workers)
	listener, err := net.Listen("tcp", net.JoinHostPort(s.Host, s.Port))
	if err != nil {
		return err
	}
	return serve(listener, handler)
}

// serve answers until SIGTERM or SIGINT, then ends the requests that are running. A second signal kills.
func serve(listener net.Listener, handler http.Handler) error {
	server := &http.Server{
		Handler: limitBodies(handler), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 75 * time.Second,
	}
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
