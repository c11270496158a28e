"""What a turn of an empty loop costs, by the number of turns: the least of seven measurements."""

import sys
import timeit
from itertools import repeat


def of_range(turns):
    for _ in range(turns):
        pass


def of_repeat(turns):
    for _ in repeat(None, turns):
        pass


print(sys.version)
for loop in (of_range, of_repeat):
    for turns in (100, 318, 1000, 10000):
        number = max(1, 2_000_000 // turns)
        least = min(timeit.repeat(lambda: loop(turns), number=number, repeat=7)) / number  # noqa: B023
        print(f"{loop.__name__} {turns}: {least / turns * 1e9:.2f} ns a turn")
