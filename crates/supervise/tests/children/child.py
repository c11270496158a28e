"""Children of known behaviour for the supervisor's tests: child.py BEHAVIOUR"""

import os
import signal
import sys
import time


def sleep():
    time.sleep(1000)


def ignore():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("ready", flush=True)
    sleep()


def die():
    print("no such module: answers", file=sys.stderr)
    sys.exit(3)


def workers():
    for _ in range(3):
        if os.fork() == 0:
            sleep()
    print("ready", flush=True)
    sleep()


def daemon():
    """Leaves its group and its parent twice, as daemons do, and the root stays."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            sleep()
        os._exit(0)
    os.wait()
    print("ready", flush=True)
    sleep()


def fork_and_exit():
    """The root ends, its child stays."""
    if os.fork() == 0:
        os.setsid()
        sleep()
    sys.exit(0)


def burn():
    end = float(sys.argv[2])
    while time.process_time() < end:
        pass
    print("ready", flush=True)
    sleep()


def affinity():
    print(sorted(os.sched_getaffinity(0)), flush=True)
    print("ready", flush=True)
    sleep()


def headless():
    """The first thread ends, another goes on: /proc calls the whole process a zombie."""
    import ctypes
    import threading

    threading.Thread(target=sleep).start()
    print("ready", flush=True)
    ctypes.CDLL(None).syscall(60, 0)  # exit of this thread only (x86-64)


def burn_by_workers():
    """Time burned by a process that has ended, and by a thread that has ended."""
    import threading

    if os.fork() == 0:
        while time.process_time() < float(sys.argv[2]):
            pass
        os._exit(0)
    os.wait()
    end = time.process_time() + float(sys.argv[2])
    thread = threading.Thread(target=lambda: [None for _ in iter(lambda: time.process_time() < end, False)])
    thread.start()
    thread.join()
    print("ready", flush=True)
    sleep()


globals()[sys.argv[1]]()
