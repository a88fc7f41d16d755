"""Random questions "may this caller do that here?" at every door, against an oracle of its own.

The oracle knows the documented rules only (docs/security.md of rights: design page, "The gate"; the help of
`loam grant`), and shares no code with the server:

  a caller without an account may read what is public;
  a disabled account may nothing, a token what its owner may, cut by scope and repository;
  a repository's own grant and its namespace's grant to the same user or group: the greater holds;
  who owns the namespace, or is an admin, may all, also through a group;
  else a user with an entry has that and no more; else the best entry among his groups; else, when the
  repository is internal or public, reading.

Between the questions rights change; after BIND seconds every door must have bound the change, sessions of
git-lfs-transfer that were open before it included. (Transfers in progress: tests/stories/64.)
"""
import json
import os
import random
import subprocess
import sys
import time

from doors import LFS, Answer, basic, batch, call, fresh_address, path_of, thing  # noqa: F401
from lfs_session import Ended, Session

DRAWS = int(os.environ.get("LOAM_DRAWS", "400"))
SEED = int(os.environ["LOAM_SEED"])
STRICT = DRAWS >= 20000 or os.environ.get("LOAM_STRICT")
DIR, MNT = os.environ["DIR"], os.environ["MNT"]
SOCKET = os.environ["SSH_SOCKET"]
BIND = 2.0
LATE = 20.0  # a loaded machine may bind later than it should: counted, and an error when STRICT
CHANGE_EVERY = int(os.environ.get("LOAM_CHANGE_EVERY", "50" if DRAWS < 20000 else "100"))
rng = random.Random(SEED)
RANK = {"read": 1, "write": 2, "admin": 3, "owner": 4}
USERS = ["ann", "ben", "cat", "dan", "eve", "fay"]
GROUPS = ["red", "blue", "green"]
SPACES = {"ann": ("u", "ann"), "ben": ("u", "ben"), "red": ("g", "red"), "lab": ("g", "blue")}
REPOS = ["ann/secret", "ann/inner", "ann/open", "ben/secret", "red/secret", "red/inner", "lab/secret", "lab/open"]
ABSENT = ["ann/nothing", "nobody1/secret", "lab/SECRET2"]


def loam(*words, stdin=None):
    done = subprocess.run(["loam", *words], input=stdin, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"loam {' '.join(words)}: {done.stderr}")
    return done


class User:
    def __init__(self, name):
        self.name = name
        self.uid = int(loam("user", "add", name).stdout)
        self.disabled = False
        self.credentials = {}
        self.ever = set()  # groups that a process of his may still carry
        key = f"{DIR}/{name}.key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        self.pub = key + ".pub"
        self.key = loam("user", "key", "add", name, self.pub).stdout.strip()
        self.password = f"the password of {name}, long enough"

    def make_token(self, kind):
        options = {"full": [], "read": ["--scope", "read"], "admin": ["--scope", "admin"],
                   "bound": ["--repo", "ann/secret"]}[kind]
        done = loam("user", "token", self.name, *options)
        self.credentials[kind] = done.stdout.strip()
        self.ids = getattr(self, "ids", {})
        self.ids[kind] = done.stderr.split("token ")[1].split()[0]


