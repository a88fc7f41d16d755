#!/bin/bash
# Who may what: every kind of caller at every door of a private, an internal and a public repository;
# the doors agree, a change of rights binds them all within two seconds, and what is forbidden looks like
# what is not there.
. "$(dirname "$0")/lib.sh.inc"
story "who may what"
export PYTHONPATH=$LOAM_SOURCE/tests/stories PYTHONDONTWRITEBYTECODE=1
start_up
export PORT
for name in alice bob carol dave eve; do add_user $name; done
export TOKEN_alice TOKEN_bob TOKEN_carol TOKEN_dave TOKEN_eve
PASSWORD="correct horse battery"
export PASSWORD
loam user password alice <<<"$PASSWORD"
oid=
for repo in private internal public; do
	loam repo create "alice/$repo" --owner alice --$repo >>"$DIR/commands.out" 2>&1
	clone_as alice "alice/$repo" "$DIR/home/alice/$repo"
	(
		cd "$DIR/home/alice/$repo"
		as alice git lfs track '*.bin' >>"$DIR/commands.out"
		as alice mkdir deep
		echo "small of $repo" | as alice tee deep/small >/dev/null
		echo "weights of $repo" | as alice tee deep/weights.bin >/dev/null
		as alice git add .
		as alice git commit -qm one
		as alice git push -q origin main 2>>"$DIR/commands.out"
	)
	for grant in "bob read" "carol write" "eve write"; do
		loam grant $grant "alice/$repo" 2>>"$DIR/commands.out"
	done
	[ "$(cat "$MNT/models/alice/$repo/deep/weights.bin")" = "weights of $repo" ] || fail "not on the mount"
done
loam user disable eve
export READ_ONLY BOUND EXPIRED REVOKED ADMIN_carol ADMIN_dave
ADMIN_carol=$(loam user token carol --scope admin 2>>"$DIR/commands.out")
ADMIN_dave=$(loam user token dave --scope admin 2>>"$DIR/commands.out")
READ_ONLY=$(loam user token carol --scope read 2>>"$DIR/commands.out")
BOUND=$(loam user token alice --repo alice/private 2>>"$DIR/commands.out")
EXPIRED=$(loam user token alice --days 1 --label old 2>"$DIR/token.out")
id=$(grep -o 'token [A-Za-z0-9]* ' "$DIR/token.out" | cut -d' ' -f2)
# The administrator's own way to end a token early: its line in the file, which is an ordinary one.
now=$(date +%s)
python3 - "$MNT/.loam/etc/tokens" "$id" "$now" <<'PY'
import sys
path, token, now = sys.argv[1:]
lines = open(path).read().splitlines()
out = []
for line in lines:
    if token in line:
        line = ":".join(str(int(now) - 5) if f.isdigit() and int(f) > int(now) + 80000 else f
                        for f in line.split(":"))
    out.append(line)
open(path, "w").write("\n".join(out) + "\n")
PY
REVOKED=$(loam user token alice --label gone 2>"$DIR/token.out")
id=$(grep -o 'token [A-Za-z0-9]* ' "$DIR/token.out" | cut -d' ' -f2)
loam user token alice --revoke "$id"
sleep 2

step "callers, doors and visibilities over the network"
cat >"$DIR/matrix.py" <<'PY'
import os
from doors import *

