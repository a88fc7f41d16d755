#!/bin/bash
# loam clone as an ordinary user: files, trees, refusals, containers, an interrupted one. No byte is copied and
# no failure leaves anything.
. "$(dirname "$0")/lib.sh.inc"
story "a user clones what he may read"
start_up
add_user alice
add_user bob
loam repo create team/model --owner alice >/dev/null 2>&1
work=$DIR/home/alice/model
tree=$MNT/models/team/model
bobs=$MNT/users/bob
clone_as alice team/model "$work"
as alice git -C "$work" lfs track '*.bin' >/dev/null
head -c 50000000 /dev/urandom | as alice tee "$work/w.bin" >/dev/null
as alice bash -c "cd $work && mkdir -p d/e && seq 1000 >d/e/text && printf '#!/bin/sh\n' >run.sh && chmod +x run.sh && ln -s d/e/text soft"
as alice git -C "$work" add -A
as alice git -C "$work" commit -qm one
as alice git -C "$work" push -q origin main >"$DIR/push.out" 2>&1 || fail "push: $(cat "$DIR/push.out")"
loam grant bob read team/model 2>>"$DIR/commands.out"
unset LOAM_CONFIG # the verb needs none
used() { redis get usedSpace; }
status_config() { LOAM_CONFIG=$DIR/v/loam.conf loam "$@"; }
blocks=$(blocks_bytes)

step "a tree, a file, into a directory"
before=$(used)
as bob loam clone "$tree" "$bobs/tree" 2>"$DIR/clone.out" || fail "$(cat "$DIR/clone.out")"
grep -q 'cloned 5 files, 3 directories, .* none copied' "$DIR/clone.out" || fail "says $(cat "$DIR/clone.out")"
diff -r "$work" "$bobs/tree" --exclude .git || fail "other files"
expect "$UID_bob 444" "$(stat -c '%u %a' "$bobs/tree/w.bin")" "owner and mode of a file from LFS"
expect "$UID_bob 644" "$(stat -c '%u %a' "$bobs/tree/d/e/text")" "owner and mode of a small file"
expect "$UID_bob 755" "$(stat -c '%u %a' "$bobs/tree/run.sh")" "owner and mode of an executable"
expect "$UID_bob 755" "$(stat -c '%u %a' "$bobs/tree/d")" "owner and mode of a directory"
expect "d/e/text" "$(readlink "$bobs/tree/soft")" "a symbolic link"
getfattr -m - "$bobs/tree" 2>/dev/null | grep trusted && fail "the clone is a gate too"
getfacl -cn "$bobs/tree" 2>/dev/null | grep -E '^user:[0-9]' && fail "the clone carries the grants of the gate"
grown=$(($(used) - before))
[ "$grown" -ge 50000000 ] && [ "$grown" -le 50100000 ] || fail "usedSpace grew by $grown"
as bob loam clone -q "$tree/w.bin" "$bobs/w"
as bob mkdir "$bobs/into"
as bob loam clone -q "$tree" "$bobs/into"
as bob loam clone -q "$tree/d/e/text" "$bobs/into/"
[ -f "$bobs/into/model/w.bin" ] && [ -f "$bobs/into/text" ] || fail "a clone into a directory"
as bob loam clone -q --writable "$tree/w.bin" "$bobs/mine"
as bob sh -c "echo more >>$bobs/mine && echo new >>$bobs/tree/d/e/text && echo x >$bobs/tree/d/new && rm $bobs/tree/w.bin"
cmp "$work/w.bin" "$tree/w.bin" && cmp "$work/w.bin" "$bobs/w" || fail "a change of a clone is seen elsewhere"
cmp -n 50000000 "$work/w.bin" "$bobs/mine" || fail "other bytes in a writable clone"
as bob sh -c "cd $bobs && loam clone -q into/model rel && loam clone -q ./w ./w2 && cmp w w2" || fail "relative paths"
as bob loam clone -q "$bobs/into" "$bobs/into/itself" # what stood there before
[ "$(find "$bobs/into/itself" -name w.bin | wc -l)" = 1 ] || fail "a clone into its own source"

