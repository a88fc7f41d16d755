#!/bin/bash
# How long does an import of people take? LOAM_PEOPLE=2000 accounts and 20 groups from CSV, Redis and a mount beside; then the same
# again, when nothing is left to do. Prints the times and what the volume holds after.
. "$(dirname "$0")/../stories/lib.sh.inc"
story "an import, measured"
start_up
people=${LOAM_PEOPLE:-2000}
{
	echo name,uid,groups
	for ((i = 0; i < people; i++)); do printf 'user%05d,,lab%02d\n' "$i" $((i % 20)); done
} >"$DIR/people.csv"
for round in first again; do
	begin=$(date +%s%N)
	loam user import "$DIR/people.csv" >"$DIR/plan" 2>"$DIR/done" || fail "$(cat "$DIR/done")"
	ms=$((($(date +%s%N) - begin) / 1000000))
	echo "$round: $ms ms, $((people * 1000 / (ms + 1))) accounts/s: $(cat "$DIR/done")"
done
[ "$(find "$MNT/users" -mindepth 1 -maxdepth 1 | wc -l)" = "$people" ] || fail "homes: $(find "$MNT/users" -maxdepth 1 | wc -l)"
check_volume
echo "load: $(cut -d' ' -f1 /proc/loadavg)"
