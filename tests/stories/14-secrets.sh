#!/bin/bash
# Passwords, tokens, link signatures and hook tickets stand in no log, no argument list, no error body, no
# environment but the hook's own, and no file that others may read.
. "$(dirname "$0")/lib.sh.inc"
story "secrets"
export LOAM_DEBUG=1
start_up
add_user alice
add_user bob
loam repo create alice/model --owner alice >>"$DIR/commands.out" 2>&1
canary=CANARY-$(head -c 9 /dev/urandom | base64 | tr '+/' ab)-secret
printf '%s\n' "$canary" | loam user password alice
echo "$canary
$TOKEN_alice
$TOKEN_bob" >"$DIR/canaries"
chmod 600 "$DIR/canaries"

# Argument lists and environments of all that the server starts, seen while the story runs.
(
	set +e
	while :; do
		serve=$(child_pid serve)
		for pid in "$UP_PID" $(pgrep -P "$UP_PID") $(pgrep -P "$serve"); do
			for child in "$pid" $(pgrep -P "$pid"); do
				tr '\0' '\n' <"/proc/$child/cmdline" 2>/dev/null | sed 's/^/argv /'
				tr '\0' '\n' <"/proc/$child/environ" 2>/dev/null | sed 's/^/env /'
			done
		done
		sleep 0.05
	done
) >"$DIR/processes" 2>/dev/null &
watcher=$!

step "every door is used, rightly and wrongly"
work=$DIR/home/alice/model
clone_as alice alice/model "$work"
cd "$work"
as alice git lfs track '*.bin' >>"$DIR/commands.out"
head -c 3000000 /dev/urandom | as alice tee w.bin >/dev/null
as alice git add .
as alice git commit -qm one
as alice git push -q origin main 2>"$DIR/push.out"
for i in $(seq 120); do echo "$i" | as alice tee "f$i" >/dev/null; done
as alice git add .
as alice git commit -qm two
as alice git push -q origin main 2>>"$DIR/push.out"
cd /
refs="$URL/alice/model.git/info/refs?service=git-upload-pack"
: >"$DIR/bodies"
wrong() { curl -s -i "$@" >>"$DIR/bodies" || true; }
# Not arguments of curl, which would be seen in its own list: configuration on stdin.
expect 200 "$(http_status -K - "$refs" <<<"user = \"alice:$canary\"")" "the password"
wrong -K - "$refs" <<<"user = \"bob:$canary\""
wrong -K - "$refs" <<<"user = \"alice:${canary}x\""
wrong -K - "$refs" <<<"user = \"$canary:x\""
wrong -K - <<<"url = \"$refs&token=$TOKEN_alice\""
wrong -K - <<<"url = \"$refs&access_token=$TOKEN_alice&password=$canary\""
wrong -K - <<<"url = \"$URL/alice:$TOKEN_alice@model.git/info/refs?service=git-upload-pack\""
wrong -K - <<<"url = \"http://127.0.0.1:$PORT/nowhere\"
header = \"Authorization: Bearer $TOKEN_alice\""
wrong -K - "$URL/alice/model.git/info/lfs/objects/batch" <<<"user = \"alice:$TOKEN_alice\"
data = \"{nonsense\"
header = \"Content-Type: application/vnd.git-lfs+json\""
wrong -K - "$refs" <<<"header = \"Authorization: Basic $canary\""
wrong -K - "$refs" <<<"header = \"Cookie: token=$TOKEN_alice\"
header = \"X: a$(printf '\001')b $canary\""
oid=$(sha256sum "$work/w.bin" | cut -d' ' -f1)
link=$(curl -s -K - -H 'Content-Type: application/vnd.git-lfs+json' "$URL/alice/model.git/info/lfs/objects/batch" <<<"user = \"alice:$TOKEN_alice\"
data = \"{\\\"operation\\\":\\\"download\\\",\\\"objects\\\":[{\\\"oid\\\":\\\"$oid\\\",\\\"size\\\":3000000}]}\"" |
	python3 -c 'import json, sys; print(json.load(sys.stdin)["objects"][0]["actions"]["download"]["href"])')