class World:
    def __init__(self):
        self.users = {name: User(name) for name in USERS}
        self.groups = {}
        self.gids = {}
        for name in GROUPS:
            self.gids[name] = int(loam("group", "add", name).stdout)
            self.groups[name] = set()
        self.space_grants = {ns: {} for ns in SPACES}
        self.owners = dict(SPACES)
        self.grants = {repo: {} for repo in REPOS}
        self.visibility = {}
        for user, group in (("ann", "red"), ("cat", "red"), ("ben", "blue"), ("dan", "green")):
            self.join(user, group)
        for user in self.users.values():
            for kind in ("full", "read", "admin", "bound"):
                user.make_token(kind)
        loam("user", "password", "ann", stdin=self.users["ann"].password + "\n")
        self.users["ann"].credentials["password"] = self.users["ann"].password
        for repo in REPOS:
            kind = {"secret": "private", "inner": "internal", "open": "public"}[repo.split("/")[1]]
            self.visibility[repo] = kind
            loam("repo", "create", repo, "--owner", SPACES[repo.split("/")[0]][1], "--" + kind)
        self.deploy = {}
        for repo, write in (("ann/secret", False), ("red/secret", True)):
            key = f"{DIR}/deploy-{len(self.deploy)}.key"
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
            words = ["repo", "key", "add", repo, key + ".pub"] + (["--write"] if write else [])
            self.deploy[loam(*words).stdout.strip()] = (repo, write)

    # ---- changes, on the server and here ---------------------------------------------------------

    def join(self, user, group):
        loam("group", "member", "add", group, user)
        self.groups[group].add(user)
        self.users[user].ever.add(group)

    def leave(self, user, group):
        loam("group", "member", "del", group, user)
        self.groups[group].discard(user)

    def change(self, before):
        """One change of rights; says what, and whom and where it concerns (None: everybody, everywhere).
        before(who, repo) runs when that is known, and nothing done yet."""
        what = rng.choice(["grant", "grant", "revoke", "space grant", "space revoke", "member", "member",
                           "disable", "visibility", "token", "key", "owner"])
        user = self.users[rng.choice(USERS)]
        repo = rng.choice(REPOS)
        ns = repo.split("/")[0]
        who = ("u", user.name) if rng.random() < 0.6 else ("g", rng.choice(GROUPS))
        right = rng.choice(["read", "write", "admin"])
        if what in ("member", "disable", "token", "key"):
            who = ("u", user.name)
        elif what == "visibility":
            who = None
        if what == "grant":
            before(who, repo)
            loam("grant", who[1], right, repo)
            self.grants[repo][who] = right
        elif what == "revoke":
            if not self.grants[repo]:
                return self.change(before)
            who = rng.choice(sorted(self.grants[repo]))
            before(who, repo)
            loam("revoke", who[1], repo)
            del self.grants[repo][who]
        elif what == "space grant":
            if self.owners[ns] == who:
                return self.change(before)
            before(who, repo)
            loam("grant", who[1], right, ns + "/")
            self.space_grants[ns][who] = right
        elif what == "space revoke":
            given = sorted(self.space_grants[ns])
            if not given:
                return self.change(before)
            who = rng.choice(given)
            before(who, repo)
            loam("revoke", who[1], ns + "/")
            del self.space_grants[ns][who]
        elif what == "member":
            group = rng.choice(GROUPS)
            before(who, repo)
            (self.leave if user.name in self.groups[group] else self.join)(user.name, group)
        elif what == "disable":
            before(who, repo)
            loam("user", "enable" if user.disabled else "disable", user.name)
            user.disabled = not user.disabled
        elif what == "visibility":
            kind = rng.choice(["private", "internal", "public"])
            before(who, repo)
            loam("repo", "visibility", repo, kind)
            self.visibility[repo] = kind
        elif what == "token":
            kind = rng.choice(["full", "read", "admin"])
            before(who, repo)
            loam("user", "token", user.name, "--revoke", user.ids[kind])
            stale.append((user.name, user.credentials[kind]))
            user.make_token(kind)
        elif what == "key":
            before(who, repo)
            loam("user", "key", "del", user.name, user.key)
            stale_keys.append(user.key)
            user.key = loam("user", "key", "add", user.name, user.pub).stdout.strip()
        else:
            if ns in ("ann", "ben") or self.space_grants[ns].get(who):
                return self.change(before)
            before(who, repo)
            loam("namespace", "owner", ns + "/", who[1])
            self.owners[ns] = who
        return f"{what} {who} {repo} {right}", who, repo

    # ---- the oracle ------------------------------------------------------------------------------

    def entries(self, repo):
        ns = repo.split("/")[0]
        out = dict(self.grants[repo])
        for who, right in self.space_grants[ns].items():
            if RANK[right] > RANK.get(out.get(who), 0):
                out[who] = right
        out[self.owners[ns]] = "owner"
        return out

    def groups_of(self, name):
        return [g for g in GROUPS if name in self.groups[g]]

    def may(self, name, repo, want):
        """A user with all of his rights."""
        entries = self.entries(repo)
        mine = [("u", name)] + [("g", g) for g in self.groups_of(name)]
        if any(RANK.get(entries.get(who), 0) >= 3 for who in mine):
            return True
        if want == "admin":
            return False
        if ("u", name) in entries:
            return RANK[entries[("u", name)]] >= RANK[want]
        of_groups = [entries[who] for who in mine if who in entries]
        if of_groups:
            return any(RANK[right] >= RANK[want] for right in of_groups)
        return want == "read" and self.visibility[repo] != "private"

    def decide(self, caller, repo, want):
        """ok, login, hidden or denied. caller: None, (user, credential), or the id of a deploy key."""
        if caller is None:
            public = repo in self.visibility and self.visibility[repo] == "public"
            return "ok" if want == "read" and public else "login"
        if isinstance(caller, str):
            where, write = self.deploy[caller]
            if where != repo:
                return "hidden"
            return "ok" if want == "read" or (write and want == "write") else "denied"
        user, kind = self.users[caller[0]], caller[1]
        if user.disabled:
            return "login"
        if repo not in self.visibility or (kind == "bound" and repo != "ann/secret"):
            return "hidden"
        limit = {"read": 1, "full": 2, "bound": 2}.get(kind, 3)
        if not self.may(user.name, repo, "read"):
            return "hidden"
        return "ok" if RANK[want] <= limit and self.may(user.name, repo, want) else "denied"

    def on_mount(self, name, repo):
        """May his processes read below the gate?"""
        if name is None:
            return self.visibility[repo] != "private"
        return not self.users[name].disabled and self.may(name, repo, "read")


    def kernel_agrees(self, name, repo):
        """A disabled account and a group that was left are known to the mount, not to the kernel: for a moment
        after somebody else's walk it tells attributes by itself (docs/known-limits.md). Opening is always asked."""
        user = self.users[name]
        return not user.disabled and user.ever == set(self.groups_of(name))


