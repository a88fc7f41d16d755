#!/bin/bash
# /api/v1 and docs/openapi.yaml are the same: every route, member and query value stands in both, each
# operation is called and its answers fit the schemas, refusals too; limits at the cap and one over.
. "$(dirname "$0")/lib.sh.inc"
story "the API as documented"
python3 -c 'import jsonschema, yaml' 2>/dev/null || skip "needs python3-jsonschema and python3-yaml"
export PYTHONPATH=$LOAM_SOURCE/tests/stories PYTHONDONTWRITEBYTECODE=1 LOAM_SOURCE
start_up
export URL
for name in alice bob; do add_user $name; done
export TOKEN_alice TOKEN_bob ADMIN
loam user password alice <<<"correct horse battery"
loam group add team 2>>"$DIR/commands.out" >>"$DIR/commands.out"
loam group member add team alice --manager 2>>"$DIR/commands.out"
ADMIN=$(loam user token alice --scope admin 2>>"$DIR/commands.out")
loam repo create alice/pushed --owner alice >>"$DIR/commands.out" 2>&1
clone_as alice alice/pushed "$DIR/home/alice/pushed"
(
	cd "$DIR/home/alice/pushed"
	echo one | as alice tee file >/dev/null
	as alice git add .
	as alice git commit -qm one
	as alice git push -q origin main main:next 2>>"$DIR/commands.out"
)

as alice mkdir "$MNT/users/alice/w"
echo two | as alice tee "$MNT/users/alice/w/file" >/dev/null
export WORKSPACE="$MNT/users/alice/w"

step "rows and file, both ways"
"$LOAM_BUILD/tests/tool_api_rows" >"$DIR/rows.json"
python3 - "$DIR/rows.json" <<'PY' || fail "docs/openapi.yaml and the server differ"
import json, sys
from openapi import hold_rows, OPS
rows = json.load(open(sys.argv[1]))
found = hold_rows(rows)
print("\n".join(found))
# The check itself: a row, a member or a status that goes is noticed.
gone = [r for r in rows if r["name"] != "repo.show"]
assert any("repo.show" in line for line in hold_rows(gone))
changed = [dict(r, members=r["members"] + " odd") if r["name"] == "grant.set" else r for r in rows]
assert any("grant.set: members" in line for line in hold_rows(changed))
assert len(rows) == len(OPS) and len(rows) >= 20
sys.exit(1 if found else 0)
PY

step "every operation, and what it refuses"
for i in 1 2; do ssh-keygen -q -t ed25519 -N '' -C "key $i" -f "$DIR/key$i"; done
export DIR
cat >"$DIR/calls.py" <<'PY'
import os
import time
from openapi import Api

api = Api(os.environ["URL"])
alice, write, bob = os.environ["ADMIN"], os.environ["TOKEN_alice"], os.environ["TOKEN_bob"]
password = ("alice", "correct horse battery")
call = api.call

call("server.version")
for who in (alice, write, password, ("x", alice)):
    assert call("user.self", who)["name"] == "alice"
call("user.self", wanted=401)
call("user.self", "hf_" + "a" * 49, wanted=401)
call("user.show", write, user="alice")
for who, status in ((None, 401), (bob, 404), (alice, 404)):
    call("user.show", who, user="alice" if who != alice else "nobody", wanted=status)

call("token.list", write, user="alice")
made = call("token.create", password, {"scope": "read", "days": 0, "label": "ci"}, user="alice")
call("token.create", alice, {}, user="alice")
read = made["token"]
for who, body, status in (
    (None, {}, 401), (write, {}, 403), (read, {}, 403), (bob, {}, 404), (write, {"scope": "admin"}, 403), (read, {"scope": "read"}, 403),
    (alice, {"days": 10**12}, 422), (alice, {"days": 36501}, 422), (alice, {"days": -1}, 422), (alice, {"days": "9"}, 422),
    (alice, {"days": 0}, 403), (alice, {"days": 400}, 403), (alice, {"scope": "root"}, 422), (alice, {"scope": None, "odd": 1}, 422),
    (alice, {"label": "a:b"}, 422), (alice, {"label": "a\nb"}, 422), (alice, {"label": "x" * 64}, 422), (alice, {"repo": "../x"}, 422),
    (alice, [], 400), (alice, b"", 400), (alice, b"{", 400), (alice, b"\xef\xbb\xbf{}", 400), (alice, b"{} {}", 400),
    (alice, b'{"days":1,"days":2}', 400), (alice, b'{"label":"\\u0000"}', 422), (alice, b'{"label":"\xff"}', 422),
    (alice, b'{"label":' + b"[" * 65 + b"]" * 65 + b"}", 400), (alice, b'{"label":"' + b"x" * (4 << 20) + b'"}', 413),
):
    call("token.create", who, body, user="alice", wanted=status)
