"""Servers on loopback that hold a corpus, and count the bytes that are asked of them: S3 (moto) and HTTP with ranges."""

import logging
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response


class Counted:
    """A WSGI application and the bytes of its answers to GET, by path."""

    def __init__(self, application: Any) -> None:
        self.application = application
        self.served: dict[str, int] = {}

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        body = b"".join(self.application(environ, start_response))
        if environ["REQUEST_METHOD"] == "GET":
            path = environ["PATH_INFO"]
            self.served[path] = self.served.get(path, 0) + len(body)
        return [body]


class Files:
    """Files of bytes, with ranges and tags; those below /secret/ are refused."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        request = Request(environ)
        if request.path.startswith("/secret/"):
            response = Response("who are you?", 403)
        elif request.path not in self.files:
            response = Response("not here", 404)
        else:
            content = self.files[request.path]
            response = Response(content, mimetype="application/octet-stream")
            response.add_etag()
            response.make_conditional(request, accept_ranges=True, complete_length=len(content))
        return response(environ, start_response)


@contextmanager
def serving(application: Any) -> Iterator[tuple[str, Counted]]:
    """The server's address and its count; it is stopped at the end."""
    counted = Counted(application)
    server = make_server("127.0.0.1", 0, counted, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", counted
    finally:
        server.shutdown()
        thread.join()


@contextmanager
def s3_server() -> Iterator[tuple[dict[str, str], Counted]]:
    """An S3 server: the environment in which it is S3 for boto3 and fsspec, and its count."""
    from moto.server import DomainDispatcherApplication, create_backend_app

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with serving(DomainDispatcherApplication(create_backend_app)) as (address, counted):
        keys = {"AWS_ACCESS_KEY_ID": "somebody", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
        yield {"AWS_ENDPOINT_URL": address, **keys}, counted
