// Package core is what the Go apps of dyno share: parameters, JSON, settings, greetings, the server. Of the database it
// knows nothing but its address.
package core

import (
	"context"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"time"
)

// About names the modules whose versions /about tells.
type About struct {
	App, Framework, Driver string
	// Module paths; empty for what comes with Go.
	FrameworkModule, DriverModule string
}

// Facts are observed at run time. Go has one process; what DYNO_WORKERS gives it are threads.
func (a About) Facts(poolSize int) map[string]any {
	return map[string]any{
		"app":               a.App,
		"framework":         a.Framework,
		"framework_version": moduleVersion(a.FrameworkModule),
		"server":            "net/http",
		"server_version":    runtime.Version(),
		"interpreter":       runtime.Version(),
		"implementation":    "go",
		"gil":               false,
		"event_loop":        nil,
		"driver":            a.Driver,
		"driver_version":    moduleVersion(a.DriverModule),
		"pid":               os.Getpid(),
		"workers":           1,
		"threads":           runtime.GOMAXPROCS(0),
		"pool_size":         poolSize,
	}
}

// moduleVersion is what was linked into this program, nil where the build doesn't tell.
func moduleVersion(path string) any {
	if path == "" {
		return runtime.Version()
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			if module.Path == path {
				return module.Version
			}
		}
	}
	return nil
}

// How long the database may take to answer a heartbeat.
const heartbeatTimeout = 2 * time.Second

// Heartbeat tells whether ask reaches the database.
func (a About) Heartbeat(ask func(context.Context) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), heartbeatTimeout)
		defer cancel()
		if err := ask(ctx); err != nil {
			writeJSON(w, http.StatusServiceUnavailable, map[string]string{a.App + "-server": "no database: " + err.Error()})
			return
		}
		writeJSON(w, http.StatusOK, map[string]string{a.App + "-server": "ok"})
	}
}

// Version is the contract's.
func Version(*http.Request) (any, error) {
	return map[string]string{"version": "1.0.0"}, nil
}
