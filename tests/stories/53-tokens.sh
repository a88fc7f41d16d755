#!/bin/bash
# Tokens as they are typed: scopes, one repository, an end, a label; the list with the last use; revoked at once.
. "$(dirname "$0")/lib.sh.inc"
story "tokens"
start_up
add_user alice
for name in one two; do loam repo create alice/$name >/dev/null 2>&1; done
new() { loam user token alice "$@" 2>"$DIR/said" || fail "user token $*: $(cat "$DIR/said")"; }
# opens TOKEN REPO SERVICE: the status
opens() { http_status -u "alice:$1" "$URL/$2.git/info/refs?service=git-$3"; }

step "scopes and one repository"
read=$(new --scope read --label laptop)
write=$(new)
admin=$(new --scope admin --days 0)
one=$(new --repo alice/one --days 1)
for token in "$read" "$write" "$admin" "$one"; do
	[[ $token =~ ^hf_[0-9A-Za-z]{49}$ ]] || fail "a token: $token"
	expect 200 "$(opens "$token" alice/one upload-pack)" "reading"
done
expect 403 "$(opens "$read" alice/one receive-pack)" "a push with scope read"
for token in "$write" "$admin" "$one"; do expect 200 "$(opens "$token" alice/one receive-pack)" "a push"; done
expect 404 "$(opens "$one" alice/two upload-pack)" "another repository"
http_get=(curl -s -u "alice:$read" "$URL/alice/one.git/info/refs?service=git-receive-pack")
"${http_get[@]}" | says "this token has not the scope 'write'" || fail "why a push with scope read is refused: $("${http_get[@]}")"
must_fail loam user token alice --scope root
must_fail loam user token alice --days 36501
must_fail loam user token alice --label 'a:b'
must_fail loam user token nobodyknows
must_fail loam user token alice --repo 'not a repository'

step "the list, with the last use"
for i in $(seq 100); do
	loam user token alice --list --json >"$DIR/list.json"
	python3 - "$DIR/list.json" <<'PY' 2>"$DIR/list.err" && break
import json, sys, time
rows = json.load(open(sys.argv[1]))
assert len(rows) == 5, rows  # add_user made one
shown = {r["label"] or r["repo"] or ("forever" if not r["expires"] else "other" + r["id"]): r for r in rows}
assert shown["laptop"]["scope"] == "read" and shown["forever"]["scope"] == "admin", rows
assert shown["models/alice/one"]["expires"] - shown["models/alice/one"]["created"] == 86400, rows
assert sum(r["used"] > time.time() - 3600 for r in rows) == 4, rows
assert all(set(r) == {"id", "scope", "created", "expires", "used", "repo", "label", "maker"} for r in rows), rows
PY
	sleep 0.1
done
[ ! -s "$DIR/list.err" ] || fail "$(cat "$DIR/list.err")"
loam user token alice --list | says -E 'read .*laptop' || fail "the table: $(loam user token alice --list)"
! loam user token alice --list | says hf_ || fail "the list shows a secret"

step "revoked at once"
id=$(python3 -c 'import json, sys; print([r["id"] for r in json.load(open(sys.argv[1])) if r["label"] == "laptop"][0])' "$DIR/list.json")
loam user token alice --revoke "$id"
for i in $(seq 50); do
	status=$(opens "$read" alice/one upload-pack)
	[ "$status" = 401 ] && break
	sleep 0.1
done
expect 401 "$status" "a revoked token"
expect 200 "$(opens "$write" alice/one upload-pack)" "the others"
must_fail loam user token alice --revoke "$id"
check_volume
