#!/bin/bash
# A published model is read cold, complete, by the kernel itself, by a hundred processes that map it while the
# mount is killed, and with too small a cache: always the same bytes, never a page of zeros.
. "$(dirname "$0")/lib.sh.inc"
story "complete read-only files are read by the kernel itself"
install -m 755 "$LOAM_BUILD/tests/tool_map_reader" "$DIR/bin/map_reader"
start_up
add_user alice
loam repo create team/model --owner alice >/dev/null 2>&1
work=$DIR/home/alice/model
home=$DIR/home/alice
tree=$MNT/models/team/model
clone_as alice team/model "$work"
as alice git -C "$work" lfs track '*.bin' >/dev/null
for name in a:209715200 b:104857600 c:104900001; do
	head -c "${name#*:}" /dev/urandom | as alice tee "$work/${name%:*}.bin" >/dev/null
done
as alice git -C "$work" add -A
as alice git -C "$work" commit -qm one
as alice git -C "$work" push -q origin main >"$DIR/push.out" 2>&1 || fail "push: $(cat "$DIR/push.out")"

sum_of() { md5sum <"$1" | cut -d' ' -f1; }
for name in a b c; do declare "sum_$name=$(sum_of "$work/$name.bin")"; done

complete_files() # BYTES: data files of that length in the cache that carry the mark
{
	find "$DIR/v/cache" -path '*/content/*' -size "${1}c" ! -name '*.map' \
		-exec getfattr --absolute-names -n user.loam.complete {} + 2>/dev/null | grep -c '^# file' || true
}
wait_complete() # BYTES
{
	local i
	for i in $(seq 400); do
		[ "$(complete_files "$1")" = 1 ] && return 0
		sleep 0.1
	done
	fail "no complete file of $1 bytes in the cache"
}
wait_mounted()
{
	local i
	for i in $(seq 300); do
		[ -e "$tree/a.bin" ] 2>/dev/null && return 0
		sleep 0.1
	done
	fail "the mount is not back after 30 s"
}
kill_mount()
{
	local pid
	pid=$(child_pid mount) || fail "no mount runs"
	kill -9 "$pid"
	while [ -d "/proc/$pid" ]; do sleep 0.05; done
	wait_mounted
}
# start_readers NAME FILE REFERENCE [options]: returns when all have their map
start_readers()
{
	local name=$1 file=$2 reference=$3 count=1 i
	shift 3
	[ "${1:-}" != -c ] || count=$2
	setpriv --reuid "$UID_alice" --regid "$UID_alice" --clear-groups \
		map_reader "$@" "$file" "$reference" "$home/$name.status" 2>>"$DIR/readers.out" &
	READERS=$!
	for i in $(seq 300); do
		grep -qs "mapped=$count " "$home/$name.status" && return 0
		kill -0 "$READERS" 2>/dev/null || fail "the readers of $file ended: $(cat "$DIR/readers.out")"
		sleep 0.1
	done
	fail "the readers of $file are not ready"
}
of_status() { sed "s/.*$2=\([0-9]*\).*/\1/" "$home/$1.status"; }
wait_rounds() # NAME HOW_MANY_MORE TENTHS
{
	local until i
	until=$(($(of_status "$1" rounds_min) + $2))
	for i in $(seq "$3"); do
		[ "$(of_status "$1" rounds_min)" -lt "$until" ] || return 0
		sleep 0.1
	done
	return 1
}
end_readers() # NAME PID: all they saw was right
{
	kill -TERM "$2"
	wait "$2" || fail "$1: $(cat "$home/$1.status" "$DIR/readers.out")"
}

step "cold, with a handle that stays"
exec 7<"$tree/a.bin"
head -c 1000000 <&7 | cmp - <(head -c 1000000 "$work/a.bin") || fail "the first bytes"
exec 7<&-
exec 7<"$tree/a.bin"
[ "$(as alice md5sum <"$tree/a.bin" | cut -d' ' -f1)" = "$sum_a" ] || fail "other bytes when cold"
wait_complete 209715200

step "complete: the kernel reads while the mount stands still"
start_readers one "$tree/a.bin" "$work/a.bin" -c 1 -r
mount_pid=$(child_pid mount)
kill -STOP "$mount_pid" # every child of this shell closes descriptor 7: that must not wait for the mount
wait_rounds one 3 200 || { kill -CONT "$mount_pid"; fail "reads wait for the mount: no passthrough: $(cat "$home/one.status")"; }
kill -CONT "$mount_pid"
[ "$(sum_of "$tree/a.bin")" = "$sum_a" ] || fail "other bytes when complete"
[ "$(sum_of /dev/fd/7)" = "$sum_a" ] || fail "other bytes through the handle that was opened cold"
exec 7<&-
end_readers one "$READERS"

