package main

import (
	"context"
	"fmt"
	"time"

	"dyno/core"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// How long all the pool's connections may take to open at start.
	openTimeout = 10 * time.Second
	// How long one connection may take to open later, when the database comes back.
	connectTimeout = 5 * time.Second
	// How long a statement whose request was given up may go on before the server is asked to cancel it, and before
	// its connection is closed. pgx alone closes the connection at once: each client that hangs up would cost one.
	cancelDelay = time.Second
	closeDelay  = 10 * time.Second
)

// openPool opens the pool with all its connections, so that none is opened while requests wait.
func openPool(s core.Settings) (*pgxpool.Pool, error) {
	config, err := poolConfig(s)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), openTimeout)
	defer cancel()
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	if err := fill(ctx, pool); err != nil {
		pool.Close()
		return nil, fmt.Errorf("the database at %s refuses: %w", config.ConnConfig.Host, err)
	}
	return pool, nil
}

func poolConfig(s core.Settings) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(s.DatabaseURL) // its errors leave the password out
	if err != nil {
		return nil, fmt.Errorf("DATABASE_URL: %w", err)
	}
	config.MaxConns, config.MinConns = int32(s.PoolSize), int32(s.PoolSize)
	if !s.PreparedStatements {
		config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	}
	config.PingTimeout = connectTimeout
	config.ConnConfig.ConnectTimeout = connectTimeout
	config.ConnConfig.BuildContextWatcherHandler = func(connection *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{
			Conn: connection, CancelRequestDelay: cancelDelay, DeadlineDelay: closeDelay,
		}
	}
	return config, nil
}

// fill holds all connections at once, which makes the pool open them, and gives them back.
func fill(ctx context.Context, pool *pgxpool.Pool) error {
	for range pool.Config().MaxConns {
		connection, err := pool.Acquire(ctx)
		if err != nil {
			return err
		}
		defer connection.Release()
	}
	return nil
}
