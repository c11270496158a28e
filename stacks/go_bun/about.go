package main

import (
	"context"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"time"
)

// How long the database may take to answer a heartbeat.
const heartbeatTimeout = 2 * time.Second

func (v service) heartbeat(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), heartbeatTimeout)
	defer cancel()
	if _, err := v.db.ExecContext(ctx, "select 1"); err != nil {
		writeJSON(w, http.StatusServiceUnavailable, map[string]string{app + "-server": "no database: " + err.Error()})
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{app + "-server": "ok"})
}

func version(*http.Request) (any, error) {
	return map[string]string{"version": "1.0.0"}, nil
}

// about tells facts observed at run time. Go has one process; what DYNO_WORKERS gives it are threads.
func (v service) about(*http.Request) (any, error) {
	return map[string]any{
		"app":               app,
		"framework":         "bun",
		"framework_version": moduleVersion("github.com/uptrace/bun"),
		"server":            "net/http",
		"server_version":    runtime.Version(),
		"interpreter":       runtime.Version(),
		"implementation":    "go",
		"gil":               false,
		"event_loop":        nil,
		"driver":            "pgdriver",
		"driver_version":    moduleVersion("github.com/uptrace/bun/driver/pgdriver"),
		"pid":               os.Getpid(),
		"workers":           1,
		"threads":           runtime.GOMAXPROCS(0),
		"pool_size":         v.db.Stats().MaxOpenConnections,
	}, nil
}

// moduleVersion is what was linked into this program, nil where the build doesn't tell.
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
