#!/bin/bash
# memory.sh [files, default 1000000]
#
# What the mount keeps when the kernel holds that many of its inodes: clones of a tree of 10,000 small files,
# each file looked up once.
ARGUMENTS=$*
. "$(dirname "$0")/lib.sh.inc"
files=${1:-1000000}
bench "memory"
start_up
add_user alice
loam repo create team/tree --owner alice >/dev/null 2>&1
work=$DIR/home/alice/tree
clone_as alice team/tree "$work"
for dir in $(seq 0 9); do
	mkdir "$work/$dir"
	seq 1000 | (cd "$work/$dir" && split -l 1 -a 5 -d - file-of-an-ordinary-name-)
done
chown -R "$UID_alice:$UID_alice" "$work"
as alice git -C "$work" add .
as alice git -C "$work" commit -qm start
as alice git -C "$work" push -q origin main >"$DIR/push.out" 2>&1 || fail "push: $(tail -5 "$DIR/push.out")"

clones=$MNT/users/alice
mount_pid=$(child_pid mount)
rss_mib() { awk '/^VmRSS/ { printf "%d", $2 / 1024 }' "/proc/$mount_pid/status"; }
held() { awk '$1 == "fuse_inode" { print $2 }' /proc/slabinfo; }
before=$(rss_mib) others=$(held)
for number in $(seq $((files / 10000))); do
	loam clone "$MNT/models/team/tree" "$clones/tree$number" >/dev/null 2>&1 || fail "loam clone"
done
cloned=$(rss_mib)
find "$clones" -mindepth 1 -maxdepth 1 -print0 | xargs -0 -P 4 -n 1 sh -c 'find "$1" -size +1G' - >/dev/null
seen=$(rss_mib)
echo "the kernel holds $(($(held) - others)) inodes; RSS before $before MiB, behind the clones $cloned MiB"
row "memory of the mount, $files files looked up" "$seen MiB" "" "" "≤ 200 MiB"
table
