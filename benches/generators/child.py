"""Child processes: pinned, accounted, and gone when this program is. Knows no load generator."""

import ctypes
import os
import select
import signal
import subprocess
import tempfile
import time
from collections import namedtuple

# `peak_kib` is the largest resident size that was seen; `exit` is None after the patience ended.
Finished = namedtuple("Finished", "exit user_s system_s seconds peak_kib output")

# How often a child's memory is looked at. The kernel keeps its peak: only what grows after the last look is
# missed.
LOOK_S = 0.25

PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None, use_errno=True)


def pinned(cpu, realtime):
    """What goes before a command: one CPU, and a place before everybody else's processes if asked for."""
    return (*(("chrt", "-r", "1") if realtime else ()), "taskset", "-c", str(cpu))


def start(command, end_with, **streams):
    """Starts `command`; the kernel sends it `end_with` should this program die."""

    def before():
        libc.prctl(PR_SET_PDEATHSIG, end_with)

    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=before, **streams
    )


def run(command, patience_s, look):
    """Runs `command` to its end. `look()` is called a few times a second meanwhile."""
    with tempfile.TemporaryFile() as output:
        begin = time.monotonic()
        child = start(command, signal.SIGKILL, stdout=output, stderr=subprocess.STDOUT)
        try:
            peak_kib, timed_out = wait(child.pid, begin + patience_s, look)
            if timed_out:
                child.kill()
            _, status, used = os.wait4(child.pid, 0)
        except BaseException:
            child.kill()
            child.wait()
            raise
        seconds = time.monotonic() - begin
        child.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode(errors="replace")
    code = None if timed_out else child.returncode
    return Finished(code, used.ru_utime, used.ru_stime, seconds, peak_kib, text)


def wait(pid, until, look):
    """Waits for the end of `pid` without reaping it: its peak memory, and whether the time ran out first."""
    ended = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(ended, select.POLLIN)
        peak_kib = 0
        while time.monotonic() < until:
            if poll.poll(LOOK_S * 1000):
                return peak_kib, False
            # Not ru_maxrss: that begins with the memory of the Python that forked it.
            peak_kib = max(peak_kib, memory_peak_kib(pid))
            look()
        return peak_kib, True
    finally:
        os.close(ended)


def memory_peak_kib(pid):
    """VmHWM of a process; 0 once it has ended."""
    try:
        with open(f"/proc/{pid}/status") as file:
            for line in file:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1])
    except (FileNotFoundError, ProcessLookupError):
        pass
    return 0


def cpu_seconds(group):
    """CPU time of all processes of a process group, of their main threads alone."""
    total_ns = 0
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if os.getpgid(int(name)) == group:
                    with open(f"/proc/{name}/schedstat") as file:
                        total_ns += int(file.read().split()[0])
            except (FileNotFoundError, ProcessLookupError):
                continue
    return total_ns / 1e9


def stop(child, patience_s=5.0):
    """Asks a child to end, and kills its whole group if it doesn't."""
    child.terminate()
    try:
        child.wait(patience_s)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
