package main

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/driver/pgdriver"
)

// How long all the pool's connections may take to open.
const openTimeout = 10 * time.Second

// openDatabase opens the pool with all its connections, so that none is opened while requests wait.
func openDatabase(d database, poolSize int) (*bun.DB, error) {
	var err error
	for _, sslMode := range d.sslModes {
		var pool *sql.DB
		if pool, err = openPool(d, poolSize, sslMode); err == nil {
			return bun.NewDB(pool, pgdialect.New()), nil
		}
	}
	return nil, err
}

func openPool(d database, poolSize int, sslMode string) (*sql.DB, error) {
	connector, err := newConnector(d, sslMode)
	if err != nil {
		return nil, err
	}
	pool := sql.OpenDB(connector)
	pool.SetMaxOpenConns(poolSize)
	pool.SetMaxIdleConns(poolSize)
	if err := fill(pool, poolSize); err != nil {
		_ = pool.Close()
		return nil, err
	}
	return pool, nil
}

// fill holds all connections at once, which makes the pool open them, and gives them back.
func fill(pool *sql.DB, size int) error {
	ctx, cancel := context.WithTimeout(context.Background(), openTimeout)
	defer cancel()
	for range size {
		connection, err := pool.Conn(ctx)
		if err != nil {
			return err
		}
		defer connection.Close()
	}
	return nil
}

// newConnector lets pgdriver read the address. It panics where it finds fault: here that is an error.
func newConnector(d database, sslMode string) (connector *pgdriver.Connector, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("DATABASE_URL: %v", fault)
		}
	}()
	return pgdriver.NewConnector(
		pgdriver.WithDSN(d.dsn(sslMode)),
		pgdriver.WithNetwork(d.network), pgdriver.WithAddr(d.address), pgdriver.WithDatabase(d.name),
	), nil
}
