package main

import (
	"strings"
	"testing"

	"dyno/core"
	"github.com/jackc/pgx/v5"
)

func TestThePoolHasItsConnectionsFromTheSettings(t *testing.T) {
	config, err := poolConfig(core.Settings{DatabaseURL: "postgres://me:s%2Fcret@127.0.0.1:6432/dyno", PoolSize: 7})
	if err != nil || config.MaxConns != 7 || config.MinConns != 7 || config.ConnConfig.Password != "s/cret" {
		t.Fatal(config, err)
	}
}

func TestStatementsStayPreparedUnlessAPoolerForgetsThem(t *testing.T) {
	for prepared, want := range map[bool]pgx.QueryExecMode{
		true: pgx.QueryExecModeCacheStatement, false: pgx.QueryExecModeExec,
	} {
		config, err := poolConfig(core.Settings{
			DatabaseURL: "postgres://me@127.0.0.1/dyno", PoolSize: 1, PreparedStatements: prepared,
		})
		if err != nil || config.ConnConfig.DefaultQueryExecMode != want {
			t.Errorf("%v: %v %v", prepared, config, err)
		}
	}
}

func TestAddressesThatAreRefusedKeepTheirPasswords(t *testing.T) {
	for _, address := range []string{"postgres://me:secret@127.0.0.1:x/dyno", "mysql://me:secret@127.0.0.1/dyno"} {
		_, err := poolConfig(core.Settings{DatabaseURL: address, PoolSize: 1})
		if err == nil || !strings.Contains(err.Error(), "DATABASE_URL") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", address, err)
		}
	}
}
