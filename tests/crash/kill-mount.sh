#!/bin/bash
# `loam mount` is killed while files are written: whatever fsync or close has acknowledged is there once the
# supervisor has brought the mount back (V13; F18, kills only).
. "$(dirname "$0")/lib.sh.inc"
story "kill -9 of the mount under a writer"
ROUNDS=${ROUNDS:-6}
start_up
install -d -m 777 "$MNT/scratch"

# Writes files of 1 B to 3 MiB: small pieces, an fsync in the middle, an overwrite, a rename. After each call that
# acknowledges, what must now be readable is noted: name, bytes, their SHA-256.
cat >"$DIR/writer.py" <<'PY'
import hashlib, os, random, sys, time
dir, notes, seed, enough = sys.argv[1], os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), int(sys.argv[3]), sys.argv[4]
random.seed(seed)
number = 0
refused = 0
def note(name, data):
    os.write(notes, b"%s %d %s\n" % (name.encode(), len(data), hashlib.sha256(data).hexdigest().encode()))
while not os.path.exists(enough):
    number += 1
    name = "s%d-%06d" % (seed, number)
    path = dir + "/" + name
    data = random.randbytes(random.choice([1, 4096, 100000, 3 << 20]))
    fd = -1
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
        half = len(data) // 2
        os.write(fd, data[:half])
        if number % 3 == 0:
            os.fsync(fd)
            note(name, data[:half])
        for at in range(half, len(data), 131072):
            os.write(fd, data[at:at + 131072])
        acknowledged, fd = fd, -1
        os.close(acknowledged)
        note(name, data)
        if number % 5 == 0:
            os.rename(path, path + "-moved")
            note(name, b"moved")
            note(name + "-moved", data)
    except OSError:
        refused += 1
        time.sleep(0.02)
        if fd >= 0:
            try: os.close(fd)
            except OSError: pass
print(number, refused, flush=True)
PY
# Each noted file holds at least what was noted last; what was moved is at its new place only.
cat >"$DIR/verify.py" <<'PY'
import hashlib, os, sys
dir, last = sys.argv[1], {}
for line in open(sys.argv[2]):
    name, size, digest = line.split()
    last[name] = (int(size), digest)
moved = hashlib.sha256(b"moved").hexdigest()
bad = 0
for name, (size, digest) in last.items():
    path = dir + "/" + name
    if digest == moved:
        if os.path.exists(path):
            print("still at its old place:", name); bad += 1
        continue
    if not os.path.exists(path) and os.path.exists(path + "-moved"):
        path += "-moved"  # the rename was done, its answer lost
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        print(name, error); bad += 1
        continue
    if len(data) < size or hashlib.sha256(data[:size]).hexdigest() != digest:
        print("not as acknowledged:", name, len(data), "of", size); bad += 1
print(len(last), "files,", bad, "bad", file=sys.stderr)
sys.exit(1 if bad else 0)
PY

step "$ROUNDS kills"
for round in $(seq "$ROUNDS"); do
	rm -f "$DIR/enough"
	timeout 60 python3 "$DIR/writer.py" "$MNT/scratch" "$DIR/noted" "$((SEED * 10 + round))" "$DIR/enough" >"$DIR/writer.out" &
	writer=$!
	random_pause 1500
	kill_child mount
	sleep 0.1
	from=$(date +%s%N)
	wait_mounted 10
	away=$((($(date +%s%N) - from) / 1000000))
	touch "$DIR/enough"
	wait $writer || fail "the writer hangs"
	echo "round $round: the mount was away for $away ms; files written, refused: $(cat "$DIR/writer.out")"
	python3 "$DIR/verify.py" "$MNT/scratch" "$DIR/noted" || fail "acknowledged data is missing after round $round"
done
[ "$(wc -l <"$DIR/noted")" -gt $((ROUNDS * 10)) ] || fail "the writer wrote next to nothing"

step "the same once more with Redis killed behind it, and everything started anew"
kill_child mount
kill_child redis
sleep 1
wait_mounted 10
python3 "$DIR/verify.py" "$MNT/scratch" "$DIR/noted" || fail "acknowledged data is missing"
stop_up
if grep -F " $MNT " /proc/mounts; then fail "a dead mount was left below the one that came after it"; fi
start_up
python3 "$DIR/verify.py" "$MNT/scratch" "$DIR/noted" || fail "acknowledged data is missing"
check_volume
