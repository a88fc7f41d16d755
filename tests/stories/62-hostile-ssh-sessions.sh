#!/bin/bash
# What an SSH session may not do, and sessions that die: reliability.md ssh-1 to ssh-11 and F17.
. "$(dirname "$0")/ssh.sh.inc"
ssh_story "hostile SSH sessions"
start_up
add_ssh_user alice
add_ssh_user bob
loam repo create team/model --owner alice >/dev/null 2>&1
loam repo create team/admin --owner alice >/dev/null 2>&1
work=$DIR/home/alice/model
git_as alice clone -q "$SSH_URL/team/model.git" "$work" 2>>"$DIR/commands.out"
head -c 30000000 /dev/urandom | as alice tee "$work/big" >/dev/null
as alice git -C "$work" add .
as alice git -C "$work" commit -qm one
git_as alice -C "$work" push -q origin main 2>>"$DIR/commands.out"

step "ssh-1, ssh-2: options, quotes, long lines"
expect_ssh 1 "an option stands" alice "git-upload-pack '--help'"
expect_ssh 1 "an option stands" alice "git-upload-pack '-x'"
expect_ssh 1 "an option stands" alice "git-upload-pack '--upload-pack=touch $DIR/x'"
expect_ssh 1 "a quote is not closed" alice "git-upload-pack 'team/model"
expect_ssh 1 "more than" alice "$(head -c 65000 /dev/zero | tr '\0' a)"
expect_ssh 1 "more than" alice "git-upload-pack $(seq -s ' ' 2000)"
expect_ssh 1 "only a shell takes" alice "git-upload-pack team/model; touch $DIR/x"
expect_ssh 1 "only a shell takes" alice "git-upload-pack \$(touch $DIR/x)"
expect_ssh 127 "command not found: sh" alice "sh -c 'touch $DIR/x'"
[ ! -e "$DIR/x" ] || fail "something was run"

step "ssh-3: no shell, no copying, no terminal, no forwarding"
expect_ssh 1 "hello alice; there is no shell here" alice
expect_ssh 1 "not copied by scp" alice "scp -t x"
expect_ssh 1 "not copied by rsync" alice "rsync --server -vlogDtpre.iLsfxC . x"
expect_ssh 127 "command not found: bash" alice "bash"
[ "$(ssh_status alice -s sftp)" != 0 ] || fail "sftp"
[ "$(ssh_status alice -tt)" != 0 ] || fail "a terminal"
grep -q 'PTY allocation request failed' "$DIR/ssh.out" || fail "a terminal: $(cat "$DIR/ssh.out")"
[ "$(ssh_status alice -N -o ExitOnForwardFailure=yes -R "127.0.0.1:0:127.0.0.1:$PORT")" = 255 ] || fail "a forwarding back"
[ "$(ssh_status alice -W "127.0.0.1:$PORT")" != 0 ] || fail "a forwarding to"

step "ssh-4: no environment but the version of the protocol"
expect_ssh 0 "version 2" alice -o SetEnv=GIT_PROTOCOL=version=2 "git-upload-pack 'team/model'"
[ "$(ssh_status alice -o SetEnv=GIT_PROTOCOL=version=2:x=y "git-upload-pack 'team/model'")" != 255 ] || fail "no session"
! grep -a 'version 2' "$DIR/ssh.out" >/dev/null || fail "another version was passed on"
mkfifo "$DIR/hold"
chmod 666 "$DIR/hold"
hold() # NAME COMMAND: a session that stands still; its ssh in HELD, its git in GIT
{
	ssh_as "$1" -o SetEnv="LD_PRELOAD=/x.so GIT_DIR=/x GIT_CONFIG_COUNT=1 GIT_SSH_COMMAND=x PATH=/x" "$2" \
		<"$DIR/hold" >"$DIR/held.out" 2>&1 &
	HELD=$!
	exec 7>"$DIR/hold"
	find_git() { GIT=$(pgrep -P "$(child_pid serve)" git) && [ -n "$GIT" ]; }
	wait_until 30 find_git || fail "no session: $(cat "$DIR/held.out")"
}
let_go()
{
	exec 7>&-
	wait "$HELD" 2>/dev/null || true
}
hold alice "git-receive-pack 'team/model'"
tr '\0' '\n' <"/proc/$GIT/environ" >"$DIR/environ"
! grep -E '^(LD_PRELOAD|GIT_DIR|GIT_SSH_COMMAND|SSH_|LOAM_META|LOAM_CONFIG)|^PATH=/x' "$DIR/environ" ||
	fail "the environment of git: $(cat "$DIR/environ")"
[ "$(awk '/^Uid:/ { print $2 }' "/proc/$GIT/status")" != 0 ] || fail "git runs as root"
let_go
wait_until 30 no_sessions || fail "a session whose input ended is left"

step "ssh-6: the key that signs is who it is"
cp "$DIR/home/alice/.ssh/id.pub" "$DIR/home/bob/.ssh/stolen.pub"
chown --reference="$DIR/home/bob/.ssh/id" "$DIR/home/bob/.ssh/stolen.pub"
sed -i "s|^\(\s*\)IdentityFile.*|\1IdentityFile $DIR/home/bob/.ssh/stolen\n\1IdentityFile $DIR/home/bob/.ssh/id|" "$DIR/home/bob/.ssh/config"
expect_ssh 1 "hello bob" bob
use_key bob id
make_key bob unknown
use_key bob unknown
[ "$(ssh_status bob)" = 255 ] || fail "a key that nobody has"
use_key bob id

