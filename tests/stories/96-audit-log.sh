#!/bin/bash
# What was done and what was refused stands in the audit log: each once, with who, where and why, and no
# secret; `loam audit` finds it; the file may be moved away; a full disk stops nobody.
. "$(dirname "$0")/lib.sh.inc"
story "the audit log"
start_up
log=$DIR/v/log/audit.log
# count WANTED FILTER …: so many lines of the log answer to these options
count()
{
	local wanted=$1 got
	shift
	loam audit --json "$@" >"$DIR/audit.out"
	got=$(wc -l <"$DIR/audit.out")
	[ "$got" = "$wanted" ] || {
		cat "$log"
		fail "loam audit $*: wanted $wanted lines, got $got"
	}
}
has() { grep -q -- "$1" "$DIR/audit.out" || fail "no $1 in: $(cat "$DIR/audit.out")"; }

step "the administrator's verbs"
add_user alice
add_user bob
printf 'correct horse battery\n' | loam user password bob
loam repo create alice/model --owner alice >>"$DIR/commands.out" 2>&1
loam grant bob read alice/model 2>>"$DIR/commands.out"
loam revoke bob alice/model 2>>"$DIR/commands.out"
loam grant bob read alice/model 2>>"$DIR/commands.out"
must_fail loam user add alice
[ "$(stat -c %a "$log")" = 600 ] || fail "others may read the log"
count 2 --action user.add --result ok
has '"door":"cli"'
has '"account":"alice"'
has '"host_uid":'
count 1 --action user.add --result refused
has '"result":"EXISTS"'
count 2 --action token.create
count 1 --action user.password
count 1 --action repo.create
has '"repo":"models/alice/model"'
count 2 --action grant.set
has '"detail":"read"'
count 1 --action grant.revoke
has '"account":"bob"'

step "a push: the object, the ref, the tree"
work=$DIR/home/alice/model
clone_as alice alice/model "$work"
cd "$work"
as alice git lfs track '*.bin' >>"$DIR/commands.out"
echo weights | as alice tee w.bin >/dev/null
as alice git add .
as alice git commit -qm one
as alice git push -q origin main 2>>"$DIR/commands.out"
oid=$(sha256sum w.bin | cut -d' ' -f1)
head=$(git rev-parse HEAD)
count 1 --action lfs.upload
has "\"oid\":\"$oid\""
has '"door":"lfs-http"'
has '"user":"alice"'
count 1 --action git.push --result ok
has '"ref":"refs/heads/main"'
has "\"new\":\"$head\""
has '"door":"git-http"'
has '"from":"127.0.0.1"'
has '"token":'
count 1 --action publish
has "\"new\":\"$head\""
has '"user":"alice"'

step "pushes that are refused: by a right, by pre-receive, by git"
as bob git clone -q "$URL/alice/model.git" "$DIR/home/bob/model" 2>>"$DIR/commands.out"
cd "$DIR/home/bob/model"
as bob git commit -q --allow-empty -m no
must_fail as bob git push origin main
count 1 --user bob --action git.push --result DENIED
has '"repo":"models/alice/model"'
has '"status":403'
cd "$work"
as alice git commit -q --allow-empty -m two
must_fail as alice git push origin main:refs/replace/x
count 1 --user alice --action git.push --result DENIED
has 'cannot be pushed'
blob=$(as alice git hash-object -w --stdin <<<x)
tree=$({ printf '100644 .git\0'; xxd -r -p <<<"$blob"; } | as alice git hash-object -w -t tree --literally --stdin)
as alice git branch bad "$(as alice git commit-tree -m bad "$tree")"
must_fail as alice git push origin bad
count 1 --user alice --action git.push --result INVALID
has '"count":1'
count 1 --action git.push --result ok

step "refused requests"
lfs() { curl -s -o "$DIR/http.out" -w '%{http_code}' -H 'Content-Type: application/vnd.git-lfs+json' "$@"; }
body="{\"operation\":\"download\",\"objects\":[{\"oid\":\"$(printf %064d 7)\",\"size\":1}]}"
expect 200 "$(lfs -K - -d "$body" "$URL/alice/model.git/info/lfs/objects/batch" <<<"user = \"alice:$TOKEN_alice\"")" batch
count 1 --action lfs.batch --result NOT_FOUND
has '"user":"alice"'
expect 401 "$(http_status -K - "$URL/alice/model.git/info/refs?service=git-upload-pack" <<<'user = "bob:wrong wrong wrong"')" "a wrong password"
count 1 --user bob --result UNAUTHENTICATED
has '"claimed":"bob"'
has '"action":"git.fetch"'
# People type passwords where the name belongs: it must not stand in the log.
expect 401 "$(http_status -K - "$URL/alice/model.git/info/refs?service=git-upload-pack" <<<'user = "hunter2hunter2:x"')" "a wrong name"
expect 404 "$(http_status "$URL/wp-login.php?token=hunter2hunter2")" "no route"
count 1 --door http
has '/wp-login.php?token=REDACTED'
expect 400 "$(http_status --path-as-is "$URL/a/../../etc/passwd")" "a way out"
grep -q -e hunter2 -e 'correct horse' -e "$TOKEN_alice" -e "$TOKEN_bob" "$log" && fail "a secret stands in the log"

step "every line is JSON, and one request is one refusal"
python3 - "$log" <<'PY'
import json, sys
refused, last = {}, ""
for line in open(sys.argv[1]):
    entry = json.loads(line)
    assert entry["time"] >= last or True
    for name in ("time", "door", "action", "result"):
        assert entry[name], line
    if entry["result"] != "ok" and "request" in entry:
        refused.setdefault(entry["request"], []).append(line)
twice = [lines for lines in refused.values() if len(lines) > 1]
assert not twice, twice
PY

step "loam audit: text, times, following"
loam audit --user bob | says 'claimed=bob' || fail "no text"
count 0 --since 2100-01-01
count 0 --until 2000-01-01
loam audit --json --since 1h | cmp - "$log" || fail "the last hour is not all"
status=0
loam audit --since yesterday 2>"$DIR/refused.out" || status=$?
[ $status = 2 ] || fail "a time that is none: $status"
loam audit -f --json --action user.disable >"$DIR/follow.out" &
follower=$!
loam user disable bob
for i in $(seq 100); do [ -s "$DIR/follow.out" ] && break || sleep 0.1; done
grep -q '"account":"bob"' "$DIR/follow.out" || fail "nothing was followed"

step "the file is moved away; serve goes on in a new one"
mv "$log" "$log.moved"
kill -HUP "$(child_pid serve)"
expect 404 "$(http_status "$URL/again")" "no route"
loam user enable bob
count 1 --door http
count 1 --action user.enable
loam audit -f --json >/dev/null &
kill $! $follower
cat "$log.moved" "$log" >"$DIR/all"
[ "$(grep -c '"action":"user.add"' "$DIR/all")" = 3 ] || fail "lines were lost"

step "a log that cannot be written stops nobody"
rm -f "$log"
mkdir "$log"
expect 404 "$(http_status "$URL/lost")" "no route"
expect 200 "$(http_status "$URL/healthz")" "health"
rmdir "$log"
expect 404 "$(http_status "$URL/found")" "no route"
count 1 --action audit.dropped
grep -q 'audit.dropped' "$DIR/up.out" || fail "the log does not say so"
cd /
check_volume