signature=${link##*sig=}
echo "$signature" >>"$DIR/canaries"
expect 200 "$(http_status "$link")" "a link"
wrong "${link%?}0"
wrong "${link/sig=/SIG=}"
wrong -T /dev/null "$link"
token=$(loam user token alice --label second 2>>"$DIR/commands.out")
echo "$token" >>"$DIR/canaries"
loam user token alice --list >"$DIR/list.out"
loam user token alice --list --json >>"$DIR/list.out"
loam user show alice --json >>"$DIR/list.out"
loam repo show alice/model >>"$DIR/list.out" 2>&1
must_fail loam user password alice <<<"short"
cat "$DIR/refused.out" >>"$DIR/list.out"
# A push that waits for its client: git stands there to be looked at, its hook's ticket with it.
echo "user = \"alice:$TOKEN_alice\"" >"$DIR/login"
chmod 600 "$DIR/login"
{ printf 00; sleep 2; } | curl -s -o /dev/null -X POST -T - -K "$DIR/login" -H 'Content-Type: application/x-git-receive-pack-request' \
	"$URL/alice/model.git/git-receive-pack" || true
kill $watcher
wait $watcher 2>/dev/null || true

step "none of it is to be found"
grep -q "^argv git" "$DIR/processes" && grep -q '^env LOAM_HOOK_TICKET=' "$DIR/processes" || fail "no git was seen at work"
while read -r secret; do
	for place in "$DIR/up.out" "$DIR/v/log" "$DIR/bodies" "$DIR/processes" "$DIR/list.out" "$DIR/push.out" "$DIR/v/redis" "$DIR/v/git" "$DIR/v/loam.conf"; do
		[ -e "$place" ] || continue
		found=$(grep -rlaF -- "$secret" "$place" || true)
		[ -z "$found" ] || fail "a secret (${secret:0:6}…) stands in $found: $(grep -raoE ".{60}$secret" "$place" | head -2)"
	done
	# A password in base64 is a password.
	found=$(grep -rlaF -- "$(printf 'alice:%s' "$secret" | base64 -w0)" "$DIR/up.out" "$DIR/v/log" "$DIR/bodies" "$DIR/processes" || true)
	[ -z "$found" ] || fail "a header stands in $found"
done <"$DIR/canaries"
grep '^argv ' "$DIR/processes" | says -E 'LOAM_HOOK_TICKET|sig=' && fail "a ticket or link in an argument list"
grep -qE '^env (LOAM_META|REDISCLI_AUTH|HTTP_AUTHORIZATION)=|^env .*redis\.sock' "$DIR/processes" && fail "a credential of the volume in an environment of git"
grep -q 'sig=REDACTED' "$DIR/up.out" || fail "links in the log are not marked"
grep -q 'token=REDACTED' "$DIR/up.out" || fail "tokens in the log are not marked"

step "files with secrets are their owner's alone"
for file in "$DIR/v/loam.conf" "$DIR/v/redis/redis.conf"; do
	case $(stat -c %a "$file") in
	600 | 400) ;;
	*) fail "$file has mode $(stat -c %a "$file")" ;;
	esac
done
for dir in redis blocks git cache log; do
	[ "$(stat -c %a "$DIR/v/$dir")" = 700 ] || fail "$dir has mode $(stat -c %a "$DIR/v/$dir")"
done
find "$MNT/.loam/etc" -type f \( -name 'shadow' -o -name 'tokens' -o -path '*/keys/*' \) -perm /077 -printf '%p %m\n' | grep . && fail "secrets on the volume others may read"
must_fail as bob cat "$MNT/.loam/etc/shadow"
must_fail as bob ls "$MNT/.loam/etc/keys"
must_fail as bob redis-cli -s "$DIR/v/redis.sock" ping
grep -q '^alice:\$y\$' "$MNT/.loam/etc/shadow" || fail "the password's hash is no yescrypt"
[ "$(grep -c . "$MNT/.loam/etc/tokens")" -ge 3 ] || fail "the tokens' file"
for pid in $(child_pid serve) $(child_pid mount) "$UP_PID"; do
	[ "$(awk '/^Max core file size/ { print $5 }' "/proc/$pid/limits")" = 0 ] || echo "note: process $pid may dump core"
done
check_volume
