#!/bin/bash
# git-lfs over SSH, in each of its ways: negotiated, the pure SSH protocol, and a token for HTTP; rights
# that are missing; locks; keys that are taken away.
. "$(dirname "$0")/ssh.sh.inc"
ssh_story "git-lfs over SSH"
start_up
add_ssh_user alice
add_ssh_user bob
add_ssh_user carol
rm "$DIR"/home/*/.git-credentials # nobody has another way in
loam repo create team/model --owner alice >/dev/null 2>&1
loam grant bob write team/model 2>>"$DIR/commands.out"
loam grant carol read team/model 2>>"$DIR/commands.out"
tree=$MNT/models/team/model

# Debian's git-lfs 3.3 always negotiates. For "never" an ssh that has no such command stands before it,
# as with clients and servers that know only git-lfs-authenticate.
cat >"$DIR/bin/ssh-without" <<-'EOF2'
	#!/bin/sh
	case "$*" in *git-lfs-transfer*)
		echo 'git-lfs-transfer: command not found' >&2
		exit 127
		;;
	esac
	exec ssh "$@"
EOF2
chmod 755 "$DIR/bin/ssh-without"
choose() { [ "$1" = never ] && SSH_PROGRAM=ssh-without || SSH_PROGRAM=ssh; }

# lfs_clone NAME DIR HOW
lfs_clone()
{
	local name=$1 dir=$2 how=$3
	choose "$how"
	GIT_LFS_SKIP_SMUDGE=1 git_as "$name" clone -q "$SSH_URL/team/model.git" "$dir" 2>>"$DIR/commands.out"
	as "$name" git -C "$dir" lfs install --local >>"$DIR/commands.out"
	as "$name" git -C "$dir" config lfs.sshtransfer "$how"
	as "$name" git -C "$dir" config lfs.locksverify true
	! as "$name" git -C "$dir" rev-parse -q --verify HEAD >>"$DIR/commands.out" || git_as "$name" -C "$dir" lfs pull
}

for how in always negotiate never; do
	choose "$how"
	step "lfs.sshtransfer=$how: push, pull"
	work=$DIR/home/alice/$how
	lfs_clone alice "$work" "$how"
	as alice git -C "$work" lfs track '*.bin' >>"$DIR/commands.out"
	head -c 12000000 /dev/urandom | as alice tee "$work/$how.bin" >/dev/null
	: | as alice tee "$work/$how-empty.bin" >/dev/null
	for i in 1 2 3 4 5 6 7 8 9; do head -c $((i * 70001)) /dev/urandom | as alice tee "$work/$how-$i.bin" >/dev/null; done
	as alice git -C "$work" add .
	as alice git -C "$work" commit -qm "$how"
	GIT_TRACE=1 git_as alice -C "$work" push origin main >"$DIR/push.out" 2>&1 || fail "push: $(tail -n 20 "$DIR/push.out")"
	case $how in
	never) grep -q 'git-lfs-authenticate' "$DIR/push.out" || fail "no token was asked for" ;;
	*)
		grep -q 'git-lfs-transfer' "$DIR/push.out" || fail "the pure protocol was not used"
		! grep -q 'git-lfs-authenticate' "$DIR/push.out" || fail "it fell back: $(grep -m3 -A3 transfer "$DIR/push.out")"
		;;
	esac
	same_as_checkout "$work" "$tree"
	lfs_clone bob "$DIR/home/bob/$how" "$how"
	same_as_checkout "$DIR/home/bob/$how" "$tree"
done

step "who may only read uploads nothing, in each way; he is not given a token to download with"
for how in always never; do
	work=$DIR/home/carol/$how
	lfs_clone carol "$work" "$how"
	same_as_checkout "$work" "$tree"
	head -c 1000 /dev/urandom | as carol tee "$work/c.bin" >/dev/null
	as carol git -C "$work" add .
	as carol git -C "$work" commit -qm c
	must_fail git_as carol -C "$work" -c lfs.ssh.retries=1 push -q origin main
	must_fail git_as carol -C "$work" -c lfs.ssh.retries=1 lfs push origin main
done
expect_ssh 1 "carol may read" carol git-lfs-authenticate team/model.git upload
! grep -q Bearer "$DIR/ssh.out" || fail "a token was given"
expect_ssh 0 '"href":"http://127.0.0.1:' carol git-lfs-authenticate team/model.git download

step "a token opens its repository and its operation, at the LFS doors, as long as its key"
loam repo create team/other --owner alice >/dev/null 2>&1
bearer() { sed -n 's/.*"Authorization":"\([^"]*\)".*/\1/p' "$DIR/ssh.out"; }
batch() # TOKEN OPERATION REPO
{
	http_status -H "Authorization: $1" -H 'Content-Type: application/vnd.git-lfs+json' "$URL/$3.git/info/lfs/objects/batch" \
		-d "{\"operation\":\"$2\",\"objects\":[{\"oid\":\"$(printf %064d 7)\",\"size\":5}]}"
}
expect_ssh 0 expires_in alice git-lfs-authenticate team/model.git download
down=$(bearer)
expect 200 "$(batch "$down" download team/model)" "a download by the token"
expect 403 "$(batch "$down" upload team/model)" "an upload by a token to download"
expect 404 "$(batch "$down" download team/other)" "another repository of the same owner"
expect_ssh 0 expires_in alice git-lfs-authenticate team/model.git upload
up=$(bearer)
expect 200 "$(batch "$up" upload team/model)" "an upload by the token"
expect 404 "$(batch "$up" upload team/other)" "an upload elsewhere"
expect 401 "$(batch "${up%?????}AAAA=" upload team/model)" "a forged token"
expect 401 "$(http_status -H "Authorization: $up" "$URL/team/model.git/info/refs?service=git-receive-pack")" "the token at the Git door"
loam user key del alice "$(cat "$DIR/home/alice/.ssh/id.id")"
sleep 2 # within which it binds
expect 401 "$(batch "$up" upload team/model)" "the token of a removed key"
loam user key add alice "$DIR/home/alice/.ssh/id.pub" >"$DIR/home/alice/.ssh/id.id"
wait_until 20 git_as alice ls-remote "$SSH_URL/team/model.git" || fail "the key that was added again"