# ---- the doors -----------------------------------------------------------------------------------

STATUS = {200: "ok", 401: "login", 404: "hidden", 403: "denied"}


def spelled(repo):
    return rng.choice(["", "models/"]) + repo + rng.choice(["", ".git"])


def authorization(caller):
    if caller is None:
        return {}
    user = world.users[caller[0]]
    secret = user.credentials[caller[1]]
    if caller[1] != "password" and rng.random() < 0.3:
        return {"Authorization": "Bearer " + secret}
    return {"Authorization": basic(user.name, secret)}


def outcome(answer):
    return STATUS.get(answer.status, f"status {answer.status} {answer.body[:100]}")


def git_http(caller, repo, want):
    service = "git-upload-pack" if want == "read" else "git-receive-pack"
    return outcome(call("GET", f"/{spelled(repo)}/info/refs?service={service}", authorization(caller),
                        source=fresh_address()))


def git_post(caller, repo, want):
    service = "git-upload-pack" if want == "read" else "git-receive-pack"
    more = dict(authorization(caller), **{"Content-Type": f"application/x-{service}-request"})
    return outcome(call("POST", f"/{spelled(repo)}/{service}", more, b"0000", source=fresh_address()))


def lfs_http(caller, repo, want):
    entry = held[repo][1] if want == "read" and repo in held else thing(rng.randbytes(8))[1]
    answer = batch(repo, "download" if want == "read" else "upload", [entry],
                   authorization(caller).get("Authorization"), fresh_address())
    if answer.status == 200:
        got = answer.json()["objects"][0]
        if "actions" not in got:
            return f"no link: {got}"
        if want == "read" and caller and len(links) < 400:
            links.append((caller, repo, world.users[caller[0]].credentials[caller[1]],
                          path_of(got["actions"]["download"]["href"])))
    return outcome(answer)


def locks_http(caller, repo, want):
    if want == "read":
        return outcome(call("GET", f"/{repo}.git/info/lfs/locks", dict(authorization(caller), Accept=LFS),
                            source=fresh_address()))
    more = dict(authorization(caller), Accept=LFS)
    more["Content-Type"] = LFS
    return outcome(call("POST", f"/{repo}.git/info/lfs/locks/verify", more, b"{}", source=fresh_address()))


def api(caller, repo, want):
    if want != "admin":
        return outcome(call("GET", f"/api/v1/repos/{repo}", authorization(caller), source=fresh_address()))
    more = dict(authorization(caller), **{"Content-Type": "application/json"})
    body = json.dumps({"visibility": world.visibility.get(repo, "private")})
    return outcome(call("PUT", f"/api/v1/repos/{repo}/visibility", more, body, source=fresh_address()))


def forced(key, command):
    """What sshd runs for a session: its words, its environment."""
    return (["loam", "shell", "--socket", SOCKET, "--key", key],
            {"PATH": os.environ["PATH"], "SSH_ORIGINAL_COMMAND": command, "SSH_CONNECTION": "192.0.2.1 1 192.0.2.2 22"})


