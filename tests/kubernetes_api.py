"""A stand-in for a Kubernetes cluster on loopback: what is posted to its API is kept, and each job's command is run here.

A job runs as a process of its own in an empty folder, with nothing of the caller's environment but what its Secret
holds. There are no containers: the image, requests and limits are kept, not obeyed.
"""

import base64
import json
import os
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

from .helpers import lend_cache

PIP = '#!/bin/sh\necho "$@" >> {calls}\n'


class Pod(threading.Thread):
    """A job that was posted, and the process that runs it; a process that is `killed` ends as one out of memory does."""

    def __init__(self, body: dict[str, Any], folder: Path, environment: dict[str, str], killed: bool) -> None:
        super().__init__(daemon=True)
        self.body, self.folder, self.environment = body, folder, environment
        self.exit_code: int | None = 137 if killed else None

    @property
    def spec(self) -> dict[str, Any]:
        return self.body["spec"]["template"]["spec"]

    @property
    def container(self) -> dict[str, Any]:
        return self.spec["containers"][0]

    @property
    def rules(self) -> list[str]:
        """The rules that the command runs."""
        words = shlex.split(self.container["args"][-1])
        after = words[words.index("--allowed-rules") + 1 :]
        return after[: next(place for place, word in enumerate(after) if word.startswith("-"))]

    @property
    def log(self) -> Path:
        return self.folder.with_suffix(".log")

    def run(self) -> None:
        self.folder.mkdir()
        with self.log.open("wb") as log:
            command = [*self.container["command"], *self.container["args"]]
            self.exit_code = subprocess.run(
                command, cwd=self.folder, env=self.environment, stdout=log, stderr=log, check=False
            ).returncode


class Cluster(ThreadingHTTPServer):
    """What was posted, by name; `kill`: the first job of each of these rules ends at once as one out of memory does."""

    daemon_threads = True

    def __init__(self, folder: Path, kill: set[str]) -> None:
        super().__init__(("127.0.0.1", 0), _Api)
        self.folder, self.kill = folder, set(kill)
        self.pods: dict[str, Pod] = {}
        self.secrets: dict[str, dict[str, str]] = {}
        self.deleted: list[str] = []
        self.namespaces: set[str] = set()
        (folder / "bin").mkdir(parents=True)
        lend_cache(folder / ".cache")
        # What the image has: this environment's Python, and a pip that would find the storage plugin.
        (folder / "bin" / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        (folder / "bin" / "pip").write_text(PIP.format(calls=folder / "pip"))
        for path in (folder / "bin").iterdir():
            path.chmod(0o755)
        settings = {
            "clusters": [{"name": "here", "cluster": {"server": f"http://127.0.0.1:{self.server_port}"}}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "somebody"}}],
            "users": [{"name": "somebody", "user": {"token": "none"}}],
            "current-context": "here",
        }
        (folder / "kubeconfig").write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", **settings}))

    def submit(self, body: dict[str, Any]) -> None:
        name = body["metadata"]["name"]
        variables = {
            variable["name"]: self.secrets[source["name"]][source["key"]]
            for variable in body["spec"]["template"]["spec"]["containers"][0]["env"]
            for source in [variable["valueFrom"]["secretKeyRef"]]
        }
        environment = {
            "PATH": os.pathsep.join([str(self.folder / "bin"), "/usr/bin", "/bin"]), "HOME": str(self.folder),
            "OMP_NUM_THREADS": "1", **variables,
        }  # fmt: skip
        pod = Pod(body, self.folder / name, environment, False)
        if killed := self.kill & set(pod.rules):
            self.kill -= killed
            pod.exit_code = 137
        else:
            pod.start()
        self.pods[name] = pod

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that has gone is no news."""


class _Api(BaseHTTPRequestHandler):
    """The few calls that the executor makes."""

    server: Cluster
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def reply(self, body: object, status: int = 200) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        words = urlsplit(self.path).path.split("/")
        self.server.namespaces.add(words[words.index("namespaces") + 1])
        if words[-1] == "secrets":
            held = {key: base64.b64decode(value).decode() for key, value in body["data"].items()}
            self.server.secrets[body["metadata"]["name"]] = held
        else:
            self.server.submit(body)
        self.reply(body, 201)

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        asked = parse_qs(address.query)
        words = address.path.split("/")
        if words[-1] == "status":
            code = self.server.pods[words[-2]].exit_code
            self.reply({"status": {"active": 1} if code is None else {"failed" if code else "succeeded": 1}})
        elif words[-1] == "log":
            # A cluster may refuse this of a pod that was never restarted, which ends the run: docs/clusters.md.
            self.reply("out of memory")
        else:
            name = asked["labelSelector"][0].removeprefix("job-name=")
            self.reply({"items": [self.pod(name)]})

    def do_DELETE(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.server.deleted.append(urlsplit(self.path).path.split("/")[-1])
        self.reply({"status": "Success"})

    def pod(self, name: str) -> dict[str, Any]:
        code = self.server.pods[name].exit_code
        status = {"name": "snakemake", "image": "", "imageID": "", "ready": True, "restartCount": 0}
        state = {"running": {}} if code is None else {"terminated": {"exitCode": code}}
        return {"metadata": {"name": f"{name}-pod"}, "status": {"containerStatuses": [{**status, "state": state}]}}


@contextmanager
def kubernetes(folder: Path, kill: set[str] = frozenset()) -> Iterator[Cluster]:  # type: ignore[assignment]
    """A running stand-in; its kubeconfig, and the folders and logs of its jobs, lie in `folder`."""
    with Cluster(folder, kill) as cluster:
        threading.Thread(target=cluster.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield cluster
        cluster.shutdown()
