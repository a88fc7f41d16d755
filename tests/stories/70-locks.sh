#!/bin/bash
# LFS locks with the real client: taking, listing, giving back, the check at a push, and that the server
# refuses a push which changes what others have locked, whatever the client thinks of it.
. "$(dirname "$0")/lib.sh.inc"
story "locks"
start_up
for name in alice dave bob; do add_user $name; done
loam repo create team/model --owner alice >>"$DIR/commands.out" 2>&1
loam grant dave write team/model 2>>"$DIR/commands.out"
loam grant bob read team/model 2>>"$DIR/commands.out"
tree=$MNT/models/team/model
password() # NAME: a login with all of the account's rights; a token may not force
{
	local word
	word=$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n')
	loam user password "$1" <<<"$word" 2>>"$DIR/commands.out"
	printf 'http://%s:%s@127.0.0.1:%s\n' "$1" "$word" "$PORT" >"$DIR/home/$1/.git-credentials"
	chown "$(stat -c %u "$DIR/home/$1")" "$DIR/home/$1/.git-credentials"
	local i
	for i in $(seq 100); do # a change from the command line is seen within a second
		[ "$(http_status -u "$1:$word" "$URL/team/model.git/info/refs?service=git-upload-pack")" = 200 ] && return 0
		sleep 0.3
	done
	fail "the new password of $1 does not let in"
}

clone_as alice team/model "$DIR/home/alice/w"
in_alice() { as alice git -C "$DIR/home/alice/w" "$@"; }
in_dave() { as dave git -C "$DIR/home/dave/w" "$@"; }
in_bob() { as bob git -C "$DIR/home/bob/w" "$@"; }
in_alice lfs track '*.bin' >>"$DIR/commands.out"
as alice mkdir "$DIR/home/alice/w/dir"
for file in changed deleted renamed free; do
	head -c 3000 /dev/urandom | as alice tee "$DIR/home/alice/w/dir/$file.bin" >/dev/null
done
in_alice add -A
in_alice commit -qm first
in_alice push -q origin HEAD 2>>"$DIR/commands.out"
for name in dave bob; do clone_as $name team/model "$DIR/home/$name/w"; done

step "lock, locks, and who else hears of it"
for file in changed deleted renamed; do
	in_alice lfs lock "dir/$file.bin" >"$DIR/lock.out" 2>&1 || fail "lock: $(cat "$DIR/lock.out")"
done
grep -q 'Locked dir/renamed.bin' "$DIR/lock.out" || fail "lock: $(cat "$DIR/lock.out")"
in_dave lfs locks >"$DIR/locks.out"
[ "$(wc -l <"$DIR/locks.out")" = 3 ] || fail "locks: $(cat "$DIR/locks.out")"
grep -qE '^dir/changed.bin\s+alice\s+ID:[0-9a-f]{48}$' "$DIR/locks.out" || fail "locks: $(cat "$DIR/locks.out")"
in_bob lfs locks --path dir/deleted.bin >"$DIR/locks.out"
[ "$(wc -l <"$DIR/locks.out")" = 1 ] || fail "locks --path: $(cat "$DIR/locks.out")"
in_alice lfs locks --verify >"$DIR/locks.out"
[ "$(grep -c '^O ' "$DIR/locks.out")" = 3 ] || fail "locks --verify: $(cat "$DIR/locks.out")"
must_fail in_dave lfs lock dir/changed.bin
grep -qi 'already' "$DIR/refused.out" || fail "a second lock: $(cat "$DIR/refused.out")"
must_fail in_bob lfs lock dir/free.bin
must_fail in_dave lfs unlock dir/changed.bin

before=$(command git -C "$DIR/v/git/models/team/model.git" rev-parse refs/heads/main)
same_branch()
{
	[ "$(command git -C "$DIR/v/git/models/team/model.git" rev-parse refs/heads/main)" = "$before" ] || fail "$1: the branch moved"
}
step "the client halts (lfs.locksverify=true)"
in_dave config lfs.locksverify true
head -c 3000 /dev/urandom | as dave tee "$DIR/home/dave/w/dir/changed.bin" >/dev/null
in_dave commit -qam "changes what alice has locked"
must_fail in_dave push origin HEAD
grep -q 'alice' "$DIR/refused.out" || fail "the client's word: $(cat "$DIR/refused.out")"
same_branch "the client's check"

