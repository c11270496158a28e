package core

import "net/http"

// Fibonacci answers /fibonacci/{n}.
func Fibonacci(r *http.Request) (any, error) {
	n, err := integer("n", r.PathValue("n"), 0, 34)
	if err != nil {
		return nil, err
	}
	return map[string]int{"result": fibonacci(int(n))}, nil
}

// fibonacci by naive recursion: the point is the work, not the number.
func fibonacci(n int) int {
	if n < 2 {
		return 1
	}
	return fibonacci(n-1) + fibonacci(n-2)
}