call("token.create", password, {"days": 36500}, user="alice")
bound = call("token.create", alice, {"scope": "admin", "repo": "alice/pushed"}, user="alice")["token"]
call("token.create", bound, {}, user="alice", wanted=403)
# what a token makes is a token's: it makes and ends none; what made it takes it along
login = call("token.create", password, {"scope": "admin", "label": "login"}, user="alice")
child = call("token.create", login["token"], {"scope": "admin"}, user="alice")
assert login["maker"] == "" and child["maker"] == login["id"], (login, child)
keys = [open(f"{os.environ['DIR']}/key{i}.pub").read() for i in (1, 2)]
call("token.create", child["token"], {"scope": "read", "days": 1}, user="alice", wanted=403)
call("token.revoke", child["token"], user="alice", id=made["id"], wanted=403)
call("key.add", child["token"], {"key": keys[0]}, user="alice", wanted=403)
call("deployKey.add", child["token"], {"key": keys[0]}, repo="alice/pushed", wanted=403)
assert call("key.add", login["token"], {"key": keys[0]}, user="alice")["maker"] == login["id"]
assert call("deployKey.add", login["token"], {"key": keys[1]}, repo="alice/pushed")["maker"] == login["id"]
call("token.revoke", alice, user="alice", id=login["id"])
call("user.self", child["token"], wanted=401)
assert call("key.list", alice, user="alice") == [] and call("deployKey.list", alice, repo="alice/pushed") == []
call("token.revoke", read, user="alice", id="unknown", wanted=403)
call("token.revoke", alice, user="alice", id="unknown", wanted=404)
call("token.revoke", bob, user="alice", id=made["id"], wanted=404)
call("token.revoke", read, user="alice", id=made["id"])

call("repo.create", write, {"repo": "alice/made", "visibility": "internal"})
for who, body, status in (
    (None, {"repo": "alice/x"}, 401), (bob, {"repo": "alice/x"}, 403), (write, {"repo": "alice/made"}, 409), (write, {"repo": "Alice/Made"}, 403),
    (write, {"repo": "alice/MADE"}, 409), (write, {"repo": "alice/x", "owner": "alice"}, 403), (bound, {"repo": "alice/x"}, 403), (write, {}, 422),
    (write, {"repo": "nobodys/x"}, 403), (write, {"repo": "api/x"}, 422), (write, {"repo": "../x"}, 422), (write, {"repo": "a"}, 422),
    (write, {"repo": 7}, 422), (write, {"repo": "alice/x", "visibility": "secret"}, 422),
):
    call("repo.create", who, body, wanted=status)
rows = call("repo.list", write)
assert [r["repo"] for r in rows] == ["models/alice/made", "models/alice/pushed"], rows
assert [r["repo"] for r in call("repo.list", bob)] == ["models/alice/made"]
assert call("repo.list") == []
page = call("repo.list", write, query={"limit": 1})
rest = call("repo.list", write, query={"limit": 10**9, "after": page[0]["repo"]})
assert page + rest == rows
for query in ({"limit": 0}, {"limit": -1}, {"limit": "x"}, {"after": "garbage"}, {"after": "../x"}):
    call("repo.list", write, query=query, wanted=422)
shown = call("repo.show", write, repo="alice/pushed")
assert shown["files"] == 1 and any(g["who"] == "alice" for g in shown["grants"]), shown
call("repo.show", bound, repo="models/alice/pushed")
call("repo.show", bound, repo="alice/made", wanted=404)
for repo in ("alice/pushed", "alice/none", "api/none"):
    call("repo.show", None, repo=repo, wanted=401)
    call("repo.show", bob, repo=repo, wanted=404)