step "locks over the pure protocol"
choose always
work=$DIR/home/alice/always
other=$DIR/home/bob/always
git_as alice -C "$work" pull -q 2>>"$DIR/commands.out"
git_as bob -C "$other" pull -q 2>>"$DIR/commands.out"
git_as alice -C "$work" lfs lock always.bin >>"$DIR/commands.out"
git_as bob -C "$other" lfs locks | grep '^always.bin.*alice' >/dev/null || fail "bob does not see the lock"
must_fail git_as bob -C "$other" lfs lock always.bin
must_fail git_as bob -C "$other" lfs unlock always.bin
head -c 500 /dev/urandom | as bob tee "$other/always.bin" >/dev/null
as bob git -C "$other" commit -qam b
must_fail git_as bob -C "$other" push -q origin main
grep -q 'always.bin' "$DIR/refused.out" || fail "the lock is not named: $(cat "$DIR/refused.out")"
git_as alice -C "$work" lfs unlock always.bin >>"$DIR/commands.out"
[ -z "$(git_as bob -C "$other" lfs locks)" ] || fail "the lock is still there"
git_as bob -C "$other" push -q origin main 2>>"$DIR/commands.out"
same_as_checkout "$other" "$tree"

step "a deploy key moves objects too"
make_key carol deploy
deploy=$(loam repo key add team/model "$DIR/home/carol/.ssh/deploy.pub" --write)
use_key carol deploy
for how in always never; do
	work=$DIR/home/carol/deploy-$how
	wait_until 20 git_as carol ls-remote "$SSH_URL/team/model.git" || fail "the deploy key"
	lfs_clone carol "$work" "$how"
	head -c 90000 /dev/urandom | as carol tee "$work/by-$how.bin" >/dev/null
	as carol git -C "$work" add .
	as carol git -C "$work" commit -qm "$how"
	git_as carol -C "$work" push -q origin main 2>"$DIR/push.out" || fail "push: $(cat "$DIR/push.out")"
	same_as_checkout "$work" "$tree"
done
must_fail git_as carol -C "$work" lfs lock by-never.bin
loam repo key del team/model "$deploy"

step "nothing is left of it"
wait_until 30 no_sessions || fail "processes of sessions are left"
check_volume --deep
