#!/bin/bash
# push.sh [MiB of the object, default 1024] [runs, default 3] [MiB of the published object, default 4096]
#
# The stock git-lfs client uploads one object into a sink that throws it away (tests/tools/lfs_sink.c),
# then into Loam: MB/s each, run by run, and the server's peak memory. Then how long a publish takes, in
# Loam's own words behind a push: 10 and 10,000 small files, and one large object that the repository
# already holds (a second path, so that nothing is uploaded).
ARGUMENTS=$*
. "$(dirname "$0")/lib.sh.inc"
size=${1:-1024} runs=${2:-3} published=${3:-4096}
bench "push"
start_up --no-mount
add_user alice
loam repo create team/model --owner alice >/dev/null 2>&1
work=$DIR/home/alice/model
clone_as alice team/model "$work"
as alice git -C "$work" config lfs.locksverify false
as alice git -C "$work" config gc.auto 0 # it would repack under git-lfs' hands
as alice git -C "$work" lfs track '*.bin' >/dev/null
as alice git -C "$work" add .
as alice git -C "$work" commit -qm start
as alice git -C "$work" push -q origin main >"$DIR/push.out" 2>&1

sink_port=$(free_port)
"$tools/tool_lfs_sink" "$sink_port" >"$DIR/sink.out" 2>&1 &
HELPER_PID=$!
serve=$(child_pid serve)

new_object() # MiB: sets OID; the client's own store holds it
{
	random_file "$DIR/object" "$1"
	OID=$(sha256sum "$DIR/object" | cut -d' ' -f1)
	local dir=$work/.git/lfs/objects/${OID:0:2}/${OID:2:2}
	mkdir -p "$dir"
	mv "$DIR/object" "$dir/$OID"
	chown -R "$UID_alice:$UID_alice" "$work/.git/lfs"
}
drop_object() { rm -f "$work/.git/lfs/objects/${OID:0:2}/${OID:2:2}/$OID"; }
timed_push() # [git options]: sets TOOK in MB/s
{
	local from=$(now_ms)
	as alice git -C "$work" "$@" lfs push --object-id origin "$OID" >"$DIR/push.out" 2>&1 ||
		fail "git lfs push: $(tail -5 "$DIR/push.out")"
	TOOK=$(calc %.0f "$size * 1048.576 / ($(now_ms) - $from)")
}

step "$runs pairs of $size MiB"
to_sink=() to_loam=() ratios=()
for run in $(seq "$runs"); do
	new_object "$size"
	timed_push -c "lfs.url=http://127.0.0.1:$sink_port/lfs"
	sink_rate=$TOOK
	timed_push
	echo "run $run: sink $sink_rate MB/s, Loam $TOOK MB/s"
	to_sink+=("$sink_rate") to_loam+=("$TOOK")
	ratios+=("$(calc %.2f "$TOOK / $sink_rate")")
	drop_object
done
kill "$HELPER_PID"
wait "$HELPER_PID" || true
HELPER_PID=
row "git lfs push of $size MiB" "$(median "${to_loam[@]}") MB/s" "$(median "${to_sink[@]}") MB/s (sink)" \
	"$(median "${ratios[@]}")" "≥ 0.90"
hash_rate=$(openssl speed -evp sha256 -seconds 1 -bytes 131072 2>/dev/null | awk 'END { printf "%.0f", $2 / 1000 }')
row "its ceiling: SHA-256 of one core" "$hash_rate MB/s" "" "" ""
row "peak memory of serve" "$(rss_peak_mib "$serve") MiB" "" "" "≤ 64 MiB"

published_in() # pushes; the milliseconds that the pusher is told
{
	as alice git -C "$work" push -q origin main >"$DIR/push.out" 2>&1 || fail "push: $(tail -5 "$DIR/push.out")"
	sed -nE 's/.*is on the mount:.* ([0-9]+) ms.*/\1/p' "$DIR/push.out"
}
small_files() # DIR COUNT
{
	mkdir -p "$work/$1"
	seq "$2" | (cd "$work/$1" && split -l 1 -a 5 -d - f)
	chown -R "$UID_alice:$UID_alice" "$work/$1"
	as alice git -C "$work" add "$1"
	as alice git -C "$work" commit -qm "$1"
}
publish_small() # COUNT
{
	local run ms times=()
	for run in $(seq "$runs"); do
		small_files "n$1-$run" "$1"
		ms=$(published_in)
		times+=("${ms:?the pusher was not told how long}")
	done
	ms=$(median "${times[@]}")
	row "publish of $1 small files" "$ms ms" "" "$(calc %.2f "$ms / $1") ms a file" "≤ 1 ms a file"
}
step "publishes"
publish_small 10
publish_small 10000

new_object "$published"
pointer() # PATH
{
	printf 'version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n' "$OID" $((published * 1048576)) >"$DIR/pointer"
	local blob
	blob=$(as alice git -C "$work" hash-object -w --stdin <"$DIR/pointer")
	as alice git -C "$work" update-index --add --cacheinfo "100644,$blob,$1"
	as alice git -C "$work" commit -qm "$1"
}
pointer large-0.bin
published_in >/dev/null
drop_object
as alice git -C "$work" config lfs.allowincompletepush true # the client needs its copy no more
times=()
for run in $(seq "$runs"); do
	pointer "large-$run.bin"
	times+=("$(published_in)")
done
row "publish of a model of $published MiB" "$(median "${times[@]}") ms" "" "" "≤ 100 ms"
table