call("grant.set", write, {"right": "read"}, repo="alice/pushed", who="bob", wanted=403)
call("grant.set", alice, {"right": "all"}, repo="alice/pushed", who="bob", wanted=422)
call("grant.set", alice, {}, repo="alice/pushed", who="bob", wanted=422)
call("grant.set", alice, {"right": "read"}, repo="alice/pushed", who="nobody", wanted=404)
call("grant.set", bob, {"right": "admin"}, repo="alice/made", who="bob", wanted=403)
call("grant.set", alice, {"right": "read"}, repo="alice/pushed", who="bob")
call("grant.set", bound, {"right": "write"}, repo="alice/pushed", who="team")
call("repo.show", bob, repo="alice/pushed")
call("grant.revoke", alice, repo="alice/pushed", who="bob")
call("grant.revoke", alice, repo="alice/pushed", who="bob", wanted=404)
call("repo.show", bob, repo="alice/pushed", wanted=404)
call("repo.visibility", alice, {"visibility": "public"}, repo="alice/made")
assert "grants" not in call("repo.show", None, repo="alice/made")
call("repo.visibility", write, {"visibility": "private"}, repo="alice/made", wanted=403)
call("repo.visibility", bob, {"visibility": "private"}, repo="alice/made", wanted=403)
call("repo.visibility", alice, {"visibility": "hidden"}, repo="alice/made", wanted=422)
call("repo.defaultBranch", alice, {"branch": "next"}, repo="alice/pushed")
call("repo.defaultBranch", alice, {"branch": "none"}, repo="alice/pushed", wanted=404)
call("repo.defaultBranch", alice, {"branch": "../x y"}, repo="alice/pushed", wanted=400)

there, others = os.stat(os.environ["WORKSPACE"]), os.stat(os.path.dirname(os.environ["WORKSPACE"]) + "/../bob")
read = call("token.create", alice, {"scope": "read"}, user="alice")["token"]
named = {"ino": there.st_ino, "changed_sec": there.st_ctime_ns // 10**9, "changed_nsec": there.st_ctime_ns % 10**9,
         "message": "from a directory"}
assert call("repo.publish", write, dict(named, changed_nsec=named["changed_nsec"] ^ 1), repo="alice/pushed")["again"]
assert call("repo.publish", write, dict(named, email="a@example.com"), repo="alice/pushed")["changed"]
for who, body, status in (
    (None, named, 401), (bob, named, 404), (read, named, 403), (write, dict(named, ino=others.st_ino), 403), (write, {}, 422),
    (write, dict(named, email="no address"), 422), (write, dict(named, message="\n"), 422), (write, dict(named, odd=1), 422),
):
    call("repo.publish", who, body, repo="alice/pushed", wanted=status)

call("repo.fork", write, {"to": "alice/forked", "visibility": "internal"}, repo="alice/pushed")
for who, body, status in (
    (None, {"to": "alice/x"}, 401), (bob, {"to": "bob/x"}, 404), (read, {"to": "alice/x"}, 403), (write, {"to": "alice/forked"}, 409),
    (write, {"to": "../x"}, 422), (write, {}, 422), (write, {"to": "bob/x"}, 403), (write, {"to": "alice/x", "owner": "bob"}, 403),
):
    call("repo.fork", who, body, repo="alice/pushed", wanted=status)

call("namespace.list", write)
call("namespace.show", write, kind="models", ns="alice")
call("namespace.show", bob, kind="models", ns="alice", wanted=404)
call("namespace.show", write, kind="odd", ns="alice", wanted=404)
call("namespace.grant", alice, {"right": "read"}, kind="models", ns="alice", who="bob")
call("namespace.grant", bob, {"right": "admin"}, kind="models", ns="alice", who="bob", wanted=403)
call("repo.show", bob, repo="alice/pushed")
call("namespace.revoke", alice, kind="models", ns="alice", who="bob")
call("repo.show", bob, repo="alice/pushed", wanted=404)
call("namespace.owner", alice, {"owner": "team"}, kind="models", ns="alice")
call("namespace.owner", bob, {"owner": "bob"}, kind="models", ns="alice", wanted=404)

keys = [open(f"{os.environ['DIR']}/key{i}.pub").read() for i in (1, 2)]
key = call("key.add", alice, {"key": keys[0], "label": "laptop"}, user="alice")
call("key.add", alice, {"key": keys[0]}, user="alice", wanted=409)
call("key.add", bob, {"key": keys[1]}, user="alice", wanted=404)
call("key.add", write, {"key": keys[1]}, user="alice", wanted=403)
for text in ("", "ssh-dss AAAA", "command=\"x\" " + keys[1], "ssh-ed25519 AAAA", "-----BEGIN OPENSSH PRIVATE KEY-----", keys[1] + keys[1]):
    call("key.add", alice, {"key": text}, user="alice", wanted=422)
