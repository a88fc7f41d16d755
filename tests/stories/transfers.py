"""Transfers that are under way when the right they run by goes: none of them is done, and none goes on.

Each way in which a right goes has a user and a repository of its own; all of their transfers, at every door, begin and
stand in their middle when the changes are made, and go on when these must have bound. Those of a user whose right
stays are the proof that they would have been done.
"""
import hashlib
import json
import os
import random
import subprocess
import sys
import threading
import time

import doors
from doors import basic, batch, fresh_address, path_of, thing
from lfs_session import Ended, Session

DIR, MNT = os.environ["DIR"], os.environ["MNT"]
PORT, SSH_PORT = int(os.environ["PORT"]), os.environ["SSH_PORT"]
BIND = 2.0
with open("/proc/sys/net/ipv4/tcp_wmem") as limits:
    BIG = max(16 << 20, 3 * int(limits.read().split()[2]))  # well over what the kernel and sshd hold for a slow reader
SMALL = 600000  # an upload, in two halves
logins = threading.Semaphore(4)
failures = []


def loam(*words, stdin=None):
    done = subprocess.run(["loam", *words], input=stdin, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"loam {' '.join(words)}: {done.stderr}")
    return done


def git(*words, **more):
    return subprocess.run(["git", *words], check=True, capture_output=True, **more).stdout


# ---- who ---------------------------------------------------------------------------------------------------------------

