"""A submitted job on a Ray cluster of two nodes, one of which is killed while it works."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest
import soundfile
import yaml

from tests.command import wavemill
from tests.support import ROOT
from wavemill.pipeline.config import load_config
from wavemill.pipeline.curation import Config, make_graph
from wavemill.pipeline.execution.settings import resolve_groups

RAY = Path(sys.executable).with_name("ray")
CLIP_SECONDS = 6
# Without a token Ray's dashboard takes no job, unless it is told that it may.
TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0123456789abcdef" * 4}
# On a busy machine a node's agent, which starts jobs, takes longer than the 30 s that it is given.
PATIENT = {"RAY_agent_register_timeout_ms": "240000"}
HEADS = 3  # that are tried: the server of Ray's client waits 30 s for its node, and no longer


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_open(port: int) -> bool:
    """Whether something listens at a port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Cluster:
    """A head and a second node, each started by the `ray` command."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for _ in range(HEADS):
            self.head = self._start_head()
            self.nodes = [self.head]
            try:
                if self._takes_jobs():
                    break
            except BaseException:
                self.close()
                raise
        else:
            raise RuntimeError((folder / "start.log").read_text(encoding="utf-8"))
        self.second = self._start(f"--address=127.0.0.1:{self.port}", "--num-cpus=1")
        self.nodes.insert(0, self.second)

    def _start_head(self) -> subprocess.Popen[bytes]:
        self.port, self.dashboard, client = free_port(), free_port(), free_port()
        self.address = f"http://127.0.0.1:{self.dashboard}"
        fixed = ["--node-ip-address=127.0.0.1", f"--temp-dir={self.folder}", "--num-cpus=1"]
        ports = [f"--port={self.port}", f"--ray-client-server-port={client}"]
        dashboard = ["--include-dashboard=true", f"--dashboard-port={self.dashboard}"]
        return self._start("--head", *fixed, *ports, *dashboard)

    def _start(self, *options: str) -> subprocess.Popen[bytes]:
        command = [RAY, "start", "--block", "--disable-usage-stats", *options]
        # By default all agents listen at one port: where a cluster of another test has it, no jobs
        # are taken here.
        agent = [f"--dashboard-agent-listen-port={free_port()}"]
        memory = "--object-store-memory=80000000"
        with (self.folder / "start.log").open("ab") as log:
            return subprocess.Popen(
                [*command, *agent, memory],
                stdout=log,
                stderr=log,
                env={**os.environ, **TOKEN, **PATIENT},
            )

    def _takes_jobs(self) -> bool:
        """Submit a job of nothing until one is taken, as deploy/README.md says.

        The dashboard's port opens before the agent is there that starts jobs. False if the head
        ends: on a busy machine one of its processes may give up.
        """
        line = [RAY, "job", "submit", "--address", self.address, "--", "true"]
        said = b"nothing answers"
        until = time.monotonic() + 240
        while time.monotonic() < until:
            if self.head.poll() is not None:
                return False
            if is_open(self.dashboard):  # each attempt costs seconds of imports
                done = subprocess.run(line, capture_output=True, env={**os.environ, **TOKEN})
                if done.returncode == 0:
                    return True
                said = done.stdout + done.stderr
            time.sleep(0.5)
        raise TimeoutError(said.decode())

    def submit(self, *command: str) -> subprocess.Popen[str]:
        """Send the checkout along, as deploy/runtime-env.yaml does, without installing anything."""
        excludes = yaml.safe_load((ROOT / "deploy/runtime-env.yaml").read_text(encoding="utf-8"))[
            "excludes"
        ]
        runtime = yaml.safe_dump({"excludes": [*excludes, "*.pt"]})
        (self.folder / "runtime-env.yaml").write_text(runtime, encoding="utf-8")
        options = [
            "--working-dir",
            str(ROOT),
            "--runtime-env",
            str(self.folder / "runtime-env.yaml"),
        ]
        line = [RAY, "job", "submit", "--address", self.address, *options, "--", *command]
        environment = {**os.environ, **TOKEN}
        return subprocess.Popen(
            line,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            env=environment,
        )

    def workers_on_second(self) -> list[psutil.Process]:
        below = psutil.Process(self.second.pid).children(recursive=True)
        return [p for p in below if "wavemill.pipeline.execution.child" in " ".join(p.cmdline())]

    def kill_second(self) -> None:
        """SIGKILL everything of the second node, as a machine that loses power."""
        node = psutil.Process(self.second.pid)
        for process in [node, *node.children(recursive=True)]:
            try:
                process.send_signal(signal.SIGKILL)
            except psutil.NoSuchProcess:
                continue
        self.second.wait()

    def close(self) -> None:
        for node in self.nodes:
            if node.poll() is None:
                processes = psutil.Process(node.pid).children(recursive=True)
                node.terminate()
                for process in psutil.wait_procs(processes, timeout=10)[1]:
                    process.kill()
                node.wait()


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    folder = Path(tempfile.mkdtemp(prefix="wm-", dir="/tmp"))  # sockets want a short path
    started = Cluster(folder)
    yield started
    started.close()
    shutil.rmtree(folder, ignore_errors=True)


def rows(out: Path) -> list[dict]:  # type: ignore[type-arg]
    table = pq.read_table(out / "corpus" / "pretrain")
    return table.sort_by([("recording_id", "ascending"), ("start_ms", "ascending")]).to_pylist()


@pytest.mark.timeout(1800)  # each wait has its own end
def test_a_job_survives_the_loss_of_a_node(cluster: Cluster, tmp_path: Path) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    for file in sorted((ROOT / "examples" / "recordings").glob("*.flac")):
        samples, rate = soundfile.read(file)
        soundfile.write(clips / file.name, samples[: CLIP_SECONDS * rate], rate)
    job = ("curate", str(clips), "--set", f"shard_seconds={CLIP_SECONDS}", "--out")
    alone = wavemill(*job, tmp_path / "a", "--executor", "inline")
    assert alone.returncode == 0, alone.stdout + alone.stderr
    module, *arguments = job
    command = [sys.executable, "-m", f"wavemill.jobs.{module}", *arguments, str(tmp_path / "b")]
    submitted = cluster.submit(*command, "--address", "auto")
    until = time.monotonic() + 240
    outputs = tmp_path / "b" / "stages"
    while not (cluster.workers_on_second() and any(outputs.rglob("*.parquet"))):
        assert submitted.poll() is None, submitted.communicate()[0]
        assert time.monotonic() < until, "the second node never got work"
        time.sleep(0.1)
    cluster.kill_second()
    output, _ = submitted.communicate(timeout=240)
    assert submitted.returncode == 0, output
    assert rows(tmp_path / "b") == rows(tmp_path / "a")
    assert len(rows(tmp_path / "b")) >= 6


def test_the_cluster_s_configuration_fits_the_stages() -> None:
    file = ROOT / "deploy" / "cluster-8gpu.yaml"
    config = load_config(Config, "embedded", file, [])
    groups = resolve_groups(config.execution, list(make_graph(config).stages))
    assert groups["denoise"] == ["denoise"]
    assert groups["speech"] == ["diarize", "transcribe"]


def test_the_kubernetes_job_names_commands_that_exist() -> None:
    job = yaml.safe_load((ROOT / "deploy" / "rayjob.yaml").read_text(encoding="utf-8"))
    command = job["spec"]["entrypoint"].split()
    assert (ROOT / f"{command[2].replace('.', '/')}.py").is_file()
    assert command[command.index("--config") + 1].endswith("deploy/cluster-8gpu.yaml")
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    assert f"rayproject/ray:{job['spec']['rayClusterSpec']['rayVersion']}-py311" in dockerfile
