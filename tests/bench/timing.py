"""Can time tell what an answer hides? Pairs of requests that must look alike, in random order, over one
connection; Welch's t of their times, over all and without the slowest twentieth of each side. Over 4.5 the
two can be told apart (reliability.md L05).
"""
import json
import math
import os
import random
import socket
import sys
import time

from doors import LFS, basic, thing

PAIRS = int(os.environ.get("LOAM_PAIRS", "10000"))
PORT = int(os.environ["PORT"])
LIMIT = 4.5


class Link:
    """Keep-alive, raw: what is timed is the request and its answer, nothing of a library."""

    def __init__(self):
        self.open()

    def open(self):
        self.socket = socket.create_connection(("127.0.0.1", PORT))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, request):
        began = time.perf_counter_ns()
        self.socket.sendall(request)
        got = b""
        while b"\r\n\r\n" not in got:
            piece = self.socket.recv(65536)
            if not piece:
                self.open()
                return None, None
            got += piece
        head, body = got.split(b"\r\n\r\n", 1)
        length = int([line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")][0][15:])
        while len(body) < length:
            body += self.socket.recv(65536)
        return time.perf_counter_ns() - began, int(head[9:12])


def request(method, path, auth, body=None):
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"]
    if auth:
        lines.append("Authorization: " + auth)
    if body is not None:
        lines += [f"Content-Type: {LFS}", f"Accept: {LFS}", f"Content-Length: {len(body)}"]
    return ("\r\n".join(lines) + "\r\n\r\n" + (body or "")).encode()


def welch(a, b):
    def moments(x):
        mean = sum(x) / len(x)
        return mean, sum((v - mean) ** 2 for v in x) / (len(x) - 1) / len(x)
    (mean_a, var_a), (mean_b, var_b) = moments(a), moments(b)
    return (mean_a - mean_b) / math.sqrt(var_a + var_b)


def compare(what, first, second, status):
    """first and second make a request each time, so that nothing can be remembered of one of them."""
    link, times = Link(), ([], [])
    for _ in range(200):
        link.ask(first())
        link.ask(second())
    while len(times[0]) < PAIRS:
        order = [0, 1]
        random.shuffle(order)
        pair = [None, None]
        for side in order:
            taken, got = link.ask((first, second)[side]())
            if taken is None:
                break
            if got != status:
                sys.exit(f"{what}: status {got}, not {status}")
            pair[side] = taken
        if None not in pair:
            times[0].append(pair[0])
            times[1].append(pair[1])
    kept = [sorted(side)[:len(side) * 19 // 20] for side in times]
    t_all, t_kept = welch(*times), welch(*kept)
    means = [sum(side) / len(side) / 1000 for side in kept]
    told = "TOLD APART" if abs(t_kept) >= LIMIT or abs(t_all) >= LIMIT else "alike"
    print(f"{what}: t {t_all:+.2f}, without the slowest twentieth {t_kept:+.2f}; "
          f"means {means[0]:.1f} and {means[1]:.1f} us; {told}", flush=True)
    return told == "alike"


dave = basic("dave", os.environ["TOKEN_dave"])
HELD = os.environ["OID"]
SIZE = int(os.environ["SIZE"])


def refs(repo, auth):
    return lambda: request("GET", f"/{repo}.git/info/refs?service=git-upload-pack", auth)


def batch(repo, operation, oid, size, auth):
    def make():
        named = oid or "%064x" % random.getrandbits(256)
        body = json.dumps({"operation": operation, "objects": [{"oid": named, "size": size}]})
        return request("POST", f"/{repo}.git/info/lfs/objects/batch", auth, body)
    return make


unknown = thing(b"nobody has this")[0]
fine = [
    compare("info/refs, forbidden or absent, a user", refs("alice/secret", dave), refs("alice/absent", dave), 404),
    compare("info/refs, forbidden or absent, nobody", refs("alice/secret", None), refs("alice/absent", None), 401),
    compare("batch, repository forbidden or absent", batch("alice/secret", "download", HELD, SIZE, dave),
            batch("alice/absent", "download", HELD, SIZE, dave), 404),
    compare("batch download, object of another or unknown", batch("dave/own", "download", HELD, SIZE, dave),
            batch("dave/own", "download", unknown, SIZE, dave), 200),
    compare("batch upload, object of another or unknown", batch("dave/own", "upload", HELD, SIZE, dave),
            batch("dave/own", "upload", unknown, SIZE, dave), 200),
]
sys.exit(0 if all(fine) else 1)
