#!/bin/bash
# Git over SSH with stock git and OpenSSH: clone, push, fetch, archive; what a push publishes; keys that
# are taken away; deploy keys.
. "$(dirname "$0")/ssh.sh.inc"
ssh_story "git over SSH"
start_up
add_ssh_user alice
add_ssh_user bob
loam repo create team/model --owner alice >"$DIR/url" 2>"$DIR/said"
grep -qx "$URL/team/model.git" "$DIR/url" || fail "stdout has more than the URL: $(cat "$DIR/url")"
grep -qF "$SSH_URL/team/model.git" "$DIR/said" || fail "the URL over SSH is not told: $(cat "$DIR/said")"
grep -qF "$SSH_URL" "$DIR/up.out" || fail "loam up does not name its SSH door"
work=$DIR/home/alice/model
tree=$MNT/models/team/model

step "clone, push, and it stands on the mount"
git_as alice clone -q "$SSH_URL/team/model.git" "$work" 2>>"$DIR/commands.out"
for i in $(seq 50); do echo "file $i" | as alice tee "$work/f$i" >/dev/null; done
as alice git -C "$work" add .
as alice git -C "$work" commit -qm one
git_as alice -C "$work" push origin main 2>"$DIR/push.out"
grep -q 'loam: models/team/model@.* is on the mount: 50 files' "$DIR/push.out" || fail "the pusher is not told: $(cat "$DIR/push.out")"
same_as_checkout "$work" "$tree"

step "fetch in each version of the protocol, and an archive"
loam grant bob read team/model
for version in 0 1 2; do
	git_as bob -c protocol.version=$version clone -q "$SSH_URL/models/team/model" "$DIR/home/bob/v$version" 2>>"$DIR/commands.out"
	same_as_checkout "$DIR/home/bob/v$version" "$tree"
done
GIT_TRACE_PACKET=1 git_as bob -c protocol.version=2 ls-remote "$SSH_URL/team/model.git" >"$DIR/trace.out" 2>&1
grep -q 'version 2' "$DIR/trace.out" || fail "version 2 is not spoken"
git_as bob archive --remote="$SSH_URL/team/model.git" main >"$DIR/archive.tar" 2>>"$DIR/commands.out"
[ "$(tar -tf "$DIR/archive.tar" | wc -l)" = 50 ] || fail "the archive"

step "rights are those of the gate"
must_fail git_as bob -C "$DIR/home/bob/v2" push -q origin HEAD:refs/heads/x
grep -q "bob may read 'models/team/model' but not change it" "$DIR/refused.out" || fail "no reason: $(cat "$DIR/refused.out")"
loam grant bob write team/model
git_as bob -C "$DIR/home/bob/v2" push -q origin HEAD:refs/heads/x 2>>"$DIR/commands.out"
loam revoke bob team/model
must_fail git_as bob ls-remote "$SSH_URL/team/model.git"
cp "$DIR/refused.out" "$DIR/forbidden.out"
must_fail git_as bob ls-remote "$SSH_URL/team/nothing.git"
sed s/nothing/model/ "$DIR/refused.out" | cmp - "$DIR/forbidden.out" || fail "unknown and forbidden differ"

step "hooks decide over SSH too"
printf 'version https://git-lfs.github.com/spec/v1\noid sha256:%064d\nsize 5\n' 1 | as alice tee "$work/missing.bin" >/dev/null
as alice git -C "$work" add .
as alice git -C "$work" commit -qm two
must_fail git_as alice -C "$work" push -q origin main
grep -q 'missing.bin' "$DIR/refused.out" || fail "the push of a missing object: $(cat "$DIR/refused.out")"
as alice git -C "$work" reset -q --hard HEAD~1

step "a pusher's log names him"
echo more | as alice tee "$work/f1" >/dev/null
as alice git -C "$work" commit -qam three
git_as alice -C "$work" push -q origin main 2>>"$DIR/commands.out"
same_as_checkout "$work" "$tree"