call("key.add", alice, {"key": keys[1], "label": "x" * 64}, user="alice", wanted=422)
assert call("key.list", write, user="alice") == [key]
call("key.list", bob, user="alice", wanted=404)
call("key.remove", write, user="alice", id=key["id"], wanted=403)
call("key.remove", alice, user="alice", id=key["id"])
call("key.remove", alice, user="alice", id=key["id"], wanted=404)
deploy = call("deployKey.add", alice, {"key": keys[1], "write": True}, repo="alice/pushed")
assert deploy["scope"] == "write", deploy
call("deployKey.add", write, {"key": keys[0]}, repo="alice/pushed", wanted=403)
call("deployKey.add", bob, {"key": keys[0]}, repo="alice/pushed", wanted=404)
assert call("deployKey.list", bound, repo="alice/pushed") == [deploy]
call("deployKey.list", write, repo="alice/pushed", wanted=403)
call("deployKey.remove", alice, repo="alice/pushed", id=deploy["id"])
call("deployKey.remove", alice, repo="alice/pushed", id=deploy["id"], wanted=404)

call("group.list", write)
call("group.show", bob, group="team")
call("group.show", bob, group="nobodys", wanted=404)
call("member.set", write, {"manager": True}, group="team", member="bob", wanted=403)
call("member.set", bob, {"manager": True}, group="team", member="bob", wanted=403)
call("member.set", alice, {"manager": "yes"}, group="team", member="bob", wanted=422)
call("member.set", alice, {}, group="team", member="bob")
call("member.remove", alice, group="team", member="bob")
call("member.remove", alice, group="team", member="bob", wanted=404)

call("repo.delete", write, repo="alice/made", wanted=403)
call("repo.delete", bob, repo="alice/pushed", wanted=404)
call("repo.delete", alice, repo="alice/made")
call("repo.delete", alice, repo="alice/made", wanted=404)

# What no row has is JSON, too.
for method, path, status in (
    ("GET", "/api/v1/none", 404), ("PATCH", "/api/v1/repos", 405), ("GET", "/api/v1/users//tokens", 400),
    ("GET", "/api/v1/repos/a/../b", 400), ("GET", "/api/v1/repos/a%2fb/c", 400), ("GET", "/api/v2/version", 404),
):
    answer, text = api.raw(method, path, {}, None)
    if answer.status != status or not text.startswith(b'{"message":'):
        api.fail(f"{method} {path}: {answer.status} {text[:200]}")
for headers, status in (({"Content-Type": "text/html"}, 415), ({"Accept": "text/plain", "Content-Type": "application/json"}, 406)):
    answer, text = api.raw("POST", "/api/v1/repos", dict(headers, Authorization="Bearer " + write), b"{}")
    if answer.status != status:
        api.fail(f"{headers}: {answer.status} {text[:200]}")
for query in ("token=" + alice, "access_token=" + alice):
    answer, text = api.raw("GET", "/api/v1/user?" + query, {}, None)
    if answer.status != 401:
        api.fail(f"a token in the query: {answer.status}")

# So many calls a minute, each by himself. Calls come back while they are used up, so a machine that makes
# fewer than twenty a second never gets there.
limit, began = 0, time.monotonic()
while limit < 6000 and time.monotonic() - began < 90:
    answer, text = api.raw("GET", "/api/v1/version", {"Authorization": "Bearer " + bob}, None)
    if answer.status != 200:
        break
    limit += 1
if answer.status == 200 and limit < 6000:
    print(f"{limit} calls in 90 s: this machine is too slow to reach the limit")
elif answer.status != 429 or not answer.headers["Retry-After"] or limit < 1000:
    api.fail(f"after {limit} calls: {answer.status} {text[:200]}")
call("user.self", write)
api.end()
PY
python3 "$DIR/calls.py" || fail "answers are not as documented"
for canary in "$ADMIN" "$TOKEN_alice" "$TOKEN_bob" "correct horse battery"; do
	grep -rlF -- "$canary" "$DIR"/*.log "$DIR/up.out" "$DIR/v/log" 2>/dev/null && fail "a secret is in a log"
done
check_volume
