"""A stand-in for the Hugging Face hub on loopback: the calls that its client makes to publish and fetch a dataset."""

import base64
import hashlib
import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

import yaml
from werkzeug.wrappers import Request, Response

TOKEN = "hf_tokenOfSomebody"
LARGE = (".parquet", ".faiss")
"""Endings of files that are sent as large ones, apart from the commit."""


def commit_of(files: dict[str, bytes], parent: str) -> str:
    digest = hashlib.sha1(parent.encode())
    for name, content in sorted(files.items()):
        digest.update(name.encode() + content)
    return digest.hexdigest()


def blob(content: bytes) -> str:
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()


class Dataset:
    """A repository: its commits in their order, each with all its files."""

    def __init__(self, private: bool) -> None:
        self.private = private
        self.messages = ["initial commit"]
        first = {".gitattributes": b"*.parquet filter=lfs diff=lfs merge=lfs -text\n"}
        self.commits = {commit_of(first, ""): first}

    @property
    def head(self) -> str:
        return list(self.commits)[-1]

    def add(self, files: dict[str, bytes], message: str) -> str:
        oid = commit_of(files, self.head)
        self.commits[oid] = files
        self.messages.append(message)
        return oid

    def commit(self, revision: str) -> str | None:
        return self.head if revision == "main" else revision if revision in self.commits else None


class Hub:
    """A WSGI application. `asked`: method and path of each call."""

    def __init__(self) -> None:
        self.datasets: dict[str, Dataset] = {}
        self.large: dict[str, bytes] = {}
        self.asked: list[tuple[str, str]] = []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        request = Request(environ)
        self.asked.append((request.method, request.path))
        return self.answer(request)(environ, start_response)

    def answer(self, request: Request) -> Response:
        words = [unquote(word) for word in request.path.strip("/").split("/")]
        known = request.headers.get("Authorization") == f"Bearer {TOKEN}"
        if request.method == "POST" and not known:
            return refused(401, "", "Invalid username or password.")
        match (request.method, *words):
            case ("POST", "api", "validate-yaml"):
                return self.validated(request.get_json())
            case ("POST", "api", "repos", "create"):
                return self.created(request)
            case ("PUT", "large", oid):
                content = request.get_data()
                assert hashlib.sha256(content).hexdigest() == oid
                self.large[oid] = content
                return Response(status=200)
            case ("POST", "datasets", owner, name, "info", "lfs", "objects", "batch"):
                return self.batch(request)
        words = words[1:] if words[0] == "api" else words
        if words[0] != "datasets":
            return refused(404, "", "no such call")
        _, owner, name, *rest = words
        dataset = self.datasets.get(f"{owner}/{name}")
        if dataset is None or (dataset.private and not known):
            # As the hub does: one who may not know of a repository is not told that it is there.
            return refused(404 if known else 401, "RepoNotFound", "Repository Not Found")
        match (request.method, *rest):
            case ("POST", "preupload", _):
                return reply({"files": [self.mode(dataset, file["path"]) for file in request.get_json()["files"]]})
            case ("POST", "commit", _):
                return self.committed(f"{owner}/{name}", dataset, request)
            case ("GET",):
                return self.described(f"{owner}/{name}", dataset, "main")
            case ("GET", "revision", *revision):
                return self.described(f"{owner}/{name}", dataset, "/".join(revision))
            case ("GET", "tree", revision):
                commit = dataset.commit(revision)
                return reply([entry(path, content) for path, content in dataset.commits[str(commit)].items()])
            case ("GET" | "HEAD", "resolve", revision, *path):
                return self.file(dataset, revision, "/".join(path))
        return refused(404, "", "no such call")

    def validated(self, body: dict[str, Any]) -> Response:
        head = yaml.safe_load(body["content"].split("---\n")[1])
        errors = [] if isinstance(head.get("license", ""), str) else [{"message": '"license" must be a string'}]
        return reply({"errors": errors, "warnings": []}, 400 if errors else 200)

    def created(self, request: Request) -> Response:
        body = request.get_json()
        name = f"{body['organization']}/{body['name']}"
        if name in self.datasets:
            return reply({"error": "You already created this dataset repo", "url": name}, 409)
        assert body["type"] == "dataset"
        self.datasets[name] = Dataset(body.get("visibility") == "private")
        return reply({"url": f"{request.host_url}datasets/{name}", "name": name})

    def mode(self, dataset: Dataset, path: str) -> dict[str, Any]:
        before = dataset.commits[dataset.head].get(path)
        large = path.endswith(LARGE)
        oid = None if before is None else hashlib.sha256(before).hexdigest() if large else blob(before)
        return {"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False, "oid": oid}

    def batch(self, request: Request) -> Response:
        host = request.host_url.rstrip("/")
        objects = [
            {**each, "actions": {"upload": {"href": f"{host}/large/{each['oid']}", "header": {}}}}
            if each["oid"] not in self.large
            else each
            for each in request.get_json()["objects"]
        ]
        return reply({"transfer": "basic", "objects": objects})

    def committed(self, name: str, dataset: Dataset, request: Request) -> Response:
        files = dict(dataset.commits[dataset.head])
        message = ""
        for line in request.get_data().splitlines():
            step = json.loads(line)
            value = step["value"]
            match step["key"]:
                case "header":
                    message = value["summary"]
                case "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                case "lfsFile":
                    files[value["path"]] = self.large[value["oid"]]
                case "deletedFile":
                    del files[value["path"]]
        oid = dataset.add(files, message)
        return reply(
            {"success": True, "commitOid": oid, "commitUrl": f"{request.host_url}datasets/{name}/commit/{oid}"}
        )

    def described(self, name: str, dataset: Dataset, revision: str) -> Response:
        commit = dataset.commit(revision)
        if commit is None:
            return refused(404, "RevisionNotFound", "Invalid rev id")
        siblings = [{"rfilename": path} for path in dataset.commits[commit]]
        return reply({"id": name, "sha": commit, "private": dataset.private, "siblings": siblings, "tags": []})

    def file(self, dataset: Dataset, revision: str, path: str) -> Response:
        commit = dataset.commit(revision)
        if commit is None:
            return refused(404, "RevisionNotFound", "Invalid rev id")
        content = dataset.commits[commit].get(path)
        if content is None:
            answer = refused(404, "EntryNotFound", "Entry not found")
            answer.headers["X-Repo-Commit"] = commit
            return answer
        answer = Response(content, mimetype="application/octet-stream")
        answer.headers["X-Repo-Commit"] = commit
        answer.set_etag(hashlib.sha256(content).hexdigest() if path.endswith(LARGE) else blob(content))
        return answer


def entry(path: str, content: bytes) -> dict[str, Any]:
    found = {"type": "file", "path": path, "size": len(content), "oid": blob(content)}
    if path.endswith(LARGE):
        found["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
    return found


def reply(body: object, status: int = 200) -> Response:
    return Response(json.dumps(body), status, mimetype="application/json")


def refused(status: int, code: str, message: str) -> Response:
    answer = reply({"error": message}, status)
    answer.headers["X-Error-Code"] = code
    answer.headers["X-Error-Message"] = message
    return answer
