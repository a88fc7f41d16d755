#!/bin/bash
# The command line: help for each verb, exit status 0, 1 and 2, names and numbers taken literally or refused,
# JSON that parses, results alone on stdout, a configuration refused with file and key.
. "$(dirname "$0")/lib.sh.inc"
story "the command line"
start_up

step "each verb tells what it does, and refuses what it does not know"
loam --help >"$DIR/help"
loam --version >"$DIR/version" 2>&1 && grep -qE '[0-9]+\.[0-9]+' "$DIR/version" || fail "loam --version: $(cat "$DIR/version")"
sed -n 's/^  \([a-z].*[a-z]\)  *[^ ].*$/\1/p' "$DIR/help" >/dev/null
awk '/^  [a-z]/ { verb = $1; rest = substr($0, 3, 30); sub(/  .*/, "", rest); print rest }' "$DIR/help" >"$DIR/verbs"
[ "$(wc -l <"$DIR/verbs")" -ge 20 ] || fail "verbs: $(cat "$DIR/verbs")"
status_of() { # COMMAND …: its status in STATUS, its output in $DIR/out and $DIR/err
	STATUS=0
	timeout 30 "$@" >"$DIR/out" 2>"$DIR/err" </dev/null || STATUS=$?
}
while read -r verb; do
	status_of loam $verb --help
	[ "$STATUS" = 0 ] && [ -s "$DIR/out" ] && [ ! -s "$DIR/err" ] || fail "loam $verb --help: $STATUS"
	grep -q "usage: loam $verb" "$DIR/out" || fail "loam $verb --help has no usage: $(cat "$DIR/out")"
	status_of loam $verb --no-such-option
	[ "$STATUS" = 2 ] && [ ! -s "$DIR/out" ] && grep -q 'no-such-option' "$DIR/err" || fail "loam $verb --no-such-option: $STATUS $(cat "$DIR/out" "$DIR/err")"
done <"$DIR/verbs"
for words in "nonsense" "" "user" "user nonsense" "repo" "hook" "--nonsense" "user add" "user add a b" "repo create" "grant alice read" \
	"grant alice write team/x extra" "clone onlyone" "user token" "user show"; do
	status_of loam $words
	[ "$STATUS" = 2 ] && [ ! -s "$DIR/out" ] && [ -s "$DIR/err" ] || fail "loam $words: $STATUS $(cat "$DIR/out" "$DIR/err")"
done

step "results alone on stdout"
status_of loam user add alice
[ "$STATUS" = 0 ] && grep -qxE '[0-9]+' "$DIR/out" && [ "$(wc -l <"$DIR/out")" = 1 ] || fail "user add: $(cat "$DIR/out")"
loam user add bob >"$DIR/commands.out" 2>&1
status_of loam user token alice
[ "$STATUS" = 0 ] && grep -qxE 'hf_[A-Za-z0-9]{49}' "$DIR/out" && [ "$(wc -l <"$DIR/out")" = 1 ] || fail "user token: $(cat "$DIR/out")"
status_of loam repo create team/model --owner alice
[ "$STATUS" = 0 ] && [ "$(cat "$DIR/out")" = "$URL/team/model.git" ] || fail "repo create: $(cat "$DIR/out")"
for words in "user disable alice" "user enable alice" "grant bob admin team/model" "revoke bob team/model" \
	"repo visibility team/model public" "repo visibility team/model private"; do
	status_of loam $words
	[ "$STATUS" = 0 ] && [ ! -s "$DIR/out" ] || fail "loam $words: $STATUS $(cat "$DIR/out" "$DIR/err")"
done
for words in "user show alice" "user list" "user token alice --list" "repo list" "repo show team/model" "status"; do
	status_of loam $words --json
	[ "$STATUS" = 0 ] && python3 -c 'import json, sys; json.load(sys.stdin)' <"$DIR/out" || fail "loam $words --json: $STATUS $(cat "$DIR/out" "$DIR/err")"
	status_of loam $words
	[ "$STATUS" = 0 ] && [ -s "$DIR/out" ] || fail "loam $words: $STATUS"
