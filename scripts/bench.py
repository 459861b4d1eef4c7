"""What the bench-* scripts share: starting tools, reading their own figures,
a pair of namespaces with a known load, and the record of a run.

A tool is judged by what it says itself: fullcount by its `stop` line, tcpdump
by its closing words. What was sent comes from the generator's own counts.
"""

import contextlib
import datetime
import fcntl
import json
import os
import pathlib
import platform
import pty
import re
import shutil
import signal
import struct
import subprocess
import tempfile
import termios
import threading
import time

# As root, tcpdump changes its user and gives it the file: here, the device. -Z root keeps it.
TCPDUMP_TO_NOWHERE = ["-w", "/dev/null", *(["-Z", "root"] if os.geteuid() == 0 else [])]

ROOT = pathlib.Path(__file__).resolve().parent.parent


def machine():
    """Where and when a figure was measured."""
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "unknown")
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout
    return {"date": datetime.date.today().isoformat(), "commit": commit.strip(), "kernel": platform.release(),
            "cpu": cpu, "cpus": os.cpu_count()}


def table(head, rows):
    """Columns as wide as their widest cell."""
    rows = [[str(cell) for cell in row] for row in [head, *rows]]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    for row in rows:
        print("  ".join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths))).rstrip())


def until(condition, limit, what, step=0.02):
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"after {limit} s: {what}")
        time.sleep(step)


