"""The servers that the generators drive, each fresh for one measurement, on loopback and a free port: nginx,
which counts requests itself, and the truth server, which also knows when each came."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request

import child
import outputs

# 27 bytes, as in the table that the goals were taken from.
SMALL = '{"type_id":1,"name":"abcd"}'
SIZES = {"10k": 10 * 1024, "100k": 100 * 1024}
STATUS = "/status"
READY_S = 10.0

# Answers of the small kind come from memory; large ones from files in the page cache, by sendfile.
NGINX = """
worker_processes {workers};
daemon off;
pid {folder}/pid;
error_log {folder}/error.log;
{user}
events {{ worker_connections {connections}; }}
http {{
    access_log off;
    default_type application/json;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    sendfile on;
    open_file_cache max=16;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} backlog=4096{reuse};
        root {folder}/files;
        location = /small {{ return 200 '{small}'; }}
        location = {status} {{ stub_status; }}
    }}
}}
"""


class ServerError(Exception):
    """A server that doesn't come up, with what it said."""


class Nginx:
    """What is asked of a running nginx. It counts the asking too: `taken` takes that away."""

    def __init__(self, process, url):
        self.process = process
        self.url = url
        self.asked = 0
        self.most_connections = 0

    def cpu_seconds(self):
        return child.cpu_seconds(self.process.pid)

    def look(self):
        """Notes how many connections are open, this one left out."""
        open_now, requests = outputs.stub_status(get(self.url + STATUS).decode())
        self.asked += 1
        self.most_connections = max(self.most_connections, open_now - 1)
        return requests

    def taken(self):
        """Requests of others since it was started."""
        return self.look() - self.asked

    def facts(self, measurement):
        return {"connections_seen": self.most_connections}


class Truth:
    """What is asked of a running truth server, whose own pages aren't counted."""

    def __init__(self, process, url):
        self.process = process
        self.url = url

    def cpu_seconds(self):
        return child.cpu_seconds(self.process.pid)

    def look(self):
        """Asked nothing while it serves: it has one thread, and the answer would be somebody's delay."""

    def taken(self):
        # One who saw too few requests tells of no arrivals; a tool that sends none is a row all the same.
        return int(json.loads(get(f"{self.url}/__truth/counts"))["requests"])

    def facts(self, measurement):
        return {"arrivals": json.loads(get(f"{self.url}/__truth/arrivals?rate={measurement.rate}"))}


def get(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read()


def free_port():
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def nginx(program, prefix, connections, files):
    """One worker; two where one process can't have enough files open (`files`) for `connections`."""
    folder = tempfile.mkdtemp(prefix="dyno-generators-")
    try:
        # Its workers may run as another user, who reads the files.
        os.chmod(folder, 0o755)
        os.mkdir(f"{folder}/files")
        for name, size in SIZES.items():
            with open(f"{folder}/files/{name}", "wb") as file:
                file.write(b"x" * size)
        port = free_port()
        workers = 2 if connections > files - 2000 else 1
        settings = NGINX.format(
            folder=folder,
            workers=workers,
            user="user root;" if os.geteuid() == 0 else "",
            connections=files - 64,
            port=port,
            reuse=" reuseport" if workers > 1 else "",
            small=SMALL,
            status=STATUS,
        )
        with open(f"{folder}/nginx.conf", "w") as file:
            file.write(settings)
        command = (*prefix, program, "-p", folder, "-c", f"{folder}/nginx.conf", "-e", f"{folder}/error.log")
        with open(f"{folder}/error.log", "a") as log:
            process = child.start(command, signal.SIGTERM, stdout=log, stderr=log)
        try:
            server = Nginx(process, f"http://127.0.0.1:{port}")
            ready(server, f"{folder}/error.log")
            yield server
        finally:
            child.stop(process)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def ready(server, log):
    until = time.monotonic() + READY_S
    while time.monotonic() < until and server.process.poll() is None:
        try:
            server.look()
        except OSError:
            time.sleep(0.01)
        else:
            server.most_connections = 0
            return
    with open(log) as file:
        raise ServerError(f"nginx doesn't answer; it says: {file.read().strip() or 'nothing'}")


@contextlib.contextmanager
def truth(program, prefix):
    """A truth server that answers at once."""
    command = (*prefix, program, "plain", "--listen", "127.0.0.1:0")
    process = child.start(command, signal.SIGKILL, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        before, _, rest = line.partition("listening on ")
        if before or not rest.startswith("http://"):
            raise ServerError(f"{program} doesn't say where it listens: {line.strip()!r}")
        yield Truth(process, rest.split()[0])
    finally:
        child.stop(process)
        process.stdout.close()