class Caller:
    """What one change takes away: user and repository named after it."""

    def __init__(self, name, change):
        self.name, self.change = name, change
        self.repo = f"owner/{name}"
        loam("repo", "fork", "owner/base", self.repo)

    def make_key(self):
        self.key = f"{DIR}/{self.name}.key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.key], check=True)
        return self.key + ".pub"

    def auth(self):
        return basic(self.name, self.token)

    def ssh(self, command):
        return ["ssh", "-F", "none", "-p", SSH_PORT, "-l", "loam", "-i", self.key, "-o", "IdentitiesOnly=yes",
                "-o", "IdentityAgent=none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no",
                "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "127.0.0.1", command]


class User(Caller):
    def __init__(self, name, change, group=None):
        super().__init__(name, change)
        loam("user", "add", name)
        made = loam("user", "token", name)
        self.token, self.token_id = made.stdout.strip(), made.stderr.split("token ")[1].split()[0]
        self.key_id = loam("user", "key", "add", name, self.make_key()).stdout.strip()
        if group:
            loam("group", "add", group)
            loam("group", "member", "add", group, name)
        loam("grant", group or name, "write", self.repo)


class Deploy(Caller):
    def __init__(self, name, change):
        super().__init__(name, change)
        self.key_id = loam("repo", "key", "add", self.repo, self.make_key(), "--write").stdout.strip()


# ---- a transfer ----------------------------------------------------------------------------------------------------------

class Transfer(threading.Thread):
    """begin(), then trickle() until all changes have bound, then finish() → what came of it, as the client sees it."""
    is_download = False

    def __init__(self, caller):
        super().__init__(daemon=True)
        self.caller, self.said, self.problem = caller, None, None
        self.begun, self.got, self.data = threading.Event(), 0, b""

    def __str__(self):
        return f"{type(self).__name__} of {self.caller.name}"

    def run(self):
        try:
            self.begin()
            self.begun.set()
            while not goes_on.wait(0.1):
                self.trickle()
            self.said = self.finish()
        except Exception as error:  # told by the main thread
            self.problem = f"{type(error).__name__}: {error}"
        finally:
            self.begun.set()

    def trickle(self):
        pass

    def done(self):
        """Has it done what it was for?"""
        raise NotImplementedError


class Download(Transfer):
    is_download = True

    def trickle(self):
        self.take(16384)

    def finish(self):
        while self.take(65536):
            time.sleep(0.01)  # a client that is slower than the server
        return f"{self.got} bytes"

    def take(self, count):
        piece = self.read(count)
        self.got += len(piece)
        return piece

    def done(self):
        return self.got >= BIG


class Upload(Transfer):
    def __init__(self, caller):
        super().__init__(caller)
        self.data = random.Random(str(self) + str(os.getpid())).randbytes(SMALL)
        self.oid, self.entry = thing(self.data)

    def done(self):
        return os.path.exists(f"{MNT}/.loam/lfs/objects/{self.oid[:2]}/{self.oid[2:4]}/{self.oid}")


class Push(Transfer):
    """One commit with one file, made here, as the bytes that git would send."""

    def __init__(self, caller):
        super().__init__(caller)
        work = f"{DIR}/work/{self.caller.name}-{type(self).__name__}"
        os.makedirs(work)
        self.branch = type(self).__name__.lower()
        with open(f"{work}/file", "wb") as file:
            file.write(random.Random(work).randbytes(SMALL))
        git("init", "-q", work)
        git("-C", work, "add", ".")
        git("-C", work, "commit", "-qm", "one")
        self.commit = git("-C", work, "rev-parse", "HEAD").decode().strip()
        line = f"{'0' * 40} {self.commit} refs/heads/{self.branch}\0report-status".encode()
        pack = git("-C", work, "pack-objects", "--stdout", "--revs", input=f"{self.commit}\n".encode())
        self.data = b"%04x" % (len(line) + 4) + line + b"0000" + pack

    def done(self):
        bare = f"{DIR}/v/git/models/{self.caller.repo}.git"
        found = subprocess.run(["git", "--git-dir", bare, "rev-parse", "-q", "--verify", f"refs/heads/{self.branch}"],
                               capture_output=True)
        return found.returncode == 0


# ---- over HTTP -------------------------------------------------------------------------------------------------------------

class Http:
    """A request by hand, so that it can stop in its middle."""

    def open(self, method, path, headers, bytes_of_body=None):
        import socket
        self.link = socket.socket()
        self.link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        self.link.bind((fresh_address(), 0))
        self.link.settimeout(120)
        self.link.connect(("127.0.0.1", PORT))
        if bytes_of_body is not None:
            headers = dict(headers, **{"Content-Length": bytes_of_body})
        lines = [f"{method} {path} HTTP/1.1", "Host: h", "Connection: close", *(f"{k}: {v}" for k, v in headers.items())]
        self.link.sendall("\r\n".join(lines + ["", ""]).encode())

    def read(self, count):
        try:
            return self.link.recv(count)
        except ConnectionResetError:
            return b""

    def finish_body(self):
        """The status, or "cut"."""
        try:
            self.link.sendall(self.data[len(self.data) // 2:])
        except OSError:
            pass
        answer = b""
        while piece := self.read(65536):
            answer += piece
        return answer.split(b"\r\n")[0].decode() or "cut"


class LfsUploadHttp(Http, Upload):
    def link_of(self, operation):
        answer = batch(self.caller.repo, operation, [self.entry], self.caller.auth(), fresh_address())
        return path_of(answer.json()["objects"][0]["actions"][operation]["href"])

    def begin(self):
        self.open("PUT", self.link_of("upload"), {}, len(self.data))
        self.link.sendall(self.data[:len(self.data) // 2])

    def finish(self):
        return self.finish_body()


def session_token(caller, operation):
    """Authorization from git-lfs-authenticate."""
    with logins:
        done = subprocess.run(caller.ssh(f"git-lfs-authenticate {caller.repo} {operation}"), capture_output=True, check=True)
    return json.loads(done.stdout)["header"]["Authorization"]


class LfsUploadByToken(LfsUploadHttp):
    """The link comes from git-lfs-authenticate: it stands and falls with the key."""

    def link_of(self, operation):
        answer = batch(self.caller.repo, operation, [self.entry], session_token(self.caller, operation), fresh_address())
        return path_of(answer.json()["objects"][0]["actions"][operation]["href"])


class LfsDownloadHttp(Http, Download):
    def authorization(self):
        return self.caller.auth()

    def begin(self):
        answer = batch(self.caller.repo, "download", [big], self.authorization(), fresh_address())
        self.open("GET", path_of(answer.json()["objects"][0]["actions"]["download"]["href"]), {})
        self.take(1)


class LfsDownloadByToken(LfsDownloadHttp):
    def authorization(self):
        return session_token(self.caller, "download")


class PushHttp(Http, Push):
    def begin(self):
        self.open("POST", f"/{self.caller.repo}.git/git-receive-pack",
                  {"Authorization": self.caller.auth(), "Content-Type": "application/x-git-receive-pack-request"},
                  len(self.data))
        self.link.sendall(self.data[:len(self.data) // 2])

    def finish(self):
        return self.finish_body()


def wants():
    want = f"want {base_commit} ofs-delta\n".encode()
    return b"%04x" % (len(want) + 4) + want + b"00000009done\n"


class FetchHttp(Http, Download):
    def begin(self):
        body = wants()
        self.open("POST", f"/{self.caller.repo}.git/git-upload-pack",
                  {"Authorization": self.caller.auth(), "Content-Type": "application/x-git-upload-pack-request"}, len(body))
        self.link.sendall(body)
        self.take(1)


# ---- over SSH --------------------------------------------------------------------------------------------------------------

class Ssh:
    def login(self, command):
        with logins:
            self.session = Session(self.caller.ssh(command))
            if command.startswith("git-lfs"):
                self.session.hello()
            else:  # the refs, up to their flush
                while self.session.read() != "flush":
                    pass

    def read(self, count):
        return self.session.child.stdout.read(count)


class LfsUploadSsh(Ssh, Upload):
    def begin(self):
        self.login(f"git-lfs-transfer {self.caller.repo} upload")
        self.session.begin(f"put-object {self.oid}", f"size={SMALL}", data=True)
        self.put(self.data[:SMALL // 2])

    def put(self, data):
        for at in range(0, len(data), 30000):
            self.session.packet(data[at:at + 30000])

    def finish(self):
        self.put(self.data[SMALL // 2:])
        self.session.send(b"0000")
        try:
            return f"status {self.session.status()[0]}"
        except Ended as end:
            return f"ended: {end}"


class LfsDownloadSsh(Ssh, Download):
    def begin(self):
        self.login(f"git-lfs-transfer {self.caller.repo} download")
        self.session.begin(f"get-object {big['oid']}")
        self.session.status()
        self.take(1)

    def take(self, count):
        """One read; the object's end is no end of the session."""
        if self.got >= BIG:
            return b""
        return super().take(count)


class PushSsh(Ssh, Push):
    def begin(self):
        self.login(f"git-receive-pack {self.caller.repo}")
        self.session.send(self.data[:len(self.data) // 2])

    def finish(self):
        self.session.send(self.data[len(self.data) // 2:])
        return "exit %d: %s" % self.session.end()


class FetchSsh(Ssh, Download):
    def begin(self):
        self.login(f"git-upload-pack {self.caller.repo}")
        self.session.send(wants())
        self.take(1)


class IdleSsh(Ssh, Transfer):
    """A session that waits for its client: it must not be there any more when he goes on."""

    def begin(self):
        self.login(f"git-lfs-transfer {self.caller.repo} download")

    def finish(self):
        try:
            self.status = self.session.ask("batch", lines=[f"{big['oid']} {BIG}"])[0]
        except Ended as end:
            self.status = str(end)
        return str(self.status)

    def done(self):
        return self.status == 200


HTTP = [LfsUploadHttp, LfsDownloadHttp, PushHttp, FetchHttp]
SSH = [LfsUploadSsh, LfsDownloadSsh, PushSsh, FetchSsh, IdleSsh]
BY_TOKEN = [LfsUploadByToken, LfsDownloadByToken]

# ---- the run ---------------------------------------------------------------------------------------------------------------

goes_on = threading.Event()


def make_base():
    """owner/base: as much in Git as in LFS, that nothing packs smaller."""
    global big, base_commit
    loam("user", "add", "owner")
    token = loam("user", "token", "owner").stdout.strip()
    loam("repo", "create", "owner/base", "--owner", "owner")
    data = os.urandom(BIG)
    oid, big = thing(data)
    answer = batch("owner/base", "upload", [big], basic("owner", token)).json()["objects"][0]
    assert doors.call("PUT", path_of(answer["actions"]["upload"]["href"]), body=data, timeout=120).status == 200
    work = f"{DIR}/work/base"
    os.makedirs(work)
    with open(f"{work}/big", "wb") as file:
        file.write(os.urandom(BIG))
    with open(f"{work}/pointer", "w") as file:
        file.write(f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {BIG}\n")
    for words in (["init", "-q", "-b", "main"], ["config", "core.compression", "0"], ["add", "."], ["commit", "-qm", "one"],
                  ["push", "-q", f"http://owner:{token}@127.0.0.1:{PORT}/owner/base.git", "main"]):
        git("-C", work, *words)
    base_commit = git("-C", work, "rev-parse", "HEAD").decode().strip()


def cast():
    """(caller, his transfers)"""
    keep = User("keep", None)
    revoke = User("revoke", lambda: loam("revoke", "revoke", "owner/revoke"))
    disable = User("disable", lambda: loam("user", "disable", "disable"))
    member = User("member", lambda: loam("group", "member", "del", "team", "member"), group="team")
    delete = User("delete", lambda: loam("repo", "delete", "owner/delete"))
    token = User("token", lambda: loam("user", "token", "token", "--revoke", token.token_id))
    key = User("key", lambda: loam("user", "key", "del", "key", key.key_id))
    deploy = Deploy("deploy", lambda: loam("repo", "key", "del", "owner/deploy", deploy.key_id))
    reader = User("reader", lambda: loam("grant", "reader", "read", "owner/reader"))
    return [(keep, HTTP + SSH + BY_TOKEN), (revoke, HTTP + SSH), (disable, HTTP + SSH), (member, HTTP + SSH),
            (delete, HTTP + SSH), (token, HTTP), (key, SSH + BY_TOKEN), (deploy, SSH + BY_TOKEN), (reader, HTTP + SSH)]


def check(transfer):
    stays = transfer.caller.change is None
    # Who may still read goes on reading.
    if transfer.caller.name == "reader" and (transfer.is_download or isinstance(transfer, IdleSsh)):
        stays = True
    if transfer.problem or transfer.done() != stays:
        failures.append(f"{transfer}: done {transfer.done()}, should be {stays}; {transfer.problem or transfer.said}")
    if not stays and isinstance(transfer, Http) and not transfer.is_download:
        # 401 sends clients round in circles, 422 is success for git-lfs; a push may be refused by its hook.
        code = transfer.said.split(" ")[1] if transfer.said and transfer.said.startswith("HTTP") else None
        if code not in (None, "403", "404") and not (code == "200" and isinstance(transfer, Push)):
            failures.append(f"{transfer}: answered {transfer.said}")


def main():
    began = time.monotonic()
    make_base()
    callers = cast()
    print(f"made after {time.monotonic() - began:.1f} s")
    transfers = [kind(caller) for caller, kinds in callers for kind in kinds]
    for transfer in transfers:
        transfer.start()
    for transfer in transfers:
        if not transfer.begun.wait(120):
            sys.exit(f"{transfer} does not begin")
        if transfer.problem:
            sys.exit(f"{transfer}: {transfer.problem}")
    print(f"{len(transfers)} transfers under way after {time.monotonic() - began:.1f} s", flush=True)
    for caller, _ in callers:
        if caller.change:
            caller.change()
    time.sleep(BIND)
    goes_on.set()
    for transfer in transfers:
        transfer.join(120)
        if transfer.is_alive():
            failures.append(f"{transfer} does not end")
        else:
            check(transfer)
            print(f"{transfer}: {transfer.said}".replace("\n", " "))
    print(f"ended after {time.monotonic() - began:.1f} s")
    for line in failures:
        print("FAILED:", line, file=sys.stderr)
    print(f"{len(transfers)} transfers, {len(failures)} failures")
    os._exit(1 if failures else 0)


main()
