#!/bin/bash
# read.sh [MiB of the file, default 1024] [runs, default 3]
#
# One published file, read through the mount, beside a copy of it on the local disk: cold (beside
# parallel reads of its blocks from the store), then warm: sequential, mapped, random 4 KiB; with and
# without passthrough. Then what 1 and 16 clones of it occupy in the page cache.
ARGUMENTS=$*
. "$(dirname "$0")/lib.sh.inc"
size=${1:-1024} runs=${2:-3}
bench "read"
start_up
read=$tools/tool_bench_read
add_user alice
loam repo create team/model --owner alice >/dev/null 2>&1
work=$DIR/home/alice/model
clone_as alice team/model "$work"
as alice git -C "$work" lfs track '*.bin' >/dev/null
random_file "$work/model.bin" "$size"
chown "$UID_alice:$UID_alice" "$work/model.bin"
as alice git -C "$work" add .
as alice git -C "$work" commit -qm start
as alice git -C "$work" push -q origin main >"$DIR/push.out" 2>&1 || fail "push: $(tail -5 "$DIR/push.out")"
local_file=$DIR/copy.bin
# written in pieces of 4 MiB, as the node cache is: the page cache keeps what is written so in large folios
dd if="$work/model.bin" of="$local_file" bs=4M conv=fsync status=none
rm -rf "$work"
file=$MNT/models/team/model/model.bin

mount_other() # DIR options…: one more mount of the volume, with a cache of its own
{
	local dir=$1
	shift
	mkdir -p "$dir"
	loam mount --background --log "$dir.log" --cache-dir "$dir.cache" "$@" "$dir" || fail "mount $dir"
}
umount_other()
{
	loam umount "$1"
	local i
	for i in $(seq 100); do
		mountpoint -q "$1" || break
		sleep 0.1
	done
	rm -rf "$1.cache"
}

step "cold"
gets=() cold=() ratios=()
for run in $(seq "$runs"); do
	"$read" drop "$DIR/v/blocks"
	gets+=("$("$read" gets "$DIR/v/blocks" 8)")
	"$read" drop "$DIR/v/blocks"
	mount_other "$DIR/cold"
	cold+=("$("$read" seq "$DIR/cold/models/team/model/model.bin")")
	umount_other "$DIR/cold"
	ratios+=("$(calc %.2f "${cold[-1]} / ${gets[-1]}")")
	echo "run $run: store ${gets[-1]} MB/s, mount ${cold[-1]} MB/s"
done
row "cold sequential read, $size MiB" "$(median "${cold[@]}") MB/s" "$(median "${gets[@]}") MB/s (8 parallel GETs)" \
	"$(median "${ratios[@]}")" "≥ 0.90"

# compare WHAT BOUND FILE mode [N]: paired warm runs, one unmeasured before
compare()
{
	local what=$1 bound=$2 path=$3 mode=$4 ours=() theirs=() ratios=()
	shift 4
	"$read" "$mode" "$path" "$@" >/dev/null
	"$read" "$mode" "$local_file" "$@" >/dev/null
	for run in $(seq "$runs"); do
		theirs+=("$("$read" "$mode" "$local_file" "$@")")
		ours+=("$("$read" "$mode" "$path" "$@")")
		ratios+=("$(calc %.2f "${ours[-1]} / ${theirs[-1]}")")
	done
	row "$what" "$(median "${ours[@]}") MB/s" "$(median "${theirs[@]}") MB/s (ext4)" "$(median "${ratios[@]}")" "$bound"
}
settle() # FILE CACHE: the content becomes complete, and the next open finds it so
{
	"$read" seq "$1" >/dev/null
	local i
	for i in $(seq 600); do
		[ -z "$(find "$2" -path '*/content/*' -not -name '*.map' -size "+$((size * 1024 - 1))k" \
			-exec getfattr --absolute-names -n user.loam.complete {} + 2>/dev/null)" ] || break
		sleep 0.1
	done
}
step "warm, passthrough"
settle "$file" "$DIR/v/cache"
compare "warm sequential read, 1 MiB" "≥ 0.95" "$file" seq
compare "warm read through a map" "≥ 0.90" "$file" mmap
compare "warm random reads of 4 KiB" "≥ 0.85" "$file" random 100000

step "warm, --no-passthrough"
mount_other "$DIR/plain" --no-passthrough
plain=$DIR/plain/models/team/model/model.bin
settle "$plain" "$DIR/plain.cache"
compare "warm sequential read, --no-passthrough" "" "$plain" seq
compare "warm read through a map, --no-passthrough" "" "$plain" mmap
compare "warm random reads of 4 KiB, --no-passthrough" "" "$plain" random 100000
umount_other "$DIR/plain"

step "page cache of 1 and 16 clones"
for i in $(seq 16); do loam clone "$file" "$MNT/users/alice/clone$i" >/dev/null 2>&1; done
occupied() { "$read" cached "$MNT/users/alice" "$DIR/v/cache" "$DIR/v/blocks" "$file"; }
"$read" drop "$MNT/users/alice" "$DIR/v/cache" "$DIR/v/blocks" "$file"
before=$(occupied)
"$read" seq "$MNT/users/alice/clone1" >/dev/null
one=$(($(occupied) - before))
for i in $(seq 16); do "$read" seq "$MNT/users/alice/clone$i" >/dev/null; done
all=$(($(occupied) - before))
row "page cache of 16 clones" "$((all >> 20)) MiB" "$((one >> 20)) MiB (one)" "$(calc %.2f "$all / ($one > 0 ? $one : 1)")" "≤ 1.05"
table
