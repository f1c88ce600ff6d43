"""A provider of OpenID Connect for tests: discovery, code flow with PKCE, RS256 tokens, over real HTTP."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

CLIENT, SECRET = "patron", "a client's secret"


@dataclass
class Provider:
    """The provider and what a test sets.

    Attributes:
        claims: of the person who signs in. overrides: claims of tokens that are wrong.
        signs_with: the key of tokens; another than the published one is a forgery.
    """

    address: str
    claims: dict[str, Any] = field(default_factory=dict)
    overrides: dict[str, Any] = field(default_factory=dict)
    published: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "1"}))
    signs_with: RSAKey | None = None
    codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def authorize(self, query: Mapping[str, str]) -> str:
        """The redirection for a request of a browser whose person agrees."""
        code = secrets.token_urlsafe(8)
        self.codes[code] = dict(query)
        return f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"

    def token(self, form: Mapping[str, str], authorization: str) -> dict[str, Any] | None:
        """The response to a code; None for a wrong client, code, redirection or verifier."""
        expected = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        request = self.codes.pop(form.get("code", ""), None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest())
        if (
            authorization != f"Basic {expected}"
            or request is None
            or request["redirect_uri"] != form["redirect_uri"]
            or request["code_challenge"] != challenge.decode().rstrip("=")
            or request["code_challenge_method"] != "S256"
        ):
            return None
        now = int(time.time())
        claims = {"iss": self.address, "aud": CLIENT, "iat": now, "exp": now + 300}
        claims |= {"nonce": request["nonce"]} | self.claims | self.overrides
        key = self.signs_with or self.published
        return {
            "access_token": "of no use here",
            "token_type": "Bearer",
            "id_token": jwt.encode({"alg": "RS256", "kid": "1"}, claims, key),
        }


@contextmanager
def running_provider() -> Iterator[Provider]:
    """A provider on a free port of the loopback interface."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if parts.path == "/authorize":
                query = {name: values[0] for name, values in parse_qs(parts.query).items()}
                self.send_response(302)
                self.send_header("location", provider.authorize(query))
                self.end_headers()
            elif parts.path == "/keys":
                self._send(200, KeySet([provider.published]).as_dict(private=False))
            else:
                at = provider.address
                self._send(200, {
                    "issuer": at, "authorization_endpoint": f"{at}/authorize",
                    "token_endpoint": f"{at}/token", "jwks_uri": f"{at}/keys",
                })  # fmt: skip

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            form = {name: values[0] for name, values in parse_qs(body).items()}
            token = provider.token(form, self.headers.get("authorization", ""))
            self._send(400 if token is None else 200, token or {"error": "invalid_grant"})

        def log_message(self, *_: object) -> None:
            pass

        def _send(self, status: int, content: Mapping[str, Any]) -> None:
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(content).encode())

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        provider = Provider(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield provider
        finally:
            server.shutdown()
            thread.join()