step "the server refuses: changed, deleted, renamed, on main and on a new branch"
in_dave config lfs.locksverify false
refused() # FILE WHAT REFSPEC
{
	must_fail in_dave push --no-verify origin "$3"
	grep -qE "^remote: loam: dir/$1.bin is locked by alice since 20[0-9T:Z-]+; git lfs unlock --force dir/$1.bin needs" "$DIR/refused.out" ||
		fail "$2: $(cat "$DIR/refused.out")"
	grep -q 'pre-receive hook declined' "$DIR/refused.out" || fail "$2: $(cat "$DIR/refused.out")"
	same_branch "$2"
}
in_dave lfs push --object-id origin "$(in_dave show HEAD:dir/changed.bin | sed -n 's/oid sha256://p')" >>"$DIR/commands.out" 2>&1
refused changed "a changed file" HEAD:main
refused changed "a changed file on a new branch" HEAD:refs/heads/aside
refused changed "a changed file under a tag" HEAD:refs/tags/v1
in_dave reset -q --hard origin/main
in_dave rm -q dir/deleted.bin
in_dave commit -qm deletes
refused deleted "a deleted file" HEAD:main
in_dave reset -q --hard origin/main
in_dave mv dir/renamed.bin dir/other.bin
in_dave commit -qm renames
refused renamed "a renamed file" HEAD:main
in_dave reset -q --hard origin/main

step "other files and other refs are free"
in_dave rm -q dir/free.bin
in_dave commit -qm "a free file"
in_dave push -q --no-verify origin HEAD 2>"$DIR/push.out" || fail "a free file: $(cat "$DIR/push.out")"
[ ! -e "$tree/dir/free.bin" ] || fail "the free file still stands"
in_dave push -q --no-verify origin HEAD~1:refs/heads/second 2>"$DIR/push.out" || fail "a name for old commits: $(cat "$DIR/push.out")"
in_dave push -q --no-verify origin :refs/heads/second 2>"$DIR/push.out" || fail "a deleted branch: $(cat "$DIR/push.out")"

in_dave push -q --no-verify origin :main 2>"$DIR/push.out" && fail "the default branch, and what is locked in it, was deleted"
grep -q "dir/changed.bin is locked by alice" "$DIR/push.out" || fail "the refusal: $(cat "$DIR/push.out")"

step "the owner pushes, and gives back"
head -c 3000 /dev/urandom | as alice tee "$DIR/home/alice/w/dir/changed.bin" >/dev/null
in_alice pull -q --rebase --autostash 2>>"$DIR/commands.out"
in_alice commit -qam "alice's own change"
in_alice push -q origin HEAD 2>"$DIR/push.out" || fail "the owner's push: $(cat "$DIR/push.out")"
cmp "$DIR/home/alice/w/dir/changed.bin" "$tree/dir/changed.bin" || fail "the owner's change"
in_alice lfs unlock dir/changed.bin >>"$DIR/commands.out" 2>&1 || fail "unlock"
in_dave pull -q --rebase 2>>"$DIR/commands.out"
in_dave rm -q dir/changed.bin
in_dave commit -qm "deletes what is free now"
in_dave push -q origin HEAD 2>"$DIR/push.out" || fail "after the unlock: $(cat "$DIR/push.out")"

step "force: by an admin only"
in_dave lfs lock dir/other2.bin >>"$DIR/commands.out" 2>&1
must_fail in_dave lfs unlock --force dir/deleted.bin
grep -q 'alice' "$DIR/refused.out" || fail "force by dave: $(cat "$DIR/refused.out")"
must_fail in_alice lfs unlock --force dir/other2.bin
password alice
in_alice lfs unlock --force dir/other2.bin >"$DIR/unlock.out" 2>&1 || fail "force by the owner of the namespace: $(cat "$DIR/unlock.out")"
[ "$(in_bob lfs locks | wc -l)" = 2 ] || fail "locks left: $(in_bob lfs locks)"

step "restarts keep locks; a deleted repository takes them along"
stop_up
start_up
[ "$(in_bob lfs locks | wc -l)" = 2 ] || fail "locks after a restart: $(in_bob lfs locks)"
check_volume
loam repo delete team/model 2>>"$DIR/commands.out"
loam repo create team/model --owner alice >>"$DIR/commands.out" 2>&1
[ "$(in_alice lfs locks --remote=origin | wc -l)" = 0 ] || fail "a new repository has old locks"
check_volume
