module dyno/core

go 1.24.0