def last_stop(path):
    """fullcount's last JSON line, which is its `stop` line."""
    last = None
    with open(path, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if line.startswith('{"type":"stop"'):
                last = line
    if last is None:
        raise SystemExit(f"fullcount printed no stop line: {pathlib.Path(path).read_text(errors='replace')[-500:]}")
    return json.loads(last)


def totals(stop):
    """Packets, bytes and kernel drops of all interfaces and both directions."""
    sums = {"packets": 0, "bytes": 0, "kernel_drops": 0}
    for interface in stop["interfaces"]:
        for way in ("rx", "tx"):
            for figure in ("packets", "bytes"):
                sums[figure] += interface.get(way, {}).get(figure, 0)
        sums["kernel_drops"] += interface.get("capture", {}).get("kernel_drops") or 0
    return sums


# --- A live tool ------------------------------------------------------------


class Tool:
    """A monitor on an interface in a namespace, started, watched and ended."""

    def __init__(self, name, path, ring_mib, cpu, more=()):
        self.name, self.path, self.ring_mib, self.cpu, self.more = name, path, ring_mib, cpu, list(more)

    def is_ours(self):
        """fullcount with lines, or with its screen (and lines in a file)."""
        return self.name in ("fullcount", "screen")

    def command(self, interface, directory):
        if self.is_ours():
            form = ["json"] if self.name == "fullcount" else ["tui", "--log-file", f"{directory}/out"]
            return [self.path, "-i", interface, "-o", *form, "--workers", "1", "--cpus", str(self.cpu),
                    "--ring-mib", str(self.ring_mib), *self.more]
        if self.name == "tcpdump":
            return [self.path, "-n", "-i", interface, "-s", "128", "-B", str(self.ring_mib * 1024), *TCPDUMP_TO_NOWHERE, *self.more]
        if self.name == "iftop":
            return [self.path, "-n", "-N", "-i", interface, *self.more]
        raise SystemExit(f"no such tool: {self.name}")

    @contextlib.contextmanager
    def running(self, space, interface):
        """Yields a Run that is capturing; afterwards its `said` holds its figures."""
        with tempfile.TemporaryDirectory() as directory:
            run = Run(self, space, interface, directory)
            try:
                run.wait_until_up()
                yield run
                run.stop()
            finally:
                run.kill()


class Run:
    def __init__(self, tool, space, interface, directory):
        self.tool, self.said = tool, {}
        self.out, self.err = (pathlib.Path(directory) / n for n in ("out", "err"))
        command = ["ip", "netns", "exec", space, "taskset", "-c", str(tool.cpu), *tool.command(interface, directory)]
        if tool.name in ("iftop", "screen"):
            # A screen of its own, which is read and thrown away.
            ours, theirs = pty.openpty()
            fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
            self.process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "xterm"})
            os.close(theirs)
            self.seen = 0
            threading.Thread(target=self._drain, args=(ours,), daemon=True).start()
        else:
            self.process = subprocess.Popen(command, stdout=open(self.out, "w"), stderr=open(self.err, "w"))

    def _drain(self, screen):
        with contextlib.suppress(OSError):
            while piece := os.read(screen, 65_536):
                self.seen += len(piece)
        os.close(screen)

    def wait_until_up(self):
        def up():
            if self.process.poll() is not None:
                words = self.err.read_text() if self.err.exists() else ""
                raise SystemExit(f"{self.tool.name} ended at once: {words}")
            if self.tool.is_ours():
                return self.out.exists() and '"type":"start"' in self.out.read_text()
            if self.tool.name == "tcpdump":
                return "listening on" in self.err.read_text()
            return self.seen > 0
        until(up, 30, f"{self.tool.name} does not capture")

    def cpu_seconds(self):
        """CPU time of all its threads, exact to the scheduler's nanosecond."""
        sum_ns = 0
        for task in pathlib.Path(f"/proc/{self.process.pid}/task").iterdir():
            with contextlib.suppress(OSError):
                sum_ns += int((task / "schedstat").read_text().split()[0])
        return sum_ns / 1e9

    def worker_seconds(self):
        """CPU time of fullcount's workers alone, and the user part of it in the
        kernel's ticks; None for other tools."""
        if not self.tool.is_ours():
            return None
        nanoseconds, ticks = 0, 0
        for task in pathlib.Path(f"/proc/{self.process.pid}/task").iterdir():
            with contextlib.suppress(OSError):
                name, figures = (task / "stat").read_text().split("(", 1)[1].rsplit(")", 1)
                if name.startswith("worker"):
                    ticks += int(figures.split()[11])
                    nanoseconds += int((task / "schedstat").read_text().split()[0])
        return nanoseconds / 1e9, ticks / os.sysconf("SC_CLK_TCK")

    def memory_mib(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", status).group(1)) / 1024

    def settle(self):
        """Waits until it has worked off what it holds: hardly any CPU for a second
        and a half, as tcpdump's last block is handed over only after a second.
        iftop's screen never rests, and its figures are not compared."""
        past = [self.cpu_seconds()]

        def idle():
            time.sleep(0.5)
            past.append(self.cpu_seconds())
            return len(past) > 3 and past[-1] - past[-4] < 0.06
        if self.tool.name != "iftop":
            until(idle, 60, f"{self.tool.name} does not come to rest")

    def stop(self):
        self.said["cpu_seconds"], self.said["memory_mib"] = self.cpu_seconds(), self.memory_mib()
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(60 if self.tool.name != "iftop" else 5)
        except subprocess.TimeoutExpired:
            if self.tool.name != "iftop":
                raise SystemExit(f"{self.tool.name} does not end 60 s after SIGINT")
            # With very many flows it does not come to look at the signal.
            self.kill()
        if self.tool.is_ours():
            self.said.update(totals(last_stop(self.out)))
        elif self.tool.name == "tcpdump":
            words = self.err.read_text()
            self.said["packets"] = int(re.search(r"(\d+) packets? captured", words).group(1))
            self.said["kernel_drops"] = int(re.search(r"(\d+) packets? dropped by kernel", words).group(1))

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


# --- The load ---------------------------------------------------------------


@contextlib.contextmanager
def link(room):
    """Two namespaces joined by a veth pair that is silent of itself; yields the
    receiving namespace and interface."""
    near, far = f"{room}-near-{os.getpid()}", f"{room}-far-{os.getpid()}"

    def ip(*words):
        subprocess.run(["ip", *words], check=True)
    try:
        for space in (near, far):
            ip("netns", "add", space)
            ip("netns", "exec", space, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1")
        ip("link", "add", "in0", "netns", near, "type", "veth", "peer", "out0", "netns", far)
        for space, end in ((near, "in0"), (far, "out0")):
            ip("netns", "exec", space, "ip", "link", "set", end, "up")
            # Live frames need the receive queue's NAPI.
            ip("netns", "exec", space, "ethtool", "-K", end, "gro", "on")
        yield near, "in0"
    finally:
        for space in (near, far):
            subprocess.run(["ip", "netns", "del", space], stderr=subprocess.DEVNULL)


def generator(arguments):
    """The generator's command, built first if need be, so that a run does not wait for cargo."""
    command = arguments.generator or str(ROOT / "scripts" / "load")
    subprocess.run([command, "--help"], capture_output=True)
    return command


def start_load(command, space, interface, cpu, *options):
    return subprocess.Popen(["ip", "netns", "exec", space, command, "--interface", interface, "--cpu", str(cpu), *map(str, options)],
                            stdout=subprocess.PIPE, text=True)


def sent(load):
    words, _ = load.communicate()
    if load.returncode != 0:
        raise SystemExit("the generator failed")
    return json.loads(words)


def live_options(parser, seconds):
    parser.add_argument("--fullcount", metavar="PATH", help="the binary; without it only the others are measured")
    parser.add_argument("--generator", metavar="PATH", help="load generator (default: scripts/load)")
    parser.add_argument("--tools", default="fullcount,tcpdump", help="comma list: fullcount,screen,tcpdump,iftop; screen is fullcount with -o tui (default: %(default)s)")
    parser.add_argument("--ring-mib", type=int, default=256, help="ring of fullcount and of tcpdump (default: %(default)s)")
    parser.add_argument("--tool-cpu", type=int, default=0)
    parser.add_argument("--load-cpu", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=seconds, help="length of a load (default: %(default)s)")
    parser.add_argument("--json", metavar="FILE", help="the record, as JSON")


def live_tools(arguments):
    tools = []
    for name in arguments.tools.split(","):
        path = arguments.fullcount if name in ("fullcount", "screen") else shutil.which(name)
        if path:
            tools.append(Tool(name, path, arguments.ring_mib, arguments.tool_cpu))
        else:
            print(f"SKIPPED: {name} is not here" + (" (--fullcount PATH)" if name in ("fullcount", "screen") else ""))
    if os.geteuid() != 0 or not tools:
        raise SystemExit("needs root and at least one tool")
    return tools


def share(part, whole):
    """A per cent figure that says 100 only when nothing is missing."""
    if part == whole:
        return "100"
    return f"{int(1e6 * part / whole) / 1e4:.4f}" if part < whole else f"{100 * part / whole:.4f}"


def keep(arguments, record):
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps({**machine(), **record}, indent=1) + "\n")