def shell(key, command, data=b""):
    words, env = forced(key, command)
    done = subprocess.run(words, input=data, capture_output=True, env=env, timeout=60)
    if done.returncode == 0:
        return "ok"
    return refusal(done.stderr.decode())


def refusal(text):
    for sign, what in (("no repository", "hidden"), ("not change", "denied"), ("key is gone", "login"),
                       ("gone or disabled", "login")):
        if sign in text:
            return what
    return f"refused: {text}"


def key_of(caller):
    return caller if isinstance(caller, str) else world.users[caller[0]].key


def git_ssh(caller, repo, want):
    command = "git-upload-pack" if want == "read" else "git-receive-pack"
    return shell(key_of(caller), f"{command} '{rng.choice(['', '/'])}{spelled(repo)}'", b"0000")


def lfs_ssh(caller, repo, want):
    return shell(key_of(caller), f"git-lfs-authenticate '{repo}.git' {'download' if want == 'read' else 'upload'}")


# ---- git-lfs-transfer: one session, several questions ---------------------------------------------

def transfer_session(caller, repo, want):
    return Session(*forced(key_of(caller), f"git-lfs-transfer '{repo}' {'download' if want == 'read' else 'upload'}"))


def ask_get(session, oid):
    """(status, bytes)"""
    session.begin(f"get-object {oid}")
    status, _ = session.status()
    return status, b"".join(session.rest())


def locking(session, may_lock):
    """Takes a lock and gives it back; who may not is told so."""
    path = f"{rng.randrange(1 << 40):x}.bin"
    status, args, _ = session.ask("lock", f"path={path}")
    if not may_lock:
        return status == 403, f"lock without the right: {status}"
    if status != 201:
        return False, f"lock: {status}"
    lock = dict(arg.split("=", 1) for arg in args)
    status, _, rows = session.ask("list-lock", f"path={path}")
    found = status == 200 and any(row.decode().strip() == f"path {lock['id']} {path}" for row in rows)
    status, _, _ = session.ask(f"unlock {lock['id']}")
    return found and status == 200, f"list-lock found it: {found}, unlock: {status}"


def put_and_verify(session, upload):
    """An upload goes in, and is there; a session that downloads takes none."""
    data = rng.randbytes(200)
    oid, entry = thing(data)
    statuses = (session.ask(f"put-object {oid}", f"size={entry['size']}", data=data)[0],
                session.ask(f"verify-object {oid}", f"size={entry['size']}")[0],
                session.ask(f"verify-object {'0' * 64}", "size=1")[0])
    return statuses == ((200, 200, 404) if upload else (403, 403, 403)), f"put, verify: {statuses}"


def read_objects(session, repo, upload):
    """What this repository holds, and nothing that another one holds."""
    other = rng.choice([name for name in held if name != repo])
    lines = [f"{held[name][0]} {held[name][1]['size']}" for name in (repo, other)]
    status, _, rows = session.ask("batch", "hash-algo=sha256", lines=lines)
    wanted = ["noop", "upload"] if upload else ["download", "noop"]
    if status != 200 or [row.decode().split()[2] for row in rows] != wanted:
        return False, f"batch: {status} {rows}"
    mine, others = ask_get(session, held[repo][0]), ask_get(session, held[other][0])
    return mine == (200, f"weights of {repo}".encode()) and others[0] == 404, f"get: {mine}, of {other}: {others[0]}"


def lfs_transfer(caller, repo, want):
    """ok when the session is opened and each of its answers is as the oracle has it."""
    session = transfer_session(caller, repo, want)
    try:
        session.hello()
        upload = want == "write"
        may_lock = world.decide(caller, repo, "write") == "ok" and not isinstance(caller, str)  # a lock is somebody's
        asks = [lambda: read_objects(session, repo, upload), lambda: put_and_verify(session, upload),
                lambda: locking(session, may_lock), lambda: (session.ask("version 1")[0] == 200, "version")]
        for one in rng.sample(asks, rng.randint(1, len(asks))):
            good, what = one()
            if not good:
                return f"in the session: {what}"
        return "ok" if session.ask("quit")[0] == 200 and session.end()[0] == 0 else "quit failed"
    except Ended as end:
        return refusal(str(end))
    finally:
        session.cut()


