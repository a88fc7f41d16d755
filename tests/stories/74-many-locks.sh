#!/bin/bash
# More locks than a page: listed whole by the real client, each of them keeps others off, and one account's
# locks say nothing to those who may not read the repository.
. "$(dirname "$0")/lib.sh.inc"
story "many locks"
export PYTHONPATH=$LOAM_SOURCE/tests/stories PYTHONDONTWRITEBYTECODE=1
start_up
export PORT
for name in alice dave carol; do add_user $name; done
export TOKEN_alice TOKEN_dave TOKEN_carol
loam repo create team/model --owner alice >>"$DIR/commands.out" 2>&1
loam grant dave write team/model 2>>"$DIR/commands.out"
clone_as alice team/model "$DIR/home/alice/w"
as alice mkdir "$DIR/home/alice/w/d"
for i in $(seq 0 229); do echo "$i" | as alice tee "$DIR/home/alice/w/d/$i" >/dev/null; done
echo free | as alice tee "$DIR/home/alice/w/free" >/dev/null
as alice git -C "$DIR/home/alice/w" add -A
as alice git -C "$DIR/home/alice/w" commit -qm first
as alice git -C "$DIR/home/alice/w" push -q origin HEAD 2>>"$DIR/commands.out"
clone_as dave team/model "$DIR/home/dave/w"
in_dave() { as dave git -C "$DIR/home/dave/w" "$@"; }

step "230 files are locked; the client lists them all, page by page"
python3 - <<'PY' || fail "locking by HTTP"
import json, os
from doors import *

alice, carol = basic("alice", os.environ["TOKEN_alice"]), basic("carol", os.environ["TOKEN_carol"])
base = "/team/model.git/info/lfs/locks"


def ask(method, path, auth, body=None):
    head = {"Accept": LFS, "Content-Type": LFS, "Authorization": auth}
    return call(method, path, head, json.dumps(body).encode() if body is not None else None)


for i in range(230):
    check(201, ask("POST", base, alice, {"path": f"d/{i}"}).status, f"lock {i}")
got = ask("GET", base + "?limit=1000000000", alice).json()
check(100, len(got["locks"]), "a page")
check(True, bool(got["next_cursor"]), "a second page")
for method, path, body in (("GET", base, None), ("POST", base, {"path": "d/1"}), ("POST", base + "/verify", {}),
                           ("POST", base + "/" + got["locks"][0]["id"] + "/unlock", {"force": True})):
    there = ask(method, path, carol, body)
    nowhere = ask(method, path.replace("team/model", "team/absent"), carol, body)
    check(404, there.status, f"{method} {path} by a stranger")
    same = (there.json()["message"].replace("model", "absent") == nowhere.json()["message"].replace("model", "absent"))
    check((404, True), (nowhere.status, same), f"{method} {path}: hidden as if it were not there", there.body)
end()
PY
[ "$(in_dave lfs locks --limit=1000 | wc -l)" = 230 ] || fail "locks: $(in_dave lfs locks --limit=1000 | wc -l)"
[ "$(as alice git -C "$DIR/home/alice/w" lfs locks --verify | grep -c '^O ')" = 230 ] || fail "locks --verify"

step "each of them keeps others off, the first page's and the last's"
for i in 0 57 111 163 229; do
	echo changed | as dave tee "$DIR/home/dave/w/d/$i" >/dev/null
	in_dave commit -qam "changes $i"
	must_fail in_dave push --no-verify origin HEAD
	grep -q "^remote: loam: d/$i is locked by alice" "$DIR/refused.out" || fail "d/$i: $(cat "$DIR/refused.out")"
	in_dave reset -q --hard origin/main
done
in_dave rm -qr d
in_dave commit -qm "removes all of them"
must_fail in_dave push --no-verify origin HEAD
[ "$(grep -c 'is locked by alice' "$DIR/refused.out")" = 20 ] || fail "lines: $(grep -c 'is locked by alice' "$DIR/refused.out")"
grep -q 'changes 230 paths that others have locked' "$DIR/refused.out" || fail "how many: $(tail -3 "$DIR/refused.out")"
in_dave reset -q --hard origin/main
echo changed | as dave tee "$DIR/home/dave/w/free" >/dev/null
in_dave commit -qam "a free file"
in_dave push -q --no-verify origin HEAD 2>"$DIR/push.out" || fail "a free file: $(cat "$DIR/push.out")"
check_volume
