"""Settings from the environment."""

import importlib

import pytest


def settings(monkeypatch, **variables):
    monkeypatch.setenv("DATABASE_URL", "postgres://u@h/d")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    import dyno_core.settings

    return importlib.reload(dyno_core.settings)


def test_an_address_is_taken_apart(monkeypatch):
    parts = settings(monkeypatch).database_parts("postgres://u:p%40s@127.0.0.1:6000/d")
    assert parts == {"host": "127.0.0.1", "port": 6000, "user": "u", "password": "p@s", "dbname": "d"}


def test_a_unix_socket_stands_in_the_query(monkeypatch):
    parts = settings(monkeypatch).database_parts("postgres://u@/d?host=/run/pg")
    assert (parts["host"], parts["port"]) == ("/run/pg", 5432)


def test_a_missing_address_is_said(monkeypatch):
    module = settings(monkeypatch)
    monkeypatch.delenv("DATABASE_URL")
    with pytest.raises(SystemExit, match="DATABASE_URL is not set: for instance"):
        importlib.reload(module)
