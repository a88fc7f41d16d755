#!/bin/bash
# The block store refuses, stalls, or is full; then the disk of the repositories is full. Clients hear 507 or 503 in
# words, nothing half done is acknowledged, what is there stays readable, and all heals by itself
# (F14, F43 by the fault store, F48 ENOSPC; V05, L02).
. "$(dirname "$0")/lib.sh.inc"
story "a failing and a full store"
expect_log_errors
mkdir -p "$DIR/v/blocks" "$DIR/v/git"
mount -t tmpfs -o size=400m,mode=700 loam-blocks "$DIR/v/blocks" || skip "tmpfs cannot be mounted here"
mount -t tmpfs -o size=200m,mode=700 loam-git "$DIR/v/git"
short_staging
faults() { echo "$*" >"$DIR/faults.new" && mv "$DIR/faults.new" "$DIR/faults"; }
faults ""
LOAM_STORE_FAULT=@$DIR/faults start_up
add_user alice
loam repo create team/model --owner alice >/dev/null 2>&1
work=$DIR/home/alice/model
tree=$MNT/models/team/model
clone_as alice team/model "$work"
as alice git -C "$work" lfs track '*.bin' >/dev/null
as alice git -C "$work" config lfs.transfer.maxretries 1
new_commit "$work" 8 2 "first"
push_until_it_works "$work"
same_as_checkout "$work" "$tree"
install -d -m 777 "$MNT/scratch"
# statuses that uploads have got since the last call
statuses() { grep -o 'method=PUT .*status=[0-9]*' "$DIR/up.out" | grep -o '[0-9]*$' | tail -n +$((SEEN + 1)) | sort | uniq -c; }
seen() { SEEN=$(grep -c 'method=PUT .*status=' "$DIR/up.out" || true); }
SEEN=0
blocks_used() { du -s "$DIR/v/blocks" | awk '{ print $1 }'; }

step "no space, says the store: 507"
new_commit "$work" 8 1 "no space"
seen
faults "put:every:NO_SPACE"
if push_once "$work"; then fail "a push into a full store"; fi
statuses | says ' 507$' || fail "uploads got $(statuses)"
grep -qi 'space' "$DIR/push.out" || fail "the user is not told: $(cat "$DIR/push.out")"
same_as_checkout_of() { [ "$(getfattr --only-values -n user.loam.commit "$tree" 2>/dev/null)" = "$1" ] || fail "another commit is shown"; }
same_as_checkout_of "$(git -C "$work" rev-parse HEAD~1)"
if dd if=/dev/zero of="$MNT/scratch/refused" bs=1M count=8 conv=fsync 2>"$DIR/dd.out"; then fail "a write to the full store"; fi
grep -q 'No space left' "$DIR/dd.out" || fail "the writer heard: $(cat "$DIR/dd.out")"
rm -f "$MNT/scratch/refused"
faults ""
push_once "$work" || fail "the retry: $(cat "$DIR/push.out")"
same_as_checkout "$work" "$tree"

step "syncs fail: nothing is acknowledged"
new_commit "$work" 8 1 "no sync"
seen
faults "sync:every:IO"
if push_once "$work"; then fail "a push without a sync"; fi
statuses | says ' 200$' && fail "an upload was acknowledged without a sync"
faults ""
push_once "$work" || fail "the retry: $(cat "$DIR/push.out")"
same_as_checkout "$work" "$tree"

step "away for a while: 503 within 30 s, and service again at its return"
new_commit "$work" 8 1 "away"
seen
faults "put:every:UNAVAILABLE,sync:every:UNAVAILABLE"
(sleep 3 && faults "") &
healer=$!
from=$(date +%s)
push_once "$work" && first=ok || first=failed
[ $(($(date +%s) - from)) -le 32 ] || fail "a push to a store that was away for 3 s took $(($(date +%s) - from)) s"
wait $healer
push_once "$work" || fail "the retry: $(cat "$DIR/push.out")"
echo "the push during the outage $first; uploads got $(statuses | tr -s '\n ' ' ')"
same_as_checkout "$work" "$tree"

