// Command go_bun answers dyno's contract with net/http and bun on real queries: the control app in Go.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/uptrace/bun"
)

const app = "go-bun"

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, app+":", err)
		os.Exit(1)
	}
}

func run() error {
	s, err := readSettings()
	if err != nil {
		return err
	}
	runtime.GOMAXPROCS(s.workers)
	db, err := openDatabase(s)
	if err != nil {
		return fmt.Errorf("the database at %s refuses: %w", s.databaseURL.Host, err)
	}
	defer db.Close()
	listener, err := net.Listen("tcp", net.JoinHostPort(s.host, s.port))
	if err != nil {
		return err
	}
	server := &http.Server{Handler: routes(service{db, s}), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 75 * time.Second}
	ended, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	go func() {
		<-ended.Done()
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		_ = server.Shutdown(ctx)
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

type service struct {
	db *bun.DB
	s  settings
}

func routes(v service) http.Handler {
	mux := http.NewServeMux()
	for _, method := range []string{"GET", "POST"} {
		mux.HandleFunc(method+" /v1/hello", hello("text/plain; charset=utf-8", func(name string) string {
			return "Hello " + name + "!"
		}))
		mux.HandleFunc(method+" /v2/hello", hello("text/html; charset=utf-8", func(name string) string {
			return "<blink>Hello " + escape(name) + "!</blink>"
		}))
	}
	mux.HandleFunc("GET /heartbeat", v.heartbeat)
	mux.HandleFunc("GET /about", answer(200, v.about))
	mux.HandleFunc("GET /version", answer(200, func(*http.Request) (any, error) {
		return map[string]string{"version": "1.0.0"}, nil
	}))
	mux.HandleFunc("GET /types", answer(200, v.types))
	mux.HandleFunc("GET /contacts/for", answer(200, v.contacts(iterateContacts)))
	mux.HandleFunc("GET /contacts/fetch", answer(200, v.contacts(fetchContacts)))
	mux.HandleFunc("GET /contacts/{id}", answer(200, v.contact))
	mux.HandleFunc("POST /contacts", answer(201, v.contactCreate))
	mux.HandleFunc("GET /fibonacci/{n}", answer(200, func(r *http.Request) (any, error) {
		n, err := integer("n", r.PathValue("n"), 0, 34)
		if err != nil {
			return nil, err
		}
		return map[string]int{"result": fibonacci(int(n))}, nil
	}))
	return mux
}

// answer writes what handle returns as JSON, or its refusal.
func answer(status int, handle func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		value, err := handle(r)
		var refusal refused
		switch {
		case errors.As(err, &refusal):
			writeJSON(w, refusal.status, map[string]string{"detail": refusal.detail})
		case err != nil:
			log.Print(r.Method, " ", r.URL.Path, ": ", err)
			writeJSON(w, 500, map[string]string{"detail": "internal error"})
		default:
			writeJSON(w, status, value)
		}
	}
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(value)
}

func hello(contentType string, greet func(string) string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		name := r.URL.Query().Get("name")
		if name == "" {
			name = r.PostFormValue("name")
		}
		if name == "" {
			name = "World"
		}
		w.Header().Set("Content-Type", contentType)
		_, _ = io.WriteString(w, greet(name))
	}
}

// escape spells entities as the contract (and Python's html.escape) does: html.EscapeString has &#39; and &#34;.
var escape = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&#x27;").Replace

func (v service) heartbeat(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	if _, err := v.db.ExecContext(ctx, "select 1"); err != nil {
		writeJSON(w, 503, map[string]string{app + "-server": "no database: " + err.Error()})
		return
	}
	writeJSON(w, 200, map[string]string{app + "-server": "ok"})
}

func (v service) types(r *http.Request) (any, error) {
	found := []contactType{}
	err := v.db.NewSelect().Model(&found).Order("type_id").Scan(r.Context())
	return found, err
}

func (v service) contacts(load func(context.Context, *bun.DB, page) ([]*contact, error)) func(*http.Request) (any, error) {
	return func(r *http.Request) (any, error) {
		p, err := parsePage(r.URL.Query())
		if err != nil {
			return nil, err
		}
		found, err := load(r.Context(), v.db, p)
		return allAsJSON(found), err
	}
}

func (v service) contact(r *http.Request) (any, error) {
	id, err := parseContactID(r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	found, err := findContact(r.Context(), v.db, id)
	if err != nil {
		return nil, err
	}
	return asJSON(found), nil
}

func (v service) contactCreate(r *http.Request) (any, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	n, err := parseNewContact(body)
	if err != nil {
		return nil, err
	}
	id, err := storeContact(r.Context(), v.db, n)
	if err != nil {
		return nil, err
	}
	found, err := findContact(r.Context(), v.db, id)
	if err != nil {
		return nil, err
	}
	return asJSON(found), nil
}

// about tells facts observed at run time.
func (v service) about(*http.Request) (any, error) {
	return map[string]any{
		"app": app, "framework": "bun", "framework_version": moduleVersion("github.com/uptrace/bun"),
		"server": "net/http", "server_version": runtime.Version(), "interpreter": runtime.Version(),
		"implementation": "go", "gil": false, "event_loop": nil,
		"driver": "pgdriver", "driver_version": moduleVersion("github.com/uptrace/bun/driver/pgdriver"),
		"pid": os.Getpid(), "workers": 1, "threads": runtime.GOMAXPROCS(0), "pool_size": v.db.Stats().MaxOpenConnections,
	}, nil
}

func moduleVersion(path string) any {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			if module.Path == path {
				return module.Version
			}
		}
	}
	return nil
}

// fibonacci by naive recursion: the point is the work, not the number.
func fibonacci(n int) int {
	if n < 2 {
		return 1
	}
	return fibonacci(n-1) + fibonacci(n-2)
}