env = os.environ
R, W, N, A, B = "read", "write", "none", "anonymous", "bad"
callers = [  # name, Authorization, what it is on private, internal, public
    ("anonymous", None, (A, A, "public")),
    ("alice, owner, token", basic("alice", env["TOKEN_alice"]), (W, W, W)),
    ("alice, token as Bearer", "Bearer " + env["TOKEN_alice"], (W, W, W)),
    ("alice, token as user name", basic(env["TOKEN_alice"], ""), (W, W, W)),
    ("alice, token and x-oauth-basic", basic(env["TOKEN_alice"], "x-oauth-basic"), (W, W, W)),
    ("any name with alice's token", basic("__token__", env["TOKEN_alice"]), (W, W, W)),
    ("alice, password", basic("alice", env["PASSWORD"]), (W, W, W)),
    ("bob, reader", basic("bob", env["TOKEN_bob"]), (R, R, R)),
    ("carol, writer", basic("carol", env["TOKEN_carol"]), (W, W, W)),
    ("carol, read-scope token", basic("carol", env["READ_ONLY"]), (R, R, R)),
    ("dave, no grant", basic("dave", env["TOKEN_dave"]), (N, R, R)),
    ("alice, token bound to private", basic("alice", env["BOUND"]), (W, N, N)),
    ("eve, disabled", basic("eve", env["TOKEN_eve"]), (B, B, B)),
    ("expired token", basic("alice", env["EXPIRED"]), (B, B, B)),
    ("revoked token", basic("alice", env["REVOKED"]), (B, B, B)),
    ("wrong password", basic("alice", "not her password"), (B, B, B)),
    ("bob with alice's token", basic("bob", env["TOKEN_alice"]), (B, B, B)),
    ("bob with alice's password", basic("bob", env["PASSWORD"]), (B, B, B)),
    ("unknown user", basic("mallory", "not a password"), (B, B, B)),
    ("nonsense", "Negotiate abcdef", (B, B, B)),
]
read_status = {R: 200, W: 200, N: 404, A: 401, B: 401, "public": 200}
write_status = {R: 403, W: 200, N: 404, A: 401, B: 401, "public": 401}


def headers(auth):
    return {"Authorization": auth} if auth else {}


def refs(repo, service, auth):
    return call("GET", f"/{repo}.git/info/refs?service={service}", headers(auth), source=fresh_address())


def post(repo, service, auth):
    more = dict(headers(auth), **{"Content-Type": f"application/x-{service}-request"})
    return call("POST", f"/{repo}.git/{service}", more, b"0000", source=fresh_address())


def locks(repo, auth):
    return call("GET", f"/{repo}.git/info/lfs/locks", dict(headers(auth), Accept=LFS), source=fresh_address())


for name, auth, kinds in callers:
    for visibility, kind in zip(("private", "internal", "public"), kinds):
        repo = "alice/" + visibility
        oid, entry = thing(f"weights of {visibility}\n".encode())
        other = thing(b"something new")[1]
        answers = {
            "fetch": refs(repo, "git-upload-pack", auth),
            "fetch's POST": post(repo, "git-upload-pack", auth),
            "lfs download": batch(repo, "download", [entry], auth, fresh_address()),
            "locks": locks(repo, auth),
            "push": refs(repo, "git-receive-pack", auth),
            "push's POST": post(repo, "git-receive-pack", auth),
            "lfs upload": batch(repo, "upload", [other], auth, fresh_address()),
        }
        for door, answer in answers.items():
            writes = door in ("push", "push's POST", "lfs upload")
            wanted = (write_status if writes else read_status)[kind]
            check(wanted, answer.status, f"{name}, {visibility}, {door}", answer.message())
            given = {k.lower() for k, v in answer.headers}
            if answer.status == 401:
                check(True, "www-authenticate" in given, f"{name}, {visibility}, {door}: a challenge")
            if answer.status == 401 and door.startswith("lfs"):
                check(True, "lfs-authenticate" in given, f"{name}, {visibility}, {door}: LFS-Authenticate")
            if answer.status >= 400:
                check(1, len(answer.message().strip().splitlines()), f"{name}, {door}: one line", answer.message())
        if answers["lfs download"].status == 200:
            got = answers["lfs download"].json()["objects"][0]
            data = call("GET", path_of(got["actions"]["download"]["href"]))
            check(f"weights of {visibility}\n".encode(), data.body, f"{name}, {visibility}: bytes")