class Open:
    """A session that stands open while a right changes."""

    def __init__(self, caller, repo, want):
        self.caller, self.repo, self.want, self.key = caller, repo, want, key_of(caller)
        self.session = transfer_session(caller, repo, want)
        self.session.hello()

    def question(self):
        """As draw_question has it. Whether it goes on is asked first: it must, or it must have been ended."""
        lives = key_of(self.caller) == self.key and world.decide(self.caller, self.repo, self.want) == "ok"
        return (f"a session of {self.caller} {self.want} {self.repo}, open since before", "ok" if lives else "ended", self.ask)

    def ask(self):
        try:
            status = self.session.ask("batch", lines=[f"{held[self.repo][0]} {held[self.repo][1]['size']}"])[0]
            return "ok" if status == 200 else f"status {status}"
        except Ended:
            return "ended"


def open_sessions(who, repo):
    """Sessions of those whom the change will concern, and of others, where they may now."""
    names = [who[1]] if who and who[0] == "u" else sorted(world.groups[who[1]]) if who else USERS
    callers = [(name, "key") for name in names] + [(rng.choice(USERS), "key"), rng.choice(sorted(world.deploy))]
    for caller in callers:
        for at in (repo, *rng.sample(REPOS, 3)):
            want = rng.choice(["read", "write"])
            if world.decide(caller, at, want) == "ok":
                still_open.append(Open(caller, at, want))


def as_uid(uid, gids, work):
    """What work() says in a process of this uid: ok or the name of the error."""
    out, into = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(out)
        try:
            os.setgroups(gids)
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            work()
            said = "ok"
        except OSError as error:
            said = error.strerror
        os.write(into, said.encode())
        os._exit(0)
    os.close(into)
    said = os.read(out, 200).decode()
    os.close(out)
    os.waitpid(pid, 0)
    return said


def on_mount(name, repo, operation):
    gate = f"{MNT}/models/{repo}"
    user = world.users.get(name)
    # The groups of a process are those of its login: also those that he has left since.
    gids = [world.gids[g] for g in sorted(user.ever)] if user else []

    def read():
        with open(rng_path(gate)) as file:
            if file.read() != f"content of {repo}\n":
                raise OSError(0, "other bytes")

    def write():
        with open(f"{gate}/top", "a") as file:
            file.write("x")

    work = {"read": read, "list": lambda: os.listdir(gate), "stat": lambda: os.stat(f"{gate}/deep/file"),
            "write": write, "create": lambda: os.mkdir(f"{gate}/new"),
            "remove": lambda: os.unlink(f"{gate}/top"), "chmod": lambda: os.chmod(gate, 0o777),
            }[operation]
    return as_uid(user.uid if user else 30000, gids, work)


def rng_path(gate):
    return gate + rng.choice(["/top", "/deep/file"])


DOORS = ["git-http", "git-post", "lfs-http", "locks", "api", "git-ssh", "lfs-ssh", "lfs-transfer", "mount", "mount", "link", "stale"]


# ---- drawing -------------------------------------------------------------------------------------

def draw_question(near=None):
    """(text, expected, ask) of one question; near: (who, repo) of the last change, to be asked about."""
    who, repo = near or (None, None)
    name = who[1] if who and who[0] == "u" else rng.choice(USERS)
    if who and who[0] == "g" and world.groups[who[1]]:
        name = rng.choice(sorted(world.groups[who[1]]))
    if repo is None or rng.random() < 0.2:
        repo = rng.choice(REPOS + ABSENT)
    door = rng.choice(DOORS)
    if door == "mount":
        repo = repo if repo in REPOS else rng.choice(REPOS)
        name = None if rng.random() < 0.1 else name
        operation = rng.choice(["read", "read", "list", "stat", "write", "create", "remove", "chmod"])
        if operation == "stat" and name and not world.kernel_agrees(name, repo):
            operation = "read"
        may = world.on_mount(name, repo) and operation in ("read", "list", "stat")
        return (f"mount {name} {operation} {repo}", "ok" if may else "refused",
                lambda: "ok" if (said := on_mount(name, repo, operation)) == "ok" else
                "refused" if said in ("Permission denied", "Operation not permitted", "Read-only file system") else said)
    if door == "link" and links:
        caller, repo, secret, path = rng.choice(links)
        live = (caller[0], secret) not in stale
        expected = "ok" if live and world.decide(caller, repo, "read") == "ok" else "denied"
        return f"link of {caller} {repo}", expected, lambda: outcome(call("GET", path))
    if door == "stale" and (stale or stale_keys):
        if stale_keys and (not stale or rng.random() < 0.5):
            key = rng.choice(stale_keys)
            return f"ssh with the removed key {key}", "login", lambda: shell(key, f"git-upload-pack '{repo}'", b"0000")
        user, token = rng.choice(stale)
        return (f"revoked token of {user}", "login",
                lambda: outcome(call("GET", f"/{repo}.git/info/refs?service=git-upload-pack",
                                     {"Authorization": basic(user, token)}, source=fresh_address())))
    if door.endswith("ssh") or door == "lfs-transfer":
        caller = rng.choice(sorted(world.deploy)) if rng.random() < 0.15 else (name, "key")
        want = rng.choice(["read", "write"])
        ask = {"git-ssh": git_ssh, "lfs-ssh": lfs_ssh, "lfs-transfer": lfs_transfer}[door]
        return f"{door} {caller} {want} {repo}", world.decide(caller, repo, want), lambda: ask(caller, repo, want)
    kinds = sorted(world.users[name].credentials)
    caller = None if rng.random() < 0.12 else (name, rng.choice(kinds))
    want = rng.choice(["read", "admin"] if door == "api" else ["read", "write"])
    ask = {"git-http": git_http, "git-post": git_post, "lfs-http": lfs_http, "locks": locks_http, "api": api}.get(door, git_http)
    if door in ("link", "stale") and want == "admin":
        want = "write"
    return f"{door} {caller} {want} {repo}", world.decide(caller, repo, want), lambda: ask(caller, repo, want)


