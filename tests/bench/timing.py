"""Can time tell what an answer hides? Pairs of questions that must look alike, in random order: over one
connection of HTTP, or at ssh.sock, where sshd's forced command hands over a session. Welch's t of their
times, over all and without the slowest twentieth of each side. Over 4.5 the two can be told apart
(reliability.md L05).
"""
import array
import itertools
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
ONLY = os.environ.get("LOAM_ONLY", "")
LIMIT = 4.5


class Link:
    """Keep-alive, raw: what is timed is the request and its answer, nothing of a library."""

    def __init__(self, address=None):
        self.address = address
        self.open()

    def open(self):
        source = (self.address, 0) if self.address else None
        self.socket = socket.create_connection(("127.0.0.1", PORT), source_address=source)
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


class Strangers:
    """A new connection, from an address that has never asked, for each request."""
    addresses = (f"127.7.{n // 250}.{n % 250 + 1}" for n in itertools.count())

    def ask(self, request):
        link = Link(next(self.addresses))
        answer = link.ask(request)
        link.socket.close()
        return answer


class Session:
    """What `loam shell` does for one session, without sshd: three descriptors and a line of JSON."""

    def __init__(self):
        self.words = set()

    def ask(self, command):
        nothing, said = os.open("/dev/null", os.O_RDWR), os.memfd_create("said")
        link = socket.socket(socket.AF_UNIX)
        link.connect(os.environ["SSH_SOCKET"])
        line = json.dumps({"op": "shell", "key": os.environ["DAVES_KEY"], "command": command, "peer": "127.0.0.1"})
        began = time.perf_counter_ns()
        link.sendmsg([line.encode() + b"\n"],
                     [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [nothing, nothing, said]).tobytes())])
        got = b""
        while not got.endswith(b"\n"):
            piece = link.recv(65536)
            if not piece:
                sys.exit(f"{command}: no answer")
            got += piece
        taken = time.perf_counter_ns() - began
        link.close()
        self.words.add(os.pread(said, 4096, 0).replace(b"absent", b"secret"))
        os.close(nothing)
        os.close(said)
        if len(self.words) != 1:
            sys.exit(f"{command}: the words tell: {self.words}")
        return taken, json.loads(got)["exit"]


def request(method, path, auth, body=None, kind=LFS):
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"]
    if auth:
        lines.append("Authorization: " + auth)
    if body is not None:
        lines += [f"Content-Type: {kind}", f"Accept: {kind}", f"Content-Length: {len(body)}"]
    return ("\r\n".join(lines) + "\r\n\r\n" + (body or "")).encode()


def welch(a, b):
    def moments(x):
        mean = sum(x) / len(x)
        return mean, sum((v - mean) ** 2 for v in x) / (len(x) - 1) / len(x)
    (mean_a, var_a), (mean_b, var_b) = moments(a), moments(b)
    return (mean_a - mean_b) / math.sqrt(var_a + var_b)


def compare(what, first, second, status, link=Link, part=1):
    """first and second make a request each time, so that nothing can be remembered of one of them."""
    if ONLY not in what:
        return True
    link, times, pairs = link(), ([], []), PAIRS // part
    for _ in range(pairs // 50):
        link.ask(first())
        link.ask(second())
    while len(times[0]) < pairs:
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
    print(f"{what}: {pairs} pairs, t {t_all:+.2f}, without the slowest twentieth {t_kept:+.2f}; "
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


def api(path, body=None):
    """By one account after the other: each may ask 1,200 times a minute."""
    callers = itertools.cycle(["Bearer " + token for token in os.environ["API_TOKENS"].split()])
    method = "GET" if body is None else "POST"
    return lambda: request(method, "/api/v1" + path, next(callers), body and json.dumps(body), "application/json")


def log_in(user):
    return lambda: request("GET", "/dave/own.git/info/refs?service=git-upload-pack",
                           basic(user, "%032x" % random.getrandbits(128)))


def session(command):
    return lambda: command


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
    compare("api, repository forbidden or absent", api("/repos/models/alice/secret"),
            api("/repos/models/alice/absent"), 404),
    compare("api, its deploy keys, forbidden or absent", api("/repos/models/alice/secret/keys"),
            api("/repos/models/alice/absent/keys"), 404),
    compare("api, namespace forbidden or absent", api("/namespaces/models/alice"), api("/namespaces/models/absent"), 404),
    compare("api, account of another or absent", api("/users/alice"), api("/users/absent"), 404),
    compare("api, list, with a hidden repository behind the name or before it",
            api("/repos?after=models%2Falice%2Fsecre&limit=1"), api("/repos?after=models%2Falice%2Fsecret0&limit=1"),
            200, part=10),
    compare("api, making one in a namespace that is there or not", api("/repos", body={"repo": "alice/x"}),
            api("/repos", body={"repo": "absent/x"}), 403, part=10),
    compare("ssh, git-upload-pack, forbidden or absent", session("git-upload-pack 'alice/secret'"),
            session("git-upload-pack 'alice/absent'"), 1, link=Session),
    compare("ssh, git-lfs-authenticate, forbidden or absent", session("git-lfs-authenticate 'alice/secret' download"),
            session("git-lfs-authenticate 'alice/absent' download"), 1, link=Session),
    compare("ssh, loam repo show, forbidden or absent", session("loam repo show alice/secret"),
            session("loam repo show alice/absent"), 1, link=Session, part=20),
    compare("login, wrong password of an account or of none", log_in("alice"), log_in("absent"), 401, link=Strangers,
            part=40),
]
sys.exit(0 if all(fine) else 1)