# Wrong logins slow down who guesses, not who is right with a token, nor anybody elsewhere.
for auth, address in (("Bearer " + env["REVOKED"], "127.8.0.1"), (basic("alice", "not her password"), "127.8.0.2")):
    tries = [call("GET", "/alice/private.git/info/refs?service=git-upload-pack", {"Authorization": auth}, source=address) for _ in range(8)]
    check([401] * 6 + [429] * 2, [t.status for t in tries], f"guesses from {address}")
    check(True, "retry-after" in {k.lower() for k, v in tries[-1].headers}, "Retry-After")
    check(1, len(tries[-1].body.decode().splitlines()), "one line")
    for right in ("Bearer " + env["TOKEN_alice"], basic("alice", env["TOKEN_alice"])):
        got = call("GET", "/alice/private.git/info/refs?service=git-upload-pack", {"Authorization": right}, source=address)
        check(200, got.status, f"a right token from {address}", got.body)
right = {"Authorization": basic("alice", env["PASSWORD"])}
check(429, call("GET", "/alice/private.git/info/refs?service=git-upload-pack", right, source="127.8.0.2").status, "her password where it was guessed")
check(200, call("GET", "/alice/private.git/info/refs?service=git-upload-pack", right, source="127.8.0.3").status, "her password elsewhere")
end()
PY
python3 "$DIR/matrix.py" || fail "the matrix of callers and doors"

step "the same question on the mount"
expected() # NAME VISIBILITY
{
	case $1:$2 in
	dave:private) echo no ;;
	*) echo yes ;;
	esac
}
for name in alice bob carol dave; do
	for repo in private internal public; do
		got=yes
		[ "$(as $name cat "$MNT/models/alice/$repo/deep/weights.bin" 2>/dev/null)" = "weights of $repo" ] || got=no
		[ "$(expected $name $repo)" = $got ] || fail "mount: $name reads $repo: $got"
		got=yes
		as $name ls "$MNT/models/alice/$repo" >/dev/null 2>&1 || got=no
		[ "$(expected $name $repo)" = $got ] || fail "mount: $name lists $repo: $got"
		must_fail as $name touch "$MNT/models/alice/$repo/new"
		must_fail as $name sh -c "echo x >>$MNT/models/alice/$repo/deep/small"
		must_fail as $name setfacl -m u:dave:rwx "$MNT/models/alice/$repo"
	done
	must_fail as $name ls "$MNT/.loam"
	must_fail as $name cat "$MNT/.loam/etc/shadow" "$MNT/.loam/etc/tokens"
done

step "what is forbidden looks like what is not there"
cat >"$DIR/alike.py" <<'PY'
import os
from doors import *

dave = {"Authorization": basic("dave", os.environ["TOKEN_dave"])}
for who, headers in (("dave", dave), ("anonymous", {})):
    for names in (("alice/private", "alice/missing"), ("alice/private", "nobody1/private"),
                  ("models/alice/private", "models/alice/missing"), ("alice/private", "alice/PRIVATE"),
                  ("alice/private", "datasets/alice/private")):
        asked = []
        for name in names:
            calls = []
            for service in ("git-upload-pack", "git-receive-pack"):
                calls.append(call("GET", f"/{name}.git/info/refs?service={service}", headers))
                calls.append(call("POST", f"/{name}.git/{service}", dict(headers, **{
                    "Content-Type": f"application/x-{service}-request"}), b"0000"))
            for operation in ("download", "upload"):
                calls.append(batch(name, operation, [thing(b"x")[1]], headers.get("Authorization")))
            calls.append(call("GET", f"/{name}.git/info/lfs/locks", headers))
            calls.append(call("POST", f"/{name}.git/info/lfs/locks/verify", headers, b"{}"))
            full = name if name.count("/") == 2 else "models/" + name
            asked.append([a.same_but(full, name) for a in calls])
        for number, (left, right) in enumerate(zip(*asked)):
            check(left, right, f"{who}, {names}, call {number}")
        for answer in asked[0]:
            check(404 if headers else 401, answer[0], f"{who}: status")
end()
PY
python3 "$DIR/alike.py" || fail "forbidden and unknown differ"

