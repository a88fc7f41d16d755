#!/bin/bash
# What operations cost in round trips to Redis (design.md §7), counted on the wire: a second mount and
# a second server reach the volume through relays that count. tests/tools/trips.c says how one system
# call is taken apart into FUSE requests; above its budget is a failure.
. "$(dirname "$0")/lib.sh.inc"
story "round trips to Redis"
tools=$LOAM_BUILD/tests
start_up

RELAYS=()
end()
{
	local status=$?
	[ ${#RELAYS[@]} = 0 ] || kill "${RELAYS[@]}" 2>/dev/null
	(exit $status)
	leave
}
trap end EXIT
start_relay() # NAME: socket $DIR/NAME.sock, count file $DIR/NAME.count, pid in RELAY_NAME
{
	"$tools/tool_relay" "$DIR/$1.sock" "$DIR/v/redis.sock" "$DIR/$1.count" >"$DIR/$1.relay.out" 2>&1 &
	printf -v "RELAY_$1" %s $!
	RELAYS+=($!)
	for i in $(seq 100); do
		[ -S "$DIR/$1.sock" ] && return 0
		sleep 0.05
	done
	fail "the relay does not listen"
}
start_relay mount
mkdir "$DIR/mnt"
loam mount --cache-dir "$DIR/cache" "unix://$DIR/mount.sock?db=0" "$DIR/mnt" 2>"$DIR/mount.log" &
mount_pid=$!
for i in $(seq 200); do
	mountpoint -q "$DIR/mnt" && break
	sleep 0.05
done
mountpoint -q "$DIR/mnt" || fail "the mount did not come"

step "the mount"
mkdir "$DIR/mnt/work"
failed=
"$tools/tool_trips" "$DIR/mnt/work" "$RELAY_mount" "$DIR/mount.count" || failed="an operation of the mount is above its budget"
umount "$DIR/mnt"
wait $mount_pid
[ -z "$failed" ] || fail "$failed"
