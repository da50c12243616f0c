"""A real Ray cluster on this machine: nodes that are processes of their own, to be added and killed."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

RAY = "import sys; from ray.scripts.scripts import main; sys.argv[0] = 'ray'; main()"


# Whoever talks to the cluster has to know its token.
AUTHENTICATED = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}


@contextmanager
def two_nodes() -> Iterator[Cluster]:
    """A head, and two nodes of one core each."""
    made = Cluster(Path(tempfile.mkdtemp(prefix="hp", dir="/tmp")))
    try:
        made.add()
        made.wait_for(1)
        made.add()
        made.wait_for(2)
        yield made
    finally:
        made.close()


class Cluster:
    """A head, which has no core for workers, and nodes that join it.

    Attributes:
        address: of the head.
        environment: what a process needs to talk to it.

    Args:
        folder: where Ray writes; a short path, as sockets lie in it.
    """

    def __init__(self, folder: Path) -> None:
        self.environment = {**os.environ, **AUTHENTICATED, "RAY_USAGE_STATS_ENABLED": "0"}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"127.0.0.1:{port}"
        self._folder = folder
        options = (f"--port={port}", "--include-dashboard=false", f"--temp-dir={folder}")
        self.nodes = [self._start("--head", *options, cpus=0)]
        deadline = time.monotonic() + 60
        while self._ray("health-check", "--address", self.address).wait():
            assert time.monotonic() < deadline, "Ray's head does not start"

    def add(self, cpus: int = 1) -> subprocess.Popen[bytes]:
        """One more node."""
        self.nodes.append(self._start(f"--address={self.address}", cpus=cpus))
        return self.nodes[-1]

    def wait_for(self, cores: int) -> None:
        """Wait until nodes of so many cores have joined. One that does not is started again: two nodes of one machine
        may reach for the same port."""
        for _ in range(6):
            deadline = time.monotonic() + 40
            while time.monotonic() < deadline:
                if self._cores() >= cores:
                    return
                time.sleep(0.5)
            for node in self.nodes[1:]:
                self._end(node)
            for _ in range(cores):
                self.add()
        raise AssertionError("Ray's nodes do not join")

    def _cores(self) -> float:
        told = "import ray; ray.init(log_to_driver=False); print(ray.cluster_resources().get('CPU', 0))"
        environment = {**self.environment, "RAY_ADDRESS": self.address}
        words = [sys.executable, "-c", told]
        try:
            done = subprocess.run(words, check=False, env=environment, capture_output=True, text=True, timeout=60)
        except subprocess.TimeoutExpired:
            return 0.0
        return float(done.stdout.split()[-1]) if done.returncode == 0 else 0.0

    def kill(self, node: subprocess.Popen[bytes]) -> None:
        """A node's end without a word: SIGKILL to all its processes."""
        for process in (*psutil.Process(node.pid).children(recursive=True), psutil.Process(node.pid)):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        node.wait()
        self.nodes.remove(node)

    def _end(self, node: subprocess.Popen[bytes]) -> None:
        if node.poll() is None:
            self.kill(node)
        else:
            self.nodes.remove(node)

    def actors(self) -> list[psutil.Process]:
        """The processes of all workers."""
        running = [psutil.Process(node.pid) for node in self.nodes if node.poll() is None]
        children = [child for process in running for child in process.children(recursive=True)]
        return [child for child in children if _titled(child, "ray::Actor")]

    def close(self) -> None:
        """The end of all nodes."""
        for node in list(reversed(self.nodes)):
            self._end(node)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self, *options: str, cpus: int) -> subprocess.Popen[bytes]:
        of_each = ("--node-ip-address=127.0.0.1", "--object-store-memory=200000000", "--block")
        return self._ray("start", *options, *of_each, f"--num-cpus={cpus}")

    def _ray(self, *words: str) -> subprocess.Popen[bytes]:
        silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen([sys.executable, "-c", RAY, *words], env=self.environment, **silent)


def _titled(process: psutil.Process, title: str) -> bool:
    try:
        return title in " ".join(process.cmdline())
    except psutil.Error:  # it has just ended
        return False
