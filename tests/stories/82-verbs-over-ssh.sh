#!/bin/bash
# The verbs of users over SSH: `ssh HOST loam repo create …` does what the same words do on the command
# line, as the key's account, and nothing that is not a user's.
. "$(dirname "$0")/ssh.sh.inc"
ssh_story "verbs over SSH"
start_up
add_ssh_user alice
add_ssh_user bob
loam group add team >>"$DIR/commands.out" 2>&1
loam group member add team alice --manager 2>>"$DIR/commands.out"

step "repositories, rights, keys, tokens"
[ "$(ssh_as alice loam whoami)" = alice ] || fail "whoami"
ssh_as alice loam repo create alice/model >"$DIR/out" 2>"$DIR/err" || fail "repo create: $(cat "$DIR/err")"
[ "$(cat "$DIR/out")" = "$URL/alice/model.git" ] || fail "stdout of repo create: $(cat "$DIR/out")"
grep -qF "$SSH_URL/alice/model.git" "$DIR/err" || fail "stderr of repo create: $(cat "$DIR/err")"
expect_ssh 1 "there is a repository" alice loam repo create alice/model
expect_ssh 1 "bob" alice loam repo create bob/model
expect_ssh 1 "no repository 'models/alice/model'" bob loam repo show alice/model
expect_ssh 1 "no repository 'models/alice/none'" bob loam repo show alice/none
expect_ssh 0 "bob has read on models/alice/model" alice loam grant bob read alice/model
for words in "repo show alice/model" "repo show alice/model --json" "repo list --json" "group show team --json" "user show alice" \
	"namespace show alice" "user key list alice" "user token alice --list --json"; do
	ssh_as alice loam $words >"$DIR/by-ssh" </dev/null || fail "loam $words"
	loam $words >"$DIR/by-admin"
	cmp -s "$DIR/by-ssh" "$DIR/by-admin" || fail "loam $words: $(diff "$DIR/by-ssh" "$DIR/by-admin")"
done
expect_ssh 0 "models/alice/model" bob loam repo list
expect_ssh 1 "bob may read" bob loam repo delete alice/model
expect_ssh 1 "bob may read" bob loam grant bob admin alice/model
expect_ssh 1 "" bob loam group member add team bob
expect_ssh 0 "bob is a member of team" alice loam group member add team bob
expect_ssh 1 "no user 'alice'" bob loam user token alice
expect_ssh 0 "$URL/bob/mine.git" bob loam repo fork alice/model bob/mine
expect_ssh 1 "" bob loam repo fork alice/none bob/other
token=$(ssh_as alice loam user token --scope read --label ssh 2>>"$DIR/commands.out")
expect 200 "$(http_status -H "Authorization: Bearer $token" "$URL/api/v1/repos/alice/model")" "a token made over SSH"
make_key alice second
id=$(ssh_as alice loam user key add alice - --label second <"$DIR/home/alice/.ssh/second.pub") || fail "key add"
use_key alice second
wait_until 5 ssh_as alice loam whoami || fail "the second key"
use_key alice id
[ "$(ssh_status alice loam user key del alice "$id")" = 0 ] || fail "key del: $(cat "$DIR/ssh.out")"

step "what is not a user's is not there; nothing of the server is read"
for words in "serve" "mount x y" "up" "format x y" "fsck" "status" "user add eve" "user list" "user disable bob" "user password bob" \
	"group add x" "group del team" "namespace create x" "hook install x" "shell --key x" "login http://127.0.0.1" "credential get"; do
	expect_ssh 2 "" alice loam $words
done
expect_ssh 2 "usage" alice loam
expect_ssh 2 "unknown option" alice loam repo list --no-such-option
expect_ssh 0 "usage: loam repo show" alice loam repo show --help
expect_ssh 1 "stdin" alice loam user key add alice /etc/hostname
for option in "--meta redis://127.0.0.1:1/0" "--server $URL"; do
	expect_ssh 1 "not for commands that are sent to a server" alice loam repo list $option
done
ssh_as alice loam user key add alice - <"$DIR/home/alice/.ssh/id" >"$DIR/out" 2>&1 && fail "a private key was taken"
grep -q "private key" "$DIR/out" || fail "a private key: $(cat "$DIR/out")"
head -c 1000000 /dev/zero | tr '\0' a >"$DIR/long"
ssh_as alice loam user key add alice - <"$DIR/long" >"$DIR/out" 2>&1 && fail "an endless key was taken"
ssh_as alice "loam repo show '$(printf 'a\033[31m/b')'" >"$DIR/out" 2>&1 </dev/null && fail "an escape is no name"
LC_ALL=C grep -q $'[\001-\010\013-\037\177-\377]' "$DIR/out" && fail "escapes are echoed: $(cat -v "$DIR/out")"

step "a token of git-lfs-authenticate is for LFS only"
lfs_token=$(ssh_as alice git-lfs-authenticate alice/model.git upload </dev/null |
	python3 -c 'import json, sys; print(json.load(sys.stdin)["header"]["Authorization"])') || fail "git-lfs-authenticate"
for path in user repos/alice/model repos users/alice/tokens; do
	status=$(http_status -H "Authorization: $lfs_token" "$URL/api/v1/$path")
	[ "$status" = 401 ] || [ "$status" = 403 ] || fail "an LFS token at /$path: $status $(cat "$DIR/http.out")"
done

step "a verb that waits for its stdin is done with the rights of when it comes"
loam namespace create club --owner team >>"$DIR/commands.out" 2>&1
loam repo create club/held --owner team >>"$DIR/commands.out" 2>&1
make_key bob held
mkfifo "$DIR/later"
chmod 666 "$DIR/later"
ssh_as bob loam repo key add club/held - --write <"$DIR/later" >"$DIR/held.out" 2>&1 &
held=$!
exec 8>"$DIR/later"
waits() { pgrep -f "^$DIR/v/ssh/loam shell" >/dev/null; }
wait_until 30 waits || fail "no session: $(cat "$DIR/held.out")"
loam group member del team bob 2>>"$DIR/commands.out"
sleep 2 # the bound of a revocation
cat "$DIR/home/bob/.ssh/held.pub" >&8
exec 8>&-
! wait $held || fail "who left the group gave its repository a key: $(cat "$DIR/held.out")"
grep -q "no repository" "$DIR/held.out" || fail "the refusal: $(cat "$DIR/held.out")"
ssh_as bob loam user key add bob - <"$DIR/later" >"$DIR/held.out" 2>&1 &
held=$!
exec 8>"$DIR/later"
wait_until 30 waits || fail "no session: $(cat "$DIR/held.out")"
loam user disable bob
wait_until 30 eval '! waits' || fail "the session of a disabled account waits on"
exec 8>&-
! wait $held || fail "a disabled account got a key: $(cat "$DIR/held.out")"
loam user enable bob

step "a deploy key has no verbs; a disabled account has none"
make_key bob deploy
loam repo key add alice/model "$DIR/home/bob/.ssh/deploy.pub" --write >>"$DIR/commands.out"
use_key bob deploy
wait_until 5 git_as bob ls-remote "$SSH_URL/alice/model.git" || fail "the deploy key"
expect_ssh 1 "a deploy key is for git only" bob loam repo show alice/model
expect_ssh 1 "a deploy key is for git only" bob loam user token alice
use_key bob id
loam user disable bob
wait_until 5 eval '! ssh_as bob loam whoami' || fail "a disabled account"
for canary in "$token" "$TOKEN_alice"; do
	grep -rqF -- "$canary" "$DIR/up.out" "$DIR"/v/log 2>/dev/null && fail "a secret is in a log"
done
check_volume
