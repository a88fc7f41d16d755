#!/bin/bash
# Loam as a plugin: the hooks in a bare repository of another Git server, reached by its path and over ssh;
# LFS objects go to Loam; what is pushed there stands on the mount.
. "$(dirname "$0")/lib.sh.inc"
story "a plugin of another Git server"
[ -x /usr/sbin/sshd ] || skip "needs openssh-server"
start_up
add_user alice
add_user bob
loam repo create team/model --owner alice >>"$DIR/commands.out" 2>&1
tree=$MNT/models/team/model
bare=$DIR/forge/model.git
mkdir -m 755 "$DIR/forge"
git init -q --bare -b main "$bare"

step "installing"
must_fail loam hook install "$DIR/forge" --repo team/model
must_fail loam hook install "$bare" --repo team/none
must_fail loam hook install "$bare"
[ -z "$(find "$bare/hooks" -type l)" ] || fail "a refused install left hooks: $(ls -l "$bare/hooks")"
echo '#!/bin/sh' >"$bare/hooks/pre-receive"
must_fail loam hook install "$bare" --repo team/model
[ "$(cat "$bare/hooks/pre-receive")" = '#!/bin/sh' ] || fail "somebody's hook was overwritten"
rm "$bare/hooks/pre-receive"
loam hook install "$bare" --repo team/model 2>"$DIR/install.out"
loam hook install "$bare" --repo team/model 2>>"$DIR/install.out" || fail "twice: $(cat "$DIR/install.out")"
[ "$(stat -c %a "$bare/loam-hook.key")" = 600 ] || fail "the key may be read by others"

step "a push by its path, LFS to Loam by lfs.url"
work=$DIR/home/alice/model
git clone -q "$bare" "$work" 2>>"$DIR/commands.out"
cd "$work"
git lfs install --local >>"$DIR/commands.out"
git config lfs.url "http://alice:$TOKEN_alice@127.0.0.1:$PORT/team/model.git/info/lfs"
git lfs track '*.bin' >>"$DIR/commands.out"
head -c 5000000 /dev/urandom >w.bin
echo small >small
git add .
git commit -qm one
git push origin main >"$DIR/push.out" 2>&1 || fail "the push: $(cat "$DIR/push.out")"
grep -q 'remote: loam: models/team/model@.* is on the mount' "$DIR/push.out" || fail "the pusher is not told: $(cat "$DIR/push.out")"
same_as_checkout "$work" "$tree"

step "objects that are missing decline the push"
state() { git -C "$bare" for-each-ref; find "$bare/objects" -name 'tmp_objdir*'; find "$tree" -printf '%P %s %T@\n' | sort; }
state >"$DIR/before"
head -c 100000 /dev/urandom >lost.bin
git add .
git commit -qm lost
must_fail git push --no-verify origin main
grep -q 'remote: loam: object .* of lost.bin is missing' "$DIR/refused.out" || fail "$(cat "$DIR/refused.out")"
grep -q 'run: git lfs push' "$DIR/refused.out" || fail "$(cat "$DIR/refused.out")"
state | cmp - "$DIR/before" || fail "a declined push changed something"
# names too: this repository has none of serve's own settings
git -C "$bare" config receive.fsckObjects false
git reset -q --hard HEAD~1
blob=$(echo x | git hash-object -w --stdin)
for name in .git .GIT .. 'git~1' $'.g\u200cit' '.git.' '.git ' '.git::$INDEX_ALLOCATION'; do
	evil=$(printf '100644 %s\0' "$name" | cat - <(echo "$blob" | xxd -r -p) | git hash-object -t tree -w --literally --stdin)
	commit=$(git commit-tree -m evil -p HEAD "$evil")
	must_fail git push origin "$commit:refs/heads/evil"
	grep -q 'remote: ' "$DIR/refused.out" || fail "an entry named $name: $(cat "$DIR/refused.out")"
done
state | cmp - "$DIR/before" || fail "a declined push changed something"
must_fail git push origin HEAD:refs/replace/"$(git rev-parse HEAD)"

step "over ssh, as another server's users come"
mkdir -m 700 "$DIR/ssh"
ssh-keygen -q -t ed25519 -N '' -f "$DIR/ssh/host"
ssh-keygen -q -t ed25519 -N '' -f "$DIR/ssh/me"
cp "$DIR/ssh/me.pub" "$DIR/ssh/authorized"
SSH_PORT=$(free_port)
cat >"$DIR/ssh/config" <<-CONF
	Port $SSH_PORT
	ListenAddress 127.0.0.1
	HostKey $DIR/ssh/host
	AuthorizedKeysFile $DIR/ssh/authorized
	PidFile $DIR/ssh/pid
	UsePAM no
	PasswordAuthentication no
	PermitRootLogin yes
	StrictModes no
	LogLevel ERROR
