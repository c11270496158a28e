package core

import (
	"errors"
	"fmt"
	"strconv"
)

// Settings come from environment variables, as twelve-factor has it.
type Settings struct {
	DatabaseURL string
	PoolSize    int // connections, all opened at start
	Workers     int // GOMAXPROCS
	Host        string
	Port        string
	// Whether statements may stay prepared on a connection: not every pooler keeps them.
	PreparedStatements bool
}

// ReadSettings reads them with os.Getenv or the like.
func ReadSettings(environment func(string) string) (Settings, error) {
	variable := func(name, otherwise string) string {
		if value := environment(name); value != "" {
			return value
		}
		return otherwise
	}
	result := Settings{
		DatabaseURL: environment("DATABASE_URL"),
		Host:        variable("DYNO_HOST", "127.0.0.1"),
		Port:        variable("DYNO_PORT", "8000"),

		PreparedStatements: variable("DYNO_PREPARED_STATEMENTS", "1") == "1",
	}
	if result.DatabaseURL == "" {
		return Settings{}, errors.New("DATABASE_URL is not set: for instance postgres://me:secret@127.0.0.1/dyno")
	}
	var err error
	if result.PoolSize, err = positive("DYNO_POOL_SIZE", variable("DYNO_POOL_SIZE", "4")); err != nil {
		return Settings{}, err
	}
	if result.Workers, err = positive("DYNO_WORKERS", variable("DYNO_WORKERS", "1")); err != nil {
		return Settings{}, err
	}
	return result, nil
}

func positive(name, text string) (int, error) {
	number, err := strconv.Atoi(text)
	if err != nil || number < 1 {
		return 0, fmt.Errorf("%s must be a whole number above 0, not %q", name, text)
	}
	return number, nil
}
