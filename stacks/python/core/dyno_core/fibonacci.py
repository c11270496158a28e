"""Work for the interpreter alone."""


def fibonacci(n):
    """fib(0) = fib(1) = 1, by naive recursion: the point is the work, not the number."""
    return 1 if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)
