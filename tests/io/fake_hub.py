"""A hub on the loopback, as much of it as uploading and downloading a folder asks for."""

import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FakeHub:
    """Holds one repository: `files` (name to bytes), `private`, and the messages of its `commits`."""

    def __init__(self):
        self.files, self.commits, self.private, self.unknown = {".gitattributes": b""}, [], None, []
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def sha(self):
        return hashlib.sha1(f"{len(self.commits)}".encode()).hexdigest()


def _blob(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        hub, path = self.hub, self.path.split("?")[0]
        if path == "/api/repos/create":
            asked = json.loads(body)
            hub.private = asked.get("private", asked.get("visibility") == "private")
            self._json({"url": f"{hub.url}/datasets/{asked.get('organization')}/{asked['name']}"})
        elif path == "/api/validate-yaml":
            self._json({"errors": [], "warnings": []})
        elif "/preupload/" in path:
            files = json.loads(body)["files"]
            self._json({"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files]})
        elif "/commit/" in path:
            self._commit([json.loads(line) for line in body.splitlines()])
        else:
            self._unknown()

    def do_GET(self):
        hub, path = self.hub, self.path.split("?")[0]
        resolved = re.search(r"/resolve/[^/]+/(.+)$", path)
        if resolved and resolved[1] in hub.files:
            content = hub.files[resolved[1]]
            self._send(content, {"ETag": f'"{_blob(content)}"', "X-Repo-Commit": hub.sha})
        elif re.fullmatch(r"/api/datasets/[^/]+/[^/]+(/revision/[^/]+)?", path):
            self._json({"id": "me/toys", "sha": hub.sha, "siblings": [{"rfilename": name} for name in hub.files]})
        elif "/tree/" in path:
            listed = [
                {"type": "file", "path": name, "size": len(content), "oid": _blob(content)}
                for name, content in hub.files.items()
            ]
            self._json(listed)
        else:
            self._unknown()

    do_HEAD = do_GET

    def _commit(self, operations):
        for operation in operations:
            value = operation["value"]
            if operation["key"] == "header":
                self.hub.commits.append(value["summary"])
            elif operation["key"] == "file":
                self.hub.files[value["path"]] = base64.b64decode(value["content"])
            elif operation["key"] == "deletedFile":
                del self.hub.files[value["path"]]
        self._json({"commitUrl": f"{self.hub.url}/datasets/me/toys/commit/{self.hub.sha}", "commitOid": self.hub.sha})

    def _json(self, content):
        self._send(json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _send(self, content, headers):
        self.send_response(200)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _unknown(self):
        self.hub.unknown.append(f"{self.command} {self.path}")
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()