done
loam user show alice --json | python3 -c 'import json, sys
u = json.load(sys.stdin)
assert u["name"] == "alice" and u["uid"] >= 20001 and u["home"] == "/users/alice" and u["disabled"] is False, u'

step "what does not exist, or does already, is 1 with one line"
for words in "user add alice" "user show nobody" "user token nobody" "user disable nobody" "user del nobody" "user token alice --revoke nothing" \
	"repo create team/model" "repo create TEAM/Model" "repo show team/none" "repo delete team/none" "repo visibility team/none public" \
	"repo default-branch team/none main" "grant nobody read team/model" "grant alice read team/none" "revoke nobody team/model" \
	"repo create nobodys/model" "hook install $DIR/none.git --repo team/model" "clone $MNT/none $MNT/x" "clone /etc/passwd $DIR/x"; do
	status_of loam $words
	[ "$STATUS" = 1 ] && [ ! -s "$DIR/out" ] && [ "$(wc -l <"$DIR/err")" = 1 ] || fail "loam $words: $STATUS $(cat "$DIR/out" "$DIR/err")"
	grep -q '^loam[a-z -]*: ' "$DIR/err" || fail "loam $words: $(cat "$DIR/err")"
done

step "names: literal, or refused; nothing done"
before=$(loam user list --json; loam repo list --json)
long=$(printf 'a%.0s' {1..256})
for name in "" . .. -x --json "a b" "a/b" "a:b" "../../x" "Alice" ALICE "$long" $'two\nlines' $'esc\033[31m' "ünï" root loam api login datasets $'zero\xe2\x80\x8bwidth' "a,b" '$(id)' '*'; do
	for words in add token show disable password; do
		status_of loam user $words -- "$name"
		[ "$STATUS" = 1 ] || [ "$STATUS" = 2 ] || fail "loam user $words -- '$name': $STATUS"
		[ ! -s "$DIR/out" ] || fail "loam user $words -- '$name' printed $(cat "$DIR/out")"
		LC_ALL=C grep -q $'[\001-\010\013-\037]' "$DIR/err" && fail "loam user $words -- '$name': control bytes in $(cat -v "$DIR/err")"
	done
done
for repo in "" / a a/ /a a/b/c/d ./b a/.. ../x "-a/b" "a/-b" "a/b.git.git" "a/b." "a..b/c" "a--b/c" "a/b c" "a/$long" api/x datasets/x/y/z models/x spaces/x/y users/x \
	healthz/x _lfs/x $'a/two\nlines' "a/b%2f" 'a/b\c' "a/ünï"; do
	status_of loam repo create --owner alice -- "$repo"
	[ "$STATUS" = 1 ] || [ "$STATUS" = 2 ] || fail "loam repo create '$repo': $STATUS $(cat "$DIR/out")"
	[ ! -s "$DIR/out" ] || fail "loam repo create '$repo' printed $(cat "$DIR/out")"
done
status_of loam user add -x
[ "$STATUS" = 2 ] || fail "loam user add -x: $STATUS"
[ "$before" = "$(loam user list --json; loam repo list --json)" ] || fail "something was made"

step "numbers are whole, within their bounds, or 2"
for number in 1e9 -1 5G5 18446744073709551616 "" " 5" 0x10 5.0 99999999999 +5; do
	for words in "user token alice --days" "user add carl --uid"; do
		status_of loam $words "$number"
		[ "$STATUS" = 2 ] && [ ! -s "$DIR/out" ] || fail "loam $words '$number': $STATUS $(cat "$DIR/out" "$DIR/err")"
	done
done
status_of loam user token alice --days 1 --scope everything
[ "$STATUS" != 0 ] && [ ! -s "$DIR/out" ] || fail "an unknown scope: $STATUS"
status_of loam grant alice everything team/model
[ "$STATUS" = 2 ] || fail "an unknown right: $STATUS"
status_of loam user add carl --uid 0
[ "$STATUS" = 2 ] || [ "$STATUS" = 1 ] || fail "uid 0: $STATUS"
status_of loam user add carl --uid 20000
[ "$STATUS" = 1 ] || [ "$STATUS" = 2 ] || fail "the service's own uid: $STATUS $(cat "$DIR/out")"
[ "$before" = "$(loam user list --json; loam repo list --json)" ] || fail "something was made"
for try in short "" "$(printf 'a%.0s' {1..1100})"; do
	STATUS=0
	printf '%s\n' "$try" | loam user password alice >"$DIR/out" 2>"$DIR/err" || STATUS=$?
	[ "$STATUS" = 1 ] || fail "a password of ${#try} bytes: $STATUS"
