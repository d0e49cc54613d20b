"""A small identity provider: a key set, and a token for whoever asks.

GET /.well-known/openid-configuration
GET /jwks.json
GET /token?sub=alice      a login: a fresh access token as plain text
"""

import base64
import json
import sys
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

KEY = ec.generate_private_key(ec.SECP256R1())
KID = "demo-1"
LIFETIME = 600  # seconds


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def b64_json(value: dict) -> str:
    return b64(json.dumps(value).encode())


def key_set() -> dict:
    point = KEY.public_key().public_numbers()
    x, y = (b64(number.to_bytes(32, "big")) for number in (point.x, point.y))
    return {"keys": [{"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": KID, "x": x, "y": y}]}


def token(issuer: str, subject: str) -> str:
    now = int(time.time())
    header = {"alg": "ES256", "typ": "JWT", "kid": KID}
    claims = {
        "iss": issuer,
        "aud": "shop-api",
        "sub": subject,
        "iat": now,
        "exp": now + LIFETIME,
        "jti": str(uuid.uuid4()),
    }
    message = f"{b64_json(header)}.{b64_json(claims)}"
    r, s = decode_dss_signature(KEY.sign(message.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{message}.{b64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


class Provider(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        url = urlsplit(self.path)
        issuer = f"http://127.0.0.1:{self.server.server_port}"
        if url.path == "/jwks.json":
            self.answer(200, json.dumps(key_set()))
        elif url.path == "/.well-known/openid-configuration":
            self.answer(200, json.dumps({"issuer": issuer, "jwks_uri": f"{issuer}/jwks.json"}))
        elif url.path == "/token":
            subject = parse_qs(url.query).get("sub", ["alice"])[0]
            self.answer(200, token(issuer, subject), "text/plain")
        else:
            self.answer(404, "{}")

    def answer(self, status: int, body: str, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """The log would show nothing but polling."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Provider).serve_forever()