CONF
mkdir -p /run/sshd
/usr/sbin/sshd -D -e -f "$DIR/ssh/config" 2>"$DIR/ssh/out" &
SSHD=$!
trap 'kill $SSHD 2>/dev/null; leave' EXIT
export GIT_SSH_COMMAND="ssh -F none -p $SSH_PORT -i $DIR/ssh/me -o UserKnownHostsFile=$DIR/ssh/known -o StrictHostKeyChecking=no -o IdentitiesOnly=yes -o LogLevel=ERROR -o ConnectTimeout=10"
for i in $(seq 50); do
	(exec 3<>"/dev/tcp/127.0.0.1/$SSH_PORT") 2>/dev/null && break
	sleep 0.1
done
git remote add ssh "ssh://root@127.0.0.1:$SSH_PORT$bare"
echo "over ssh" >>small
head -c 200000 /dev/urandom >w2.bin
git add .
git commit -qm two
# a push over ssh asks the same host for git-lfs-authenticate unless lfs.url says otherwise
git push ssh main >"$DIR/push.out" 2>&1 || fail "the push over ssh: $(cat "$DIR/push.out" "$DIR/ssh/out")"
grep -q 'is on the mount' "$DIR/push.out" || fail "$(cat "$DIR/push.out")"
same_as_checkout "$work" "$tree"
git clone -q "ssh://root@127.0.0.1:$SSH_PORT$bare" "$DIR/clone" 2>>"$DIR/commands.out"

step "without a server the push is declined, with a readable line"
state >"$DIR/before"
serve=$(child_pid serve)
kill -STOP "$UP_PID"
kill -TERM "$serve"
for i in $(seq 100); do
	grep -q 'State:.Z' "/proc/$serve/status" 2>/dev/null && break
	sleep 0.1
done
echo "while down" >>small
git commit -qam three
must_fail timeout 60 git push --no-verify ssh main
grep -q 'remote: loam: the push cannot be checked' "$DIR/refused.out" || fail "$(cat "$DIR/refused.out")"
kill -CONT "$UP_PID"
wait_healthy
state | cmp - "$DIR/before" || fail "a declined push changed something"
git push ssh main >"$DIR/push.out" 2>&1 || fail "after it is back: $(cat "$DIR/push.out")"
same_as_checkout "$work" "$tree"

step "a branch moved without the hooks stands on the mount after one reconcile"
echo "behind its back" >>small
git commit -qam four
git -C "$bare" fetch -q "$work" main
git -C "$bare" update-ref refs/heads/main FETCH_HEAD
kill -TERM "$(child_pid serve)"
for i in $(seq 300); do
	[ "$(getfattr --absolute-names --only-values -n user.loam.commit "$tree" 2>/dev/null)" = "$(git rev-parse HEAD)" ] && break
	sleep 0.1
done
wait_healthy
same_as_checkout "$work" "$tree"

step "another's key, or none, is no key"
cp "$bare/loam-hook.key" "$DIR/key"
state >"$DIR/before"
echo stolen >>small
git commit -qam five
printf 'A%.0s' {1..48} >"$bare/loam-hook.key"
must_fail git push --no-verify ssh main
grep -q 'remote: loam: .*key' "$DIR/refused.out" || fail "$(cat "$DIR/refused.out")"
rm "$bare/loam-hook.key"
must_fail git push --no-verify ssh main
grep -q 'remote: loam: ' "$DIR/refused.out" || fail "$(cat "$DIR/refused.out")"
grep -qF "$(cat "$DIR/key")" "$DIR/refused.out" "$DIR/up.out" && fail "the key is printed"
state | cmp - "$DIR/before" || fail "a declined push changed something"
# another repository's key does not open this one
loam repo create team/other --owner alice >>"$DIR/commands.out" 2>&1
git init -q --bare -b main "$DIR/forge/other.git"
loam hook install "$DIR/forge/other.git" --repo team/other 2>>"$DIR/commands.out"
cp "$DIR/forge/other.git/loam-hook.key" "$bare/loam-hook.key"
must_fail git push --no-verify ssh main
cp "$DIR/key" "$bare/loam-hook.key"
git push -q ssh main >"$DIR/push.out" 2>&1 || fail "with the right key again: $(cat "$DIR/push.out")"
same_as_checkout "$work" "$tree"
cd /
check_volume