step "changed rights bind every door within two seconds, also for who stands inside the tree"
mkfifo "$DIR/ask"
chmod 666 "$DIR/ask"
as bob sh -c "cd $MNT/models/alice/private/deep && exec 5<small && while read -r word; do
	case \$word in
	open) cat weights.bin >/dev/null 2>&1 && echo yes || echo no ;;
	list) ls . >/dev/null 2>&1 && echo yes || echo no ;;
	held) cat <&5 >/dev/null 2>&1 && echo yes || echo no ;;
	esac; done" <"$DIR/ask" >"$DIR/inside.out" 2>&1 &
inside=$!
exec 6>"$DIR/ask"
lines=0
ask_inside() # WORD: its answer in INSIDE
{
	local i
	echo "$1" >&6
	lines=$((lines + 1))
	for i in $(seq 200); do
		[ "$(wc -l <"$DIR/inside.out")" -ge $lines ] && break
		sleep 0.02
	done
	INSIDE=$(tail -n 1 "$DIR/inside.out")
}
printf 'machine 127.0.0.1 login bob password %s\n' "$TOKEN_bob" >"$DIR/netrc"
body='{"operation":"download","objects":[{"oid":"'$(echo 'weights of private' | sha256sum | cut -d' ' -f1)'","size":19}]}'
doors() # the four answers of all doors to bob, one line
{
	local a b c d
	a=$(http_status --netrc-file "$DIR/netrc" "$URL/alice/private.git/info/refs?service=git-upload-pack")
	b=$(http_status --netrc-file "$DIR/netrc" -H 'Content-Type: application/vnd.git-lfs+json' -d "$body" \
		"$URL/alice/private.git/info/lfs/objects/batch")
	as bob cat "$MNT/models/alice/private/deep/small" >/dev/null 2>&1 && c=yes || c=no
	ask_inside open
	d=$INSIDE
	ask_inside list
	echo "$a $b $c $d $INSIDE"
}
within() # WANTED WHAT
{
	local until=$(($(date +%s%N) + 2000000000)) got
	while :; do
		got=$(doors)
		[ "$got" = "$1" ] && return 0
		[ "$(date +%s%N)" -lt $until ] || fail "$2: after 2 s the doors still say '$got', not '$1'"
	done
}
yes="200 200 yes yes yes" no="404 404 no no no"
count_lines() { lines=$(wc -l <"$DIR/inside.out"); }
[ "$(doors)" = "$yes" ] || fail "bob does not get in: $(doors)"
loam revoke bob alice/private 2>>"$DIR/commands.out"
count_lines
within "$no" "revoke"
count_lines
ask_inside held
[ "$INSIDE" = yes ] || fail "an open file does not live on"
loam grant bob read alice/private 2>>"$DIR/commands.out"
count_lines
within "$yes" "grant"
loam revoke bob alice/private 2>>"$DIR/commands.out"
loam repo visibility alice/private internal 2>>"$DIR/commands.out"
count_lines
within "$yes" "internal"
loam repo visibility alice/private private 2>>"$DIR/commands.out"
count_lines
within "$no" "private again"
setfacl -m u:"$UID_bob":rwx "$MNT/models/alice/private"
count_lines
within "$yes" "setfacl on the gate by root"
[ "$(http_status --netrc-file "$DIR/netrc" "$URL/alice/private.git/info/refs?service=git-receive-pack")" = 200 ] ||
	fail "setfacl rwx is not the right to push"
must_fail as bob touch "$MNT/models/alice/private/new"
getfacl -p "$MNT/models/alice/private" | says -x 'mask::r-x' || fail "the mask kept w: $(getfacl -p "$MNT/models/alice/private")"
exec 6>&-
wait $inside || true

