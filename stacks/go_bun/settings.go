package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
)

// settings come from environment variables, as twelve-factor has it.
type settings struct {
	databaseURL *url.URL
	poolSize    int
	workers     int
	threads     int
	host        string
	port        string
}

func readSettings() (settings, error) {
	text := os.Getenv("DATABASE_URL")
	if text == "" {
		return settings{}, errors.New("DATABASE_URL is not set: for instance postgres://me:secret@127.0.0.1/dyno")
	}
	database, err := url.Parse(text)
	if err != nil || (database.Scheme != "postgres" && database.Scheme != "postgresql") {
		return settings{}, errors.New("DATABASE_URL isn't a postgres:// address")
	}
	result := settings{databaseURL: database, host: variable("DYNO_HOST", "127.0.0.1"), port: variable("DYNO_PORT", "8000")}
	for name, number := range map[string]*int{
		"DYNO_POOL_SIZE": &result.poolSize, "DYNO_WORKERS": &result.workers, "DYNO_THREADS": &result.threads,
	} {
		*number, err = strconv.Atoi(variable(name, "1"))
		if err != nil || *number < 1 {
			return settings{}, fmt.Errorf("%s must be a whole number above 0", name)
		}
	}
	return result, nil
}

func variable(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}
