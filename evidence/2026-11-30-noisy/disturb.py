"""Burns each CPU a third of the time, in stretches of one second in the mean, until it is ended. Usage: python3 disturb.py [SECONDS]"""

import multiprocessing
import os
import random
import sys
import time


def burn(cpu, until):
    os.sched_setaffinity(0, {cpu})
    rng = random.Random(cpu)
    while time.monotonic() < until:
        end = time.monotonic() + rng.expovariate(1.0)
        while time.monotonic() < end:
            pass
        time.sleep(rng.expovariate(0.5))


if __name__ == "__main__":
    until = time.monotonic() + float(sys.argv[1] if len(sys.argv) > 1 else 3600)
    burners = [multiprocessing.Process(target=burn, args=(cpu, until), daemon=True) for cpu in os.sched_getaffinity(0)]
    for one in burners:
        one.start()
    for one in burners:
        one.join()
