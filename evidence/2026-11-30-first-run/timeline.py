"""Runs a command, stamps each line of its standard error, ends it gently once `measure:` is said."""
import os, re, signal, subprocess, sys, time
out = open(sys.argv[1], "w")
until = sys.argv[2]
begin = time.monotonic()
child = subprocess.Popen(sys.argv[3:], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
stopped = False
for line in child.stderr:
    now = time.monotonic() - begin
    out.write(f"{now:7.2f}  {line.rstrip()[:400]}\n"); out.flush()
    if not stopped and line.startswith(until):
        stopped = True
        print(f"{now:.2f} s until {line.strip()}", flush=True)
        child.send_signal(signal.SIGINT)
print("exit", child.wait(), f"{time.monotonic() - begin:.2f} s")
