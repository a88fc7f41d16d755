"""HTTP as the stories of refusals need it: any source address, raw bytes, LFS calls, one list of failures.

PORT stands in the environment. A wrong login is slowed down by its address, so callers that must
fail often come from addresses of their own (all of 127.0.0.0/8 is this machine).
"""
import base64
import hashlib
import http.client
import json
import os
import socket
import sys

PORT = int(os.environ.get("PORT", "0"))
LFS = "application/vnd.git-lfs+json"
failures = []
_addresses = iter(range(1, 60000))


def fresh_address():
    n = next(_addresses)
    return f"127.9.{n // 250}.{n % 250 + 1}"


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    def message(self):
        try:
            return self.json()["message"]
        except (ValueError, KeyError, TypeError):
            return self.body.decode("utf-8", "replace")

    def same_but(self, *names):
        """All of it, without what may differ: date, request id, the names given."""
        kept = sorted((k.lower(), v) for k, v in self.headers
                      if k.lower() not in ("date", "x-request-id", "content-length"))
        body = self.body
        for key, value in self.headers:
            if key.lower() == "x-request-id":
                body = body.replace(value.encode(), b"ID")
        for name in names:
            body = body.replace(name.encode(), b"NAME")
        return self.status, kept, body


def call(method, path, headers=None, body=None, source=None, timeout=20):
    link = http.client.HTTPConnection("127.0.0.1", PORT, timeout=timeout,
                                      source_address=(source, 0) if source else None)
    try:
        link.request(method, path, body=body, headers=headers or {})
        got = link.getresponse()
        return Answer(got.status, got.getheaders(), got.read())
    finally:
        link.close()


def batch(repo, operation, objects, auth=None, source=None, **more):
    headers = {"Accept": LFS, "Content-Type": LFS}
    if auth:
        headers["Authorization"] = auth
    body = json.dumps(dict(operation=operation, objects=objects, **more))
    return call("POST", f"/{repo}.git/info/lfs/objects/batch", headers, body, source)


def thing(data):
    """(oid, entry of a batch)"""
    oid = hashlib.sha256(data).hexdigest()
    return oid, {"oid": oid, "size": len(data)}


def path_of(href):
    return href[href.index("/", href.index("://") + 3):]


def raw(data, port=None, address="127.0.0.1", half_close=False, timeout=15):
    """Everything that comes back until the other side closes."""
    with socket.create_connection((address, port or PORT), timeout=timeout) as link:
        try:
            link.sendall(data)
            if half_close:
                link.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        out = b""
        try:
            while True:
                piece = link.recv(65536)
                if not piece:
                    return out
                out += piece
        except OSError:
            return out


def check(wanted, got, what, detail=""):
    if wanted != got:
        failures.append(f"{what}: wanted {wanted}, got {got} {detail}")


def end():
    for line in failures[:40]:
        print("FAILED:", line[:600], file=sys.stderr)
    sys.exit(1 if failures else 0)
