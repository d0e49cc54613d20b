"""The legacy service: it knows nothing of tokens and believes one header."""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Legacy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        subject = self.headers.get_all("x-portcullis-subject") or []
        body = json.dumps({"path": self.path, "hello": ", ".join(subject) or "stranger"}) + "\n"
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """Envoy's access log tells more."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Legacy).serve_forever()