step "every tenth call fails"
faults "$(for i in $(seq 10); do printf 'put:%d:UNAVAILABLE,sync:%d:UNAVAILABLE,get:%d:UNAVAILABLE,' $((i * 10)) $((i * 10)) $((i * 10)); done | sed 's/,$//')"
for round in 1 2 3; do
	new_commit "$work" 12 2 "flaky $round"
	push_until_it_works "$work"
	wait_published "$work" "$tree"
	echo "round $round: $TRIES tries"
done
faults ""
same_as_checkout "$work" "$tree"
staging_is_swept
check_volume

step "the disk of blocks fills up: 507, old data readable, healed when space returns"
used=$(blocks_used)
mount -o "remount,size=$((used + 6 * 1024))k" "$DIR/v/blocks"
before=$(git -C "$work" rev-parse HEAD)
new_commit "$work" 16 2 "over the brim"
seen
if push_once "$work"; then fail "a push onto a full disk"; fi
statuses | says ' 507$' || fail "uploads got $(statuses)"
same_as_checkout_of "$before"
(cd "$tree" && find . -type f -print0 | xargs -0 cat) >/dev/null || fail "old data on a full disk"
as alice git clone -q "$URL/team/model.git" "$DIR/home/alice/again" 2>"$DIR/clone.out" || fail "a clone from a full disk: $(cat "$DIR/clone.out")"
staging_is_swept
wait_gone 10 "blocks of refused uploads stay" sh -c "[ \$(du -s '$DIR/v/blocks' | cut -f1) -le $((used + 64)) ] || du -s '$DIR/v/blocks'"
mount -o remount,size=400m "$DIR/v/blocks"
push_once "$work" || fail "a push after space has returned: $(cat "$DIR/push.out")"
same_as_checkout "$work" "$tree"

step "small files cannot be published onto a full disk; the push stands and is shown when space returns"
used=$(blocks_used)
mount -o "remount,size=$((used + 4))k" "$DIR/v/blocks"
before=$(git -C "$work" rev-parse HEAD)
head -c 3000000 /dev/urandom | as alice tee "$work/plain" >/dev/null
as alice git -C "$work" add plain
as alice git -C "$work" commit -qm "plain"
push_once "$work" || fail "the push: $(cat "$DIR/push.out")"
grep -qi 'space' "$DIR/push.out" || fail "the pusher is not told: $(cat "$DIR/push.out")"
same_as_checkout_of "$before"
mount -o remount,size=400m "$DIR/v/blocks"
wait_published "$work" "$tree" 10
same_as_checkout "$work" "$tree"

step "the disk of repositories is full: the push is refused, reading works, healed when space returns"
bare=$DIR/v/git/models/team/model.git
old=$(git -C "$bare" rev-parse main)
for full in size nr_inodes; do
	used=$(du -s "$DIR/v/git" | awk '{ print $1 }')
	inodes=$(find "$DIR/v/git" | wc -l)
	head -c 3000000 /dev/urandom | as alice tee "$work/plain" >/dev/null
	as alice git -C "$work" commit -qam "plain, $full"
	if [ $full = size ]; then
		mount -o "remount,size=$((used + 64))k" "$DIR/v/git"
	else
		mount -o "remount,nr_inodes=$((inodes + 1))" "$DIR/v/git"
	fi
	if push_once "$work"; then fail "a push onto a full disk ($full)"; fi
	[ "$(git -C "$bare" rev-parse main)" = "$old" ] || fail "the branch moved"
	rm -rf "$DIR/home/alice/again"
	as alice git clone -q "$URL/team/model.git" "$DIR/home/alice/again" 2>"$DIR/clone.out" || fail "a clone ($full): $(cat "$DIR/clone.out")"
	mount -o "remount,size=200m,nr_inodes=100000" "$DIR/v/git"
	push_once "$work" || fail "a push after space has returned ($full): $(cat "$DIR/push.out")"
	old=$(git -C "$bare" rev-parse main)
	wait_published "$work" "$tree" 10
	same_as_checkout "$work" "$tree"
	git_is_clean "$bare"
done
pool_is_whole "$DIR/oids"
check_volume
