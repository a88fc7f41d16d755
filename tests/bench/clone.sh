#!/bin/bash
# clone.sh [files, default 20000] [runs, default 3]
#
# `loam clone` of a tree with files of one chunk each: files a second, and how long another client's GET
# takes meanwhile (and without it, before).
ARGUMENTS=$*
. "$(dirname "$0")/lib.sh.inc"
files=${1:-20000} runs=${2:-3}
bench "clone"
start_up
add_user alice
push_small_files team/tree 20 $((files / 20)) f
tree=$MNT/models/team/tree
[ "$(find "$tree" -type f | wc -l)" = "$files" ] || fail "the tree has not $files files"

get=$tools/tool_bench_get
quiet=$("$get" "$DIR/v/redis.sock" 2 i1)
rates=() p99s=() worst=()
for run in $(seq "$runs"); do
	"$get" "$DIR/v/redis.sock" 600 i1 >"$DIR/latency" &
	HELPER_PID=$!
	sleep 0.1
	from=$(now_ms)
	loam clone "$tree" "$MNT/users/alice/clone$run" >/dev/null 2>&1 || fail "loam clone"
	took=$(($(now_ms) - from))
	kill "$HELPER_PID"
	wait "$HELPER_PID" || true
	HELPER_PID=
	rates+=("$(calc %.0f "$files * 1000 / $took")")
	p99s+=("$(cut -d' ' -f3 "$DIR/latency")")
	worst+=("$(cut -d' ' -f4 "$DIR/latency")")
	echo "run $run: $took ms, GETs (count p50 p99 max): $(cat "$DIR/latency")"
done
row "clone of $files files" "$(median "${rates[@]}") files/s" "" "" "≥ 100,000 files/s"
row "others' GET meanwhile, p99" "$(median "${p99s[@]}") ms" "$(cut -d' ' -f3 <<<"$quiet") ms (without the clone)" "" "< 3 ms"
table
