#!/bin/bash
# A volume formatted over another one, and metadata older than the blocks: what is written is read back, or its
# writer is told; old blocks are never taken for new ones.
. "$(dirname "$0")/lib.sh.inc"
expect_log_errors # of the mount that is refused a block
story "a volume over another one's blocks"
META="unix://$DIR/redis.sock?db=0"
MNT=$DIR/mnt
mkdir "$MNT"
: >"$DIR/loam.conf"
export LOAM_CONFIG="$DIR/loam.conf"

start_redis()
{
	redis-server --port 0 --unixsocket "$DIR/redis.sock" --dir "$DIR" --appendonly yes --save "" >"$DIR/redis.out" 2>&1 &
	REDIS_PID=$!
	local i
	for i in $(seq 100); do redis-cli -s "$DIR/redis.sock" ping >"$DIR/ping.out" 2>&1 && return 0; sleep 0.1; done
	fail "redis does not answer"
}
stop_redis()
{
	kill "$REDIS_PID"
	wait "$REDIS_PID" || true
}
mount_it()
{
	loam mount "$META" "$MNT" --cache-dir "$DIR/cache" >>"$DIR/mount.log" 2>&1 &
	MOUNT_PID=$!
	local i
	for i in $(seq 200); do mountpoint -q "$MNT" && return 0; sleep 0.1; done
	fail "the mount does not come: $(cat "$DIR/mount.log")"
}
umount_it()
{
	umount "$MNT"
	wait "$MOUNT_PID" || fail "the mount ended badly"
}

start_redis
loam format --bucket "$DIR/blocks" "$META" vol 2>"$DIR/format.out"
mount_it
head -c 20000000 /dev/urandom >"$DIR/one"
cp "$DIR/one" "$MNT/one"
umount_it

step "formatted over: the blocks of the old volume stay and are nobody's"
redis-cli -s "$DIR/redis.sock" flushall >"$DIR/flush.out"
must_fail loam format --bucket "$DIR/blocks" "$META" vol
loam format --force --bucket "$DIR/blocks" "$META" vol 2>"$DIR/format.out"
mount_it
head -c 20000000 /dev/urandom >"$DIR/two"
cp "$DIR/two" "$MNT/two"
umount_it
mount_it
cmp "$DIR/two" "$MNT/two" || fail "other bytes are read than were written"
loam fsck "$META" >"$DIR/fsck.out" 2>&1 || fail "fsck: $(cat "$DIR/fsck.out")"

step "metadata from an older copy: who writes over blocks that are there is told, and they stay as they are"
umount_it
stop_redis
cp -r "$DIR/appendonlydir" "$DIR/older"
start_redis
mount_it
head -c 8388608 /dev/urandom >"$DIR/three"
cp "$DIR/three" "$MNT/three"
umount_it
stop_redis
rm -r "$DIR/appendonlydir"
mv "$DIR/older" "$DIR/appendonlydir"
start_redis
find "$DIR/blocks" -type f -exec sha256sum {} + | sort >"$DIR/sums.before"
mount_it
head -c 8388608 /dev/urandom >"$DIR/four"
must_fail cp "$DIR/four" "$MNT/four"
cmp "$DIR/two" "$MNT/two" || fail "an older file has other bytes"
umount_it
find "$DIR/blocks" -type f -exec sha256sum {} + | sort >"$DIR/sums.after"
cmp "$DIR/sums.before" "$DIR/sums.after" || fail "blocks changed"
stop_redis
