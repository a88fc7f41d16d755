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
push_small_files team/tree 10 1000 file-of-an-ordinary-name-

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