step "ssh-9: keys that are no plain, strong keys"
for bad in "command=\"x\" $(cat "$DIR/home/bob/.ssh/unknown.pub")" "ssh-dss AAAAB3NzaC1kc3MAAAAB" "ssh-ed25519 AAAA" \
	"$(cat "$DIR/home/bob/.ssh/unknown.pub")"$'\nssh-ed25519 AAAA'; do
	must_fail loam user key add bob - <<<"$bad"
done
must_fail loam user key add bob "$DIR/home/bob/.ssh/unknown"
grep -q 'private key' "$DIR/refused.out" || fail "a private key: $(cat "$DIR/refused.out")"
ssh-keygen -q -t rsa -b 1024 -N '' -f "$DIR/weak"
must_fail loam user key add bob "$DIR/weak.pub"

step "ssh-10, ssh-11: names are names; what is echoed moves no cursor"
expect_ssh 127 "command not found: admin" alice "admin"
expect_ssh 1 "no such repository" alice "git-upload-pack 'admin'"
expect_ssh 127 "command not found: " alice "'$(printf 'x\033[2J\342\200\256y')'"
! grep -P '\x1b|\xe2\x80\xae' "$DIR/ssh.out" || fail "escapes are echoed"

step "ssh.sock: strangers may not ask, the account of keys may only ask for keys"
key=$(cat "$DIR/home/alice/.ssh/id.id")
nobody() { setpriv --reuid "$1" --regid "$1" --clear-groups -- env SSH_ORIGINAL_COMMAND="git-upload-pack 'team/model'" "$DIR/v/ssh/loam" "${@:2}"; }
read -r type base64 _ <"$DIR/home/alice/.ssh/id.pub"
must_fail nobody "$UID_bob" shell --socket "$DIR/v/ssh.sock" --key "$key"
must_fail nobody "$UID_bob" ssh-keys --socket "$DIR/v/ssh.sock" loam "$type" "$base64"
must_fail nobody 65534 shell --socket "$DIR/v/ssh.sock" --key "$key"
grep -q 'only asks for keys' "$DIR/refused.out" || fail "$(cat "$DIR/refused.out")"
nobody 65534 ssh-keys --socket "$DIR/v/ssh.sock" loam "$type" "$base64" >"$DIR/line"
grep -q "^restrict,command=\".*loam shell --socket .* --key $key\" $type " "$DIR/line" || fail "the line for sshd: $(cat "$DIR/line")"
printf 'x\n{}\n{"op":"shell","key":"%s"}\n' "$key" | while read -r line; do
	echo "$line" | timeout 20 nc -NU "$DIR/v/ssh.sock" | grep '"error"' >/dev/null || exit 1
done || fail "a message without descriptors is not refused"

step "ssh-8, F17: sessions that die leave nothing"
(printf 0000 | ssh_as alice "git-receive-pack 'team/model'") >"$DIR/ssh.out" 2>&1 || fail "an empty push: $(cat "$DIR/ssh.out")"
(head -c 300000 /dev/urandom | ssh_as alice "git-receive-pack 'team/model'") >"$DIR/ssh.out" 2>&1 && fail "garbage is a push"
hold alice "git-receive-pack 'team/model'" # the client is killed
pkill -KILL -P "$HELD" ssh || kill -KILL "$HELD"
wait_until 60 no_sessions || fail "the session of a killed client is left"
let_go
hold alice "git-receive-pack 'team/model'" # the forced command is killed
pkill -KILL -f "^$DIR/v/ssh/loam shell"
wait_until 60 no_sessions || fail "git is left by its session"
let_go
hold alice "git-receive-pack 'team/model'" # the right goes while it runs
loam user key del alice "$key"
wait_until 60 no_sessions || fail "a session outlives its key"
let_go
loam user key add alice "$DIR/home/alice/.ssh/id.pub" >"$DIR/home/alice/.ssh/id.id"
wait_until 20 git_as alice ls-remote "$SSH_URL/team/model.git" || fail "the key that was added again"
hold alice "git-receive-pack 'team/model'" # a client that neither reads nor sends
SSH=$(pgrep -P "$HELD" ssh) || fail "no ssh to stop"
kill -STOP "$SSH"
wait_until 120 no_sessions || fail "a client that does not read holds its session"
kill -KILL "$SSH"
let_go

step "F17: without an answer about keys nobody comes in; afterwards all is as before"
serve=$(child_pid serve)
kill -STOP "$serve"
[ "$(ssh_status alice)" = 255 ] || fail "a login that nobody has proven"
kill -CONT "$serve"
wait_until 60 git_as alice ls-remote "$SSH_URL/team/model.git" || fail "after serve went on"
kill -KILL "$serve"
wait_until 60 git_as alice ls-remote "$SSH_URL/team/model.git" || fail "after serve died"
echo two | as alice tee "$work/two" >/dev/null
as alice git -C "$work" add .
as alice git -C "$work" commit -qm two
git_as alice -C "$work" push -q origin main 2>>"$DIR/commands.out"
same_as_checkout "$work" "$MNT/models/team/model"
check_volume