step "a disabled account and a revoked token are refused within two seconds, links of theirs too"
link=$(curl -s --netrc-file "$DIR/netrc" -H 'Content-Type: application/vnd.git-lfs+json' -d "$body" \
	"$URL/alice/private.git/info/lfs/objects/batch" | python3 -c 'import json, sys
print(json.load(sys.stdin)["objects"][0]["actions"]["download"]["href"])')
expect 200 "$(http_status "$link")" "a download by its link"
loam user disable bob
for i in $(seq 20); do
	status=$(http_status "$link")
	[ "$status" = 403 ] && break
	sleep 0.1
done
expect 403 "$status" "a link of a disabled account"
expect 401 "$(http_status --netrc-file "$DIR/netrc" "$URL/alice/public.git/info/refs?service=git-upload-pack")" "a disabled account"
loam user enable bob
for i in $(seq 20); do
	status=$(http_status "$link")
	[ "$status" = 200 ] && break
	sleep 0.1
done
expect 200 "$status" "a link of an enabled account"

step "who holds back the body of a call keeps no right by it"
loam grant carol admin alice/private 2>>"$DIR/commands.out"
loam repo create carol/gone --owner carol >>"$DIR/commands.out" 2>&1
cat >"$DIR/held.py" <<'PY'
import os
import subprocess
import time
from doors import *

env = os.environ
key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4"


class Held:
    """A call whose head the server has read and not refused; its body comes later."""

    def __init__(self, what, wanted, method, path, auth, body, kind="application/json"):
        self.what, self.wanted, self.body = what, wanted, json.dumps(body).encode()
        self.link = socket.create_connection(("127.0.0.1", PORT), timeout=20)
        self.link.sendall((f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {auth}\r\nContent-Type: {kind}\r\n"
                           f"Content-Length: {len(self.body)}\r\nExpect: 100-continue\r\n\r\n").encode())
        self.link.settimeout(20)
        head = self.link.recv(4096)
        check(True, head.startswith(b"HTTP/1.1 100"), what + ": the head", head[:60])

    def end(self):
        self.link.sendall(self.body)
        answer = self.link.recv(65536)
        check(self.wanted, int(answer.split()[1]), self.what, answer)
        self.link.close()


carol, strong = basic("carol", env["ADMIN_carol"]), basic("dave", env["ADMIN_dave"])
entry = thing(b"weights of private\n")[1]
held = [
    Held("her own grant", 404, "PUT", "/api/v1/repos/alice/private/grants/carol", carol, {"right": "admin"}),
    Held("a public repository", 404, "PUT", "/api/v1/repos/alice/private/visibility", carol, {"visibility": "public"}),
    Held("a deploy key", 404, "POST", "/api/v1/repos/carol/gone/keys", carol, {"key": key, "write": True}),
    Held("a fork", 404, "POST", "/api/v1/repos/alice/private/fork", carol, {"to": "carol/mine"}),
    Held("a lock", 404, "POST", "/alice/private.git/info/lfs/locks", carol, {"path": "x"}, LFS),
    Held("a batch", 404, "POST", "/alice/private.git/info/lfs/objects/batch", carol, {"operation": "download", "objects": [entry]}, LFS),
    Held("a token", 401, "POST", "/api/v1/users/dave/tokens", strong, {"scope": "admin"}),
    Held("a key", 401, "POST", "/api/v1/users/dave/keys", strong, {"key": key}),
    Held("what is still allowed", 200, "PUT", "/api/v1/repos/carol/kept/grants/alice", carol, {"right": "read"}),
]
for words in (["revoke", "carol", "alice/private"], ["repo", "delete", "carol/gone"], ["user", "disable", "dave"]):
    subprocess.run(["loam", *words], check=True, stderr=subprocess.DEVNULL)
time.sleep(2)  # the bound of a revocation
for call in held:
    call.end()
end()
PY
loam repo create carol/kept --owner carol >>"$DIR/commands.out" 2>&1
python3 "$DIR/held.py" || fail "a right outlived its revocation"
loam user enable dave
! loam repo show alice/private | says carol || fail "carol is back: $(loam repo show alice/private)"
[ "$(loam user key list dave --json)" = "[]" ] || fail "a disabled account got a key"
check_volume