done

step "a configuration that is wrong is refused, with its file and key"
conf=$DIR/bad.conf
refuses() # WHAT PATTERN, the file on stdin
{
	cat >"$conf"
	chmod 600 "$conf"
	LOAM_CONFIG=$conf status_of loam user list
	[ "$STATUS" = 1 ] || [ "$STATUS" = 2 ] || fail "configuration: $1: $STATUS $(cat "$DIR/out")"
	grep -q "bad.conf" "$DIR/err" || fail "configuration: $1: no file in $(cat "$DIR/err")"
	grep -qiE -- "$2" "$DIR/err" || fail "configuration: $1: no key in $(cat "$DIR/err")"
}
url="url = unix://$DIR/v/redis.sock?db=0"
refuses "an unknown key" 'meta.urll' <<<"[meta]
	urll = x"
refuses "an unknown section" 'metta.url' <<<"[metta]
	$url"
refuses "a key twice" 'meta.url' <<<"[meta]
	$url
	$url"
refuses "a number out of bounds" 'server.workers' <<<"[server]
	workers = 0"
refuses "a number that is none" 'cache.sizeMiB' <<<"[cache]
	sizeMiB = many"
refuses "a flag that is none" 'server.plainHttp' <<<"[server]
	plainHttp = perhaps"
refuses "an include" 'include' <<<"[include]
	path = bad.conf"
refuses "no syntax" 'bad.conf' <<<"hello = [x"
printf '[meta]\n\turl = "unix:///x\0y"\n' | refuses "a NUL" 'NUL|zero|byte'
{ echo "[meta]"; head -c 11000000 /dev/zero | tr '\0' '#'; } | refuses "11 MiB" 'large|over|MiB|bytes'
printf '[meta]\n\turl = redis://:secret@127.0.0.1:1/0\n' >"$conf"
chmod 644 "$conf"
LOAM_CONFIG=$conf status_of loam user list
[ "$STATUS" != 0 ] && grep -q 'bad.conf' "$DIR/err" || fail "a secret that others may read: $STATUS $(cat "$DIR/err")"
grep -q secret "$DIR/err" && fail "the secret is printed: $(cat "$DIR/err")"
LOAM_CONFIG=$DIR/absent.conf status_of loam user list
[ "$STATUS" != 0 ] && grep -q 'absent.conf' "$DIR/err" || fail "a configuration that is not there: $(cat "$DIR/err")"
LOAM_CONFIG=$conf status_of loam clone "$MNT/models/team/model" "$MNT/users/x"
grep -q 'bad.conf' "$DIR/err" && fail "clone reads the configuration"
for meta in "" redis:// "redis://127.0.0.1:1/0" "unix:///nowhere?db=0" "mysql://x/y" "redis://127.0.0.1:99999/0" "unix://$DIR/v/redis.sock?db=9" "notaurl"; do
	status_of loam user list --meta "$meta"
	[ "$STATUS" = 1 ] || [ "$STATUS" = 2 ] || fail "--meta '$meta': $STATUS"
	[ "$(wc -l <"$DIR/err")" -le 2 ] && [ ! -s "$DIR/out" ] || fail "--meta '$meta': $(cat "$DIR/err")"
done

step "output that cannot be written is a failure"
STATUS=0
loam user list >/dev/full 2>"$DIR/err" || STATUS=$?
[ "$STATUS" = 1 ] || fail "to a full disk: $STATUS"
STATUS=0
loam --help >/dev/full 2>"$DIR/err" || STATUS=$?
[ "$STATUS" = 1 ] || fail "help to a full disk: $STATUS"
before=$(loam user token alice --list --json)
STATUS=0
loam user token alice >/dev/full 2>"$DIR/err" || STATUS=$?
[ "$STATUS" = 1 ] || fail "a token to a full disk: $STATUS"
check_volume