step "a key that is taken away opens nothing within two seconds"
[ "$(ssh_status alice git-upload-pack "'team/model'" </dev/null)" != 255 ] || fail "alice's key"
loam user key del alice "$(cat "$DIR/home/alice/.ssh/id.id")"
sleep 2 # within which it binds
must_fail git_as alice ls-remote "$SSH_URL/team/model.git"
[ "$(ssh_status alice git-upload-pack "'team/model'")" = 255 ] || fail "sshd takes the key"
loam user key add alice "$DIR/home/alice/.ssh/id.pub" --label again >"$DIR/home/alice/.ssh/id.id"
loam user key list alice | grep 'SHA256:.*again' >/dev/null || fail "the list of keys"
wait_until 5 git_as alice ls-remote "$SSH_URL/team/model.git" || fail "the key that was added again"
must_fail loam user key add bob "$DIR/home/alice/.ssh/id.pub"
loam user disable alice
sleep 2 # within which it binds
must_fail git_as alice ls-remote "$SSH_URL/team/model.git"
loam user enable alice
wait_until 5 git_as alice ls-remote "$SSH_URL/team/model.git" || fail "an enabled account"

step "deploy keys: one repository, nobody's"
loam repo create team/other --owner alice 2>/dev/null >/dev/null
loam repo visibility team/other public
make_key bob deploy
make_key bob writer
reader=$(loam repo key add team/model "$DIR/home/bob/.ssh/deploy.pub" --label ci)
use_key bob deploy
wait_until 5 git_as bob ls-remote "$SSH_URL/team/model.git" || fail "a deploy key reads"
git_as bob clone -q "$SSH_URL/team/model.git" "$DIR/home/bob/deployed" 2>>"$DIR/commands.out"
same_as_checkout "$DIR/home/bob/deployed" "$tree"
must_fail git_as bob ls-remote "$SSH_URL/team/other.git"
must_fail git_as bob -C "$DIR/home/bob/deployed" push -q origin HEAD:refs/heads/d
grep -q "$reader may read" "$DIR/refused.out" || fail "not named: $(cat "$DIR/refused.out")"
writer=$(loam repo key add team/model "$DIR/home/bob/.ssh/writer.pub" --write)
use_key bob writer
wait_until 5 git_as bob ls-remote "$SSH_URL/team/model.git" || fail "a writing deploy key"
echo by ci | as bob tee "$DIR/home/bob/deployed/ci" >/dev/null
as bob git -C "$DIR/home/bob/deployed" add .
as bob git -C "$DIR/home/bob/deployed" commit -qm four
git_as bob -C "$DIR/home/bob/deployed" push -q origin main 2>"$DIR/push.out"
grep -q 'is on the mount: 51 files' "$DIR/push.out" || fail "$(cat "$DIR/push.out")"
same_as_checkout "$DIR/home/bob/deployed" "$tree"
loam repo key list team/model --json | grep '"scope":"write"' >/dev/null || fail "the list of deploy keys"
loam repo key del team/model "$writer"
sleep 2 # within which it binds
must_fail git_as bob ls-remote "$SSH_URL/team/model.git"

step "a second loam up does not fight for the port"
must_fail loam up --dir "$DIR/w" --listen 127.0.0.1:0 --no-mount --ssh-listen "$SSH_LISTEN"
grep -q -- "$SSH_LISTEN, where SSH is to be served, is in use: --ssh-listen" "$DIR/refused.out" ||
	fail "the option is not named: $(cat "$DIR/refused.out")"

step "nothing is left of it"
wait_until 30 no_sessions || fail "processes of sessions are left"
check_volume

step "without the account the door stays closed, and all else works"
stop_up
[ ! -e "$DIR/v/ssh/address" ] || fail "the address outlives the door"
sed '/^loam:/d' /etc/passwd >"$DIR/passwd.new"
cat "$DIR/passwd.new" >/etc/passwd
start_up
grep -q "the SSH door stays closed: this host has no account 'loam'; as root: groupadd --gid 20000 loam && useradd --system" "$DIR/up.out" ||
	fail "up does not say it: $(cat "$DIR/up.out")"
must_fail git_as bob ls-remote "$SSH_URL/team/model.git"
loam repo create team/last --owner alice 2>"$DIR/said" >/dev/null
! grep 'over SSH' "$DIR/said" || fail "a URL of a closed door"
same_as_checkout "$DIR/home/bob/deployed" "$tree"
