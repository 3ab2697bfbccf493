"""A server on the loopback that serves bytes, and fails as it is told."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FileServer:
    """Serves `files` (path to bytes); each request takes the next of `plan`: "ok", "ignore range", a status, or a cut.

    A cut is ``("cut", n)``: the headers of the whole answer, n bytes of it, and then nothing. After the plan all is
    "ok". `requests` has path, Range header and the number of bytes sent.
    """

    def __init__(self, files, plan=(), etag='"v1"'):
        self.files, self.plan, self.etag, self.requests = dict(files), list(plan), etag, []
        handler = type("Handler", (_Handler,), {"owner": self})
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


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_GET(self):
        step = self.owner.plan.pop(0) if self.owner.plan else "ok"
        record = {"path": self.path, "range": self.headers.get("Range"), "sent": 0}
        self.owner.requests.append(record)
        if isinstance(step, int) or self.path not in self.owner.files:
            self.send_error(step if isinstance(step, int) else 404)
            return
        content = self._answer(self.owner.files[self.path], step)
        if step[0] == "cut":
            content = content[: step[1]]
        self.wfile.write(content)
        record["sent"] = len(content)

    def _answer(self, content, step):
        """Send the headers and return the bytes that belong to them."""
        asked = self.headers.get("Range")
        same = self.headers.get("If-Range") in (None, self.owner.etag)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and same and step != "ignore range" else 0
        if start >= len(content) and start:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            content = b""
        else:
            self.send_response(206 if start else 200)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            content = content[start:]
        if self.owner.etag:
            self.send_header("ETag", self.owner.etag)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        return content