def ask(question):
    global late
    text, expected, run = question
    state = rng.getstate()
    got = run()
    began = time.monotonic()
    while got != expected and not STRICT and time.monotonic() - changed_at < LATE:
        time.sleep(0.3)
        rng.setstate(state)
        got = run()
        if got == expected:
            late += 1
            print(f"late by {time.monotonic() - began:.1f} s: {text}", flush=True)
    if got != expected:
        differences.append(f"draw {asked}: {text}: wanted {expected}, got {got}; last change: {last_change}")
        print("DIFFERENCE", differences[-1], flush=True)


# ---- the run -------------------------------------------------------------------------------------

def fill(repo):
    """A commit with two files, and an object that the repository holds."""
    owner = {"u": lambda n: n, "g": lambda n: sorted(world.groups[n])[0]}[SPACES[repo.split("/")[0]][0]](
        SPACES[repo.split("/")[0]][1])
    token = world.users[owner].credentials["full"]
    work = f"{DIR}/fill/{repo}"
    os.makedirs(work + "/deep")
    for name in ("top", "deep/file"):
        with open(f"{work}/{name}", "w") as file:
            file.write(f"content of {repo}\n")
    url = f"http://{owner}:{token}@127.0.0.1:{os.environ['PORT']}/{repo}.git"
    for words in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-qm", "one"], ["push", "-q", url, "main"]):
        subprocess.run(["git", "-C", work, *words], check=True, capture_output=True)
    data = f"weights of {repo}".encode()
    oid, entry = thing(data)
    answer = batch(repo, "upload", [entry], basic(owner, token)).json()["objects"][0]
    assert call("PUT", path_of(answer["actions"]["upload"]["href"]), body=data).status == 200
    held[repo] = (oid, entry)


held, links, stale, stale_keys, differences, still_open = {}, [], [], [], [], []
late, asked, last_change, changed_at, changes, sessions, cut = 0, 0, "none", time.monotonic() - LATE, 0, 0, 0
world = World()
for each in REPOS:
    fill(each)
time.sleep(BIND)
changed_at = time.monotonic()
near = None
while asked < DRAWS and len(differences) < 20:
    if asked % CHANGE_EVERY == 0:
        last_change, concerned, place = world.change(open_sessions)
        changes += 1
        changed_at = time.monotonic()
        time.sleep(BIND)
        near = (concerned, place)
        for one in still_open:
            question = one.question()
            sessions, cut = sessions + 1, cut + (question[1] == "ended")
            ask(question)
            one.session.cut()
        still_open.clear()
    ask(draw_question(near if asked % CHANGE_EVERY < 12 else None))
    asked += 1
print(f"rights: {asked} questions, {changes} changes, {sessions} sessions open meanwhile ({cut} to be ended), "
      f"{len(differences)} differences, {late} late, seed {SEED}")
for line in differences:
    print("FAILED:", line, file=sys.stderr)
sys.exit(1 if differences else 0)
