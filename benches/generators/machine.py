"""The machine that figures are of: what it is, and what else it does meanwhile."""

import ctypes
import fcntl
import hashlib
import os
import platform
import resource
import shutil
import socket
import struct
import subprocess
import sys
import time

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


def raise_file_limit():
    """As many open files as may be, for this process and its children; the number."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        hard = 1 << 20
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


PORTS = "/proc/sys/net/ipv4/ip_local_port_range"
CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS = 0x8913, 0x8914
IFF_UP = 1


def client_ports():
    """How many ports the kernel has for clients. It finds one half of them quickly and searches long for
    each of the other half: many connections to one server need twice as many."""
    with open(PORTS) as file:
        low, high = map(int, file.read().split())
    return high - low + 1


def own_network():
    """Moves this process and its children to a loopback of their own, with all ports for clients. Needs root,
    changes nothing outside and ends with them.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    with socket.socket() as any_socket:
        request = bytearray(struct.pack("16sh22x", b"lo", 0))
        fcntl.ioctl(any_socket, SIOCGIFFLAGS, request)
        (flags,) = struct.unpack_from("16xh", request)
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", flags | IFF_UP))
    with open(PORTS, "w") as file:
        file.write("1024 65535")


def busy_seconds():
    """CPU time of everybody on all CPUs since the machine started, in steps of the kernel's clock tick; with
    what the hypervisor took."""
    with open("/proc/stat") as file:
        user, nice, system, _idle, _io, irq, soft, steal = map(int, file.readline().split()[1:9])
    return (user + nice + system + irq + soft + steal) / CLOCK_TICKS


def cpu_model():
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def facts():
    """What must be equal for rows to be compared."""
    return {
        "cpu": cpu_model(),
        "cpus": os.cpu_count(),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def find(name, folder):
    """Path of a tool: in `folder` if it is there, else on PATH; None if it is nowhere."""
    return (folder and shutil.which(name, path=folder)) or shutil.which(name)


def version(path, words):
    """The first line that a tool says of its version. Some say it on the error stream, some exit with 1."""
    said = subprocess.run((path, *words), capture_output=True, text=True, timeout=20, check=False)
    lines = (said.stdout + said.stderr).strip().splitlines()
    return lines[0].strip() if lines else "says no version"


def sha256(path):
    """Of a program's file: a development build keeps its version while it changes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def may_be_realtime():
    if sys.platform != "linux" or not shutil.which("chrt"):
        return False
    return subprocess.run(("chrt", "-r", "1", "true"), capture_output=True, check=False).returncode == 0


def now():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
