#!/bin/bash
# fsck and status on a volume that is being pushed to, written, renamed and cleaned: nothing is found. Then
# damage is done behind Loam's back, one piece at a time, and each is found and named.
. "$(dirname "$0")/lib.sh.inc"
story "fsck finds what is wrong, and nothing else, while all goes on"
start_up
add_user alice
loam repo create team/model --owner alice >/dev/null 2>&1
work=$DIR/home/alice/model
tree=$MNT/models/team/model
clone_as alice team/model "$work"
as alice git -C "$work" lfs track '*.bin' >/dev/null

push_something() # N
{
	head -c 300000 /dev/urandom | as alice tee "$work/w$(($1 % 3)).bin" >/dev/null
	as alice mkdir -p "$work/d$(($1 % 4))/e"
	for i in 1 2 3 4 5; do echo "$1 $i" | as alice tee "$work/d$(($1 % 4))/e/f$i" >/dev/null; done
	[ $(($1 % 4)) != 3 ] || as alice rm -r "$work/d1"
	as alice git -C "$work" add -A
	as alice git -C "$work" commit -qm "$1"
	as alice git -C "$work" push -q origin main >>"$DIR/commands.out" 2>&1
}
use_the_mount() # N, as the owner of a home
{
	local home=$MNT/users/alice
	as alice sh -c "cd $home && mkdir -p a$1/b && for i in 1 2 3 4 5 6 7 8; do echo $1 > a$1/b/f\$i; done &&
		mv a$1/b a$1/c && ln a$1/c/f1 a$1/hard && mv a$1/hard hard$1 && ln -s x a$1/sym &&
		cp a$1/c/f2 a$1/c/f3 && truncate -s 70000 a$1/c/f4 && rm a$1/c/f5 && mv a$1 moved$1 && rm -r moved$1 hard$1"
	as alice loam clone "$tree" "$home/copy$1" >/dev/null 2>&1 && as alice rm -rf "$home/copy$1"
}

step "while it is used"
push_something 0
touch "$DIR/busy"
(n=0; while [ -e "$DIR/busy" ]; do n=$((n + 1)); push_something $n; done) &
pusher=$!
(n=0; while [ -e "$DIR/busy" ]; do n=$((n + 1)); use_the_mount $n; done) &
user=$!
for i in $(seq 40); do
	loam fsck >"$DIR/fsck.out" 2>&1 || { cat "$DIR/fsck.out" >&2; rm "$DIR/busy"; wait $pusher $user; fail "round $i"; }
done
loam fsck --deep >"$DIR/fsck.out" 2>&1 || { cat "$DIR/fsck.out" >&2; rm "$DIR/busy"; wait $pusher $user; fail "deep"; }
rm "$DIR/busy"
wait $pusher || fail "a push failed"
wait $user || fail "the user failed"
check_volume --deep

step "status"
loam status | says '^Loam.s tree   /, 1 repositories' || fail "status does not count repositories"
loam status --json | says '"durable":true' || fail "status does not know that it is durable"
[ "$(loam status --json | grep -o '"storedBytes":[0-9]*')" = \
	"\"storedBytes\":$(find "$DIR/v/blocks" -path '*/chunks/*' -type f -printf '%s\n' | awk '{ s += $1 } END { print s + 0 }')" ] ||
	fail "status counts other bytes than the store has"

# finds ID TEXT [options]: one kind of finding, and every line of it
finds()
{
	local id=$1 text=$2
	shift 2
	if loam fsck "$@" >"$DIR/fsck.out" 2>"$DIR/fsck.err"; then fail "nothing is found: $id $text"; fi
	grep -q "^$id .*$text" "$DIR/fsck.out" || { cat "$DIR/fsck.out" "$DIR/fsck.err" >&2; fail "not found: $id $text"; }
	if grep -v "^$id " "$DIR/fsck.out" >&2; then fail "more than $id is found"; fi
}

step "keys that are none (meta-7), a count that is none (meta-5), totals (V08)"
redis set i01 x >/dev/null
redis set i-1 x >/dev/null
redis set i18446744073709551616 x >/dev/null
finds meta-7 "3 keys look like inodes"
redis del i01 i-1 i18446744073709551616 >/dev/null
redis hset sliceRef k999999_5 text >/dev/null
finds meta-5 999999
redis hdel sliceRef k999999_5 >/dev/null
redis incrby usedSpace 4096 >/dev/null
finds V08 usedSpace
redis decrby usedSpace 4096 >/dev/null
check_volume

step "a published tree that somebody changed (M02), a gate that lets others write (M07)"
chmod 644 "$tree/w0.bin"
finds M02 "w0.bin has mode 0644"
chmod 444 "$tree/w0.bin"
mv "$tree/w0.bin" "$tree/w9.bin"
finds M02 "w9.bin is not in the commit"
grep -q "w0.bin is missing" "$DIR/fsck.out" || fail "the missing name is not named"
mv "$tree/w9.bin" "$tree/w0.bin"
check_volume
chown 4711 "$tree"
finds M07 "belongs to 4711"
chown 20000 "$tree"
check_volume

step "a branch that is not shown (M01), a repository that is gone (G01)"
kill -STOP "$(child_pid serve)"
bare=$DIR/v/git/models/team/model.git
old=$(git -C "$bare" rev-parse main)
git -C "$bare" update-ref refs/heads/main main~1
finds M01 "its branch is at"
git -C "$bare" update-ref refs/heads/main "$old"
mv "$bare" "$bare.away"
finds G01 "shows a commit"
mv "$bare.away" "$bare"
pack=$(find "$bare/objects/pack" -name '*.pack' -print -quit)
mv "$pack" "$DIR/pack"
loam fsck --deep >"$DIR/fsck.out" 2>&1 && fail "a pack is gone"
mv "$DIR/pack" "$pack"
kill -CONT "$(child_pid serve)"
check_volume --deep

step "a block that is gone (V05), or has other bytes (L01)"
block=$(find "$DIR/v/blocks" -path '*/chunks/*' -size +200k -type f -print -quit)
mv "$block" "$DIR/block"
finds V05 "$(basename "$block") is missing"
head -c "$(stat -c %s "$DIR/block")" /dev/zero >"$block"
loam fsck >/dev/null 2>&1 || fail "bytes are read without --deep"
if loam fsck --deep >"$DIR/fsck.out" 2>&1; then fail "zeros are taken for the object"; fi
grep -q "^L01 object" "$DIR/fsck.out" || fail "no L01 in $(cat "$DIR/fsck.out")"
mv "$DIR/block" "$block"
check_volume --deep
must_fail loam fsck nonsense
