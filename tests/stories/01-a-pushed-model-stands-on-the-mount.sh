#!/bin/bash
# A model is pushed, changed, renamed, force-pushed; after each push the mount shows what a checkout has.
. "$(dirname "$0")/lib.sh.inc"
story "a pushed model stands on the mount"
start_up
add_user alice
add_user bob
loam repo create team/model --owner alice 2>/dev/null | says -x "$URL/team/model.git" || fail "the URL of the repository"
work=$DIR/home/alice/model
tree=$MNT/models/team/model
clone_as alice team/model "$work"

step "a push of 1 GiB and 1,000 small files"
as alice git -C "$work" lfs track '*.bin' >/dev/null
head -c 1073741824 /dev/urandom | as alice tee "$work/weights.bin" >/dev/null
as alice mkdir -p "$work/data/deep"
for i in $(seq 1000); do echo "line $i of a small file"; done |
	as alice split -l 1 -a 3 -d - "$work/data/deep/part"
as alice ln -s data/deep/part000 "$work/first"
as alice sh -c "printf '#!/bin/sh\necho ok\n' > '$work/run.sh' && chmod +x '$work/run.sh'"
as alice git -C "$work" add .
as alice git -C "$work" commit -qm one
as alice git -C "$work" push -q origin main 2>"$DIR/push.out"
grep -q 'loam: models/team/model@.* is on the mount: ' "$DIR/push.out" || fail "the pusher is not told: $(cat "$DIR/push.out")"
same_as_checkout "$work" "$tree"
[ "$(stat -c %a "$tree/run.sh")" = 555 ] || fail "mode of an executable"
[ "$(stat -c %a "$tree/weights.bin")" = 444 ] || fail "mode of a file"
[ "$(readlink "$tree/first")" = data/deep/part000 ] || fail "a symlink"

step "one of 1,000 small files changes"
echo changed | as alice tee -a "$work/data/deep/part500" >/dev/null
as alice git -C "$work" commit -qam two
as alice git -C "$work" push -q origin main 2>/dev/null
same_as_checkout "$work" "$tree"

step "deletions, renames, a file that becomes a directory"
as alice git -C "$work" rm -qr data/deep/part00{0..9} first
as alice git -C "$work" mv weights.bin model.bin
as alice git -C "$work" mv data/deep data/moved
as alice git -C "$work" rm -q run.sh
as alice mkdir "$work/run.sh"
echo inside | as alice tee "$work/run.sh/file" >/dev/null
as alice git -C "$work" add -A
as alice git -C "$work" commit -qm three
as alice git -C "$work" push -q origin main 2>/dev/null
same_as_checkout "$work" "$tree"

step "a force-push back to the first commit and on from there"
as alice git -C "$work" reset -q --hard HEAD~2
echo other | as alice tee "$work/other" >/dev/null
as alice git -C "$work" add -A
as alice git -C "$work" commit -qm four
as alice git -C "$work" push -q -f origin main 2>/dev/null
same_as_checkout "$work" "$tree"

step "another default branch, and its deletion"
as alice git -C "$work" checkout -q -b next
as alice git -C "$work" rm -q other
as alice git -C "$work" commit -qm five
as alice git -C "$work" push -q origin next 2>/dev/null
[ -e "$tree/other" ] || fail "a push to another branch changed the tree"
loam repo default-branch team/model next
same_as_checkout "$work" "$tree"
as alice git -C "$work" push -q origin --delete next 2>/dev/null
[ -z "$(ls -A "$tree")" ] || fail "the branch is gone, its tree is not"
getfattr -n user.loam.commit "$tree" 2>/dev/null && fail "user.loam.commit outlives its branch"

step "nobody changes what is published, root of this trusted node aside"
as alice git -C "$work" push -q origin next 2>/dev/null
for try in "touch $tree/data/deep/part500" "rm $tree/run.sh" "mkdir $tree/x" "chmod 777 $tree/run.sh" \
	"mv $tree/run.sh $tree/y" "ln $tree/run.sh $tree/z" "truncate -s 0 $tree/run.sh"; do
	must_fail as alice sh -c "$try"
done
same_as_checkout "$work" "$tree"

step "the volume is sound, and so it is after a restart"
check_volume
stop_up
start_up
same_as_checkout "$work" "$tree"
check_volume --deep