step "refusals"
must_fail as bob loam clone "$tree" "$bobs/into/"
grep -q "is there already" "$DIR/refused.out" || fail "says $(cat "$DIR/refused.out")"
must_fail as bob loam clone "$tree/w.bin" "$bobs/w"
must_fail as bob loam clone "$tree/soft" "$bobs/soft"
must_fail as bob loam clone "$tree/none" "$bobs/x"
must_fail as bob loam clone "$tree" "$bobs/nowhere/x"
must_fail as bob loam clone "$tree" "$MNT/users/alice/x"
must_fail as bob loam clone "$tree" "$tree/x"
must_fail as bob loam clone "$tree/w.bin" "$DIR/home/bob/x"
must_fail as bob loam clone "$DIR/home/bob/.gitconfig" "$bobs/x"
must_fail as bob loam clone -p "$tree/w.bin" "$bobs/x"
must_fail as bob loam clone "$tree" "$bobs/$(printf 'n%.0s' $(seq 256))"
as alice bash -c "cd $MNT/users/alice && chmod 755 . && mkdir -p s/a s/b && echo x >s/a/f && echo x >s/b/secret && chmod 600 s/b/secret"
must_fail as bob loam clone "$MNT/users/alice/s" "$bobs/x"
as alice bash -c "cd $MNT/users/alice && chmod 644 s/b/secret && chmod 700 s/b"
must_fail as bob loam clone "$MNT/users/alice/s" "$bobs/x"
as alice chmod 755 "$MNT/users/alice/s/b"
as bob loam clone -q "$MNT/users/alice/s" "$bobs/s" || fail "all may be read now"
loam_revoke=$(status_config revoke bob team/model 2>&1) || fail "revoke: $loam_revoke"
must_fail as bob loam clone "$tree/w.bin" "$bobs/x"
must_fail as bob sh -c "cd $tree && loam clone w.bin $bobs/x"
status_config grant bob read team/model 2>>"$DIR/commands.out"
[ -e "$bobs/x" ] && fail "a refused clone left something"
chmod u+s "$MNT/users/alice/s/a/f" && as bob loam clone -q "$MNT/users/alice/s/a/f" "$bobs/f" && [ ! -u "$bobs/f" ] || fail "a clone is set-uid"

step "below a bind mount, in namespaces of the user's own"
mkdir -m 755 "$DIR/box" "$DIR/box/models" "$DIR/box/home"
mount --bind "$tree" "$DIR/box/models"
mount --bind "$bobs" "$DIR/box/home"
as bob loam clone -q "$DIR/box/models/d" "$DIR/box/home/bound" || fail "below a bind mount"
if as bob unshare -Urm true 2>/dev/null; then
	as bob unshare -Urmp --fork sh -c "mount --bind '$DIR/box/home' '$DIR/box/home' && loam clone -q '$DIR/box/models' '$DIR/box/home/contained'" ||
		fail "in a user and mount namespace"
	expect "$UID_bob" "$(stat -c %u "$bobs/contained/d/e/text")" "owner of a clone made in a namespace"
fi
umount "$DIR/box/models" "$DIR/box/home"

step "Ctrl-C in a clone of 20,000 files"
as bob bash -c "cd $bobs && mkdir big && cd big && for i in \$(seq 20); do mkdir d\$i; (cd d\$i && seq 1000 | xargs touch); done"
counts() { echo "$(redis get usedSpace) $(redis get totalInodes)"; }
sleep 1
before=$(counts)
cut=0
for ms in 0.01 0.02 0.04 0.08 0.15; do
	setpriv --reuid "$UID_bob" --regid "$UID_bob" --clear-groups env --default-signal=INT loam clone -q "$bobs/big" "$bobs/cut" 2>>"$DIR/commands.out" &
	pid=$!
	sleep $ms
	kill -INT $pid 2>/dev/null || true
	if wait $pid; then
		[ "$(find "$bobs/cut" | wc -l)" = 20021 ] || fail "a clone that was done is not whole"
		as bob rm -r "$bobs/cut"
	else
		cut=$((cut + 1))
		[ -e "$bobs/cut" ] && fail "an interrupted clone left a name"
	fi
done
echo "$cut of 5 were cut"
for i in $(seq 100); do
	[ "$(counts)" = "$before" ] && break
	sleep 0.2
done
expect "$before" "$(counts)" "usedSpace and totalInodes after interrupted clones"
as bob loam clone -q "$bobs/big" "$bobs/whole" || fail "the clone that was not interrupted"
[ "$(find "$bobs/whole" -type f | wc -l)" = 20000 ] || fail "not all files"

step "no block was written but for what was changed; the volume is sound"
[ $(($(blocks_bytes) - blocks)) -lt 100000 ] || fail "blocks grew from $blocks to $(blocks_bytes)"
export LOAM_CONFIG=$DIR/v/loam.conf
check_volume --deep