step "clones are read from the same cache file; one that is changed is its own"
as alice loam clone -q "$tree/a.bin" "$MNT/users/alice/a.bin"
as alice loam clone -q --writable "$tree/a.bin" "$MNT/users/alice/w.bin"
start_readers two "$MNT/users/alice/a.bin" "$work/a.bin" -c 1 -r
kill -STOP "$mount_pid"
wait_rounds two 2 200 || { kill -CONT "$mount_pid"; fail "a clone is not read by the kernel"; }
kill -CONT "$mount_pid"
[ "$(complete_files 209715200)" = 1 ] || fail "a clone has a cache file of its own"
exec 7<>"$MNT/users/alice/w.bin"
[ "$(sum_of /dev/fd/7)" = "$sum_a" ] || fail "other bytes through a writable clone"
printf changed | as alice dd of="$MNT/users/alice/w.bin" conv=notrunc bs=1M seek=3 status=none
[ "$(head -c 3145735 <"$MNT/users/alice/w.bin" | tail -c 7)" = changed ] || fail "a write to a clone is not read"
exec 7<&-
as alice chmod u+w "$MNT/users/alice/a.bin"
printf changed | as alice dd of="$MNT/users/alice/a.bin" conv=notrunc bs=1M seek=5 status=none
[ "$(head -c 5242887 "$MNT/users/alice/a.bin" | tail -c 7)" = changed ] || fail "a new open does not see the write"
wait_rounds two 1 200 || fail "the readers stand still: $(cat "$home/two.status")"
end_readers two "$READERS"
[ "$(sum_of "$tree/a.bin")" = "$sum_a" ] || fail "a write to a clone changed what is published"
as alice rm -f "$MNT/users/alice/a.bin" "$MNT/users/alice/w.bin"

step "a hundred processes map the model while the mount is killed and comes back"
start_readers hundred "$tree/a.bin" "$work/a.bin" -c 100 -r
for i in 1 2 3 4; do
	kill_mount
	[ "$(sum_of "$tree/a.bin")" = "$sum_a" ] || fail "other bytes after restart $i"
done
end_readers hundred "$READERS"

step "readers that began cold: a clean error at most, never other bytes"
start_readers cold "$tree/b.bin" "$work/b.bin" -c 10 -r
kill_mount
kill_mount
kill -TERM "$READERS"
wait "$READERS" || true
grep -q ' zero=0 wrong=0 ' "$home/cold.status" || fail "readers of a killed mount: $(cat "$home/cold.status")"

step "a cache that is too small"
git config -f "$DIR/v/loam.conf" cache.sizeMiB 256
kill_mount
[ "$(sum_of "$tree/a.bin")" = "$sum_a" ] || fail "other bytes with a small cache"
wait_complete 209715200
start_readers small "$tree/a.bin" "$work/a.bin" -c 10 -r
for i in 1 2; do
	[ "$(sum_of "$tree/b.bin")" = "$sum_b" ] || fail "other bytes of b"
	[ "$(sum_of "$tree/c.bin")" = "$sum_c" ] || fail "other bytes of c"
	[ "$i" = 2 ] || kill_mount
done
wait_rounds small 1 200 || fail "the readers stand still"
for i in $(seq 100); do
	used=$(du -sm "$DIR/v/cache" | cut -f1)
	[ "$used" -gt 275 ] || break
	sleep 0.1
done
[ "$used" -le 275 ] || fail "the cache has $used MiB"
end_readers small "$READERS"
for name in b c; do
	sum=sum_$name
	[ "$(sum_of "$tree/$name.bin")" = "${!sum}" ] || fail "other bytes of $name once there is room"
done

step "without passthrough, and with a cache where the kernel refuses it"
mkdir -p "$DIR/m2" "$DIR/lower" "$DIR/upper" "$DIR/overwork" "$DIR/over"
loam mount --no-passthrough --cache-dir "$DIR/cache2" "unix://$DIR/v/redis.sock" -d --log "$DIR/mount2.log" "$DIR/m2"
[ "$(sum_of "$DIR/m2/models/team/model/b.bin")" = "$sum_b" ] || fail "other bytes without passthrough"
sleep 1
[ "$(sum_of "$DIR/m2/models/team/model/b.bin")" = "$sum_b" ] || fail "other bytes without passthrough, warm"
loam umount "$DIR/m2"
if mount -t overlay overlay -o "lowerdir=$DIR/lower,upperdir=$DIR/upper,workdir=$DIR/overwork" "$DIR/over" 2>/dev/null; then
	loam mount --cache-dir "$DIR/over" "unix://$DIR/v/redis.sock" -d --log "$DIR/mount3.log" "$DIR/m2"
	for i in 1 2 3; do
		[ "$(sum_of "$DIR/m2/models/team/model/b.bin")" = "$sum_b" ] || fail "other bytes, cache on overlayfs"
		[ "$(sum_of "$DIR/m2/models/team/model/c.bin")" = "$sum_c" ] || fail "other bytes, cache on overlayfs"
		sleep 0.5
	done
	[ "$(grep -c 'mount.passthrough.*stacked' "$DIR/mount3.log")" = 1 ] || fail "not said once: $(cat "$DIR/mount3.log")"
	loam umount "$DIR/m2"
	for i in $(seq 50); do # the mount's process may still be putting its cache away
		umount "$DIR/over" 2>/dev/null && break
		sleep 0.1
	done
fi
check_volume
