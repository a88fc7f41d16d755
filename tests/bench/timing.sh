#!/bin/bash
# Does time tell a forbidden repository from an absent one, or an object of somebody else's from an unknown one?
# By hand, on a quiet machine; LOAM_PAIRS=10000 pairs of each kind (a tenth, or a fortieth, where an answer takes
# long on purpose). LOAM_ONLY=api takes those whose words have it. Welch's t under 4.5 is wanted (L05).
. "$(dirname "$0")/../stories/lib.sh.inc"
story "what time tells"
export PYTHONPATH=$LOAM_SOURCE/tests/stories PYTHONDONTWRITEBYTECODE=1
start_up --no-mount
export PORT
for name in alice dave; do add_user $name; done
export TOKEN_alice TOKEN_dave OID SIZE
# The API counts the calls of an account: it is asked by twenty of them.
API_TOKENS=$(for i in $(seq 20); do loam user add "asks$i" >/dev/null 2>&1 && loam user token "asks$i" 2>/dev/null; done)
echo 'correct horse battery' | loam user password alice 2>>"$DIR/commands.out"
ssh-keygen -q -t ed25519 -N '' -f "$DIR/key"
DAVES_KEY=$(loam user key add dave "$DIR/key.pub" 2>>"$DIR/commands.out")
export API_TOKENS DAVES_KEY SSH_SOCKET=$DIR/v/ssh.sock
for repo in alice/secret dave/own; do loam repo create $repo >>"$DIR/commands.out" 2>&1; done
work=$DIR/home/alice/secret
clone_as alice alice/secret "$work"
cd "$work"
as alice git lfs track '*.bin' >>"$DIR/commands.out"
head -c 100000 /dev/urandom | as alice tee w.bin >/dev/null
as alice git add .
as alice git commit -qm one
as alice git push -q origin main 2>>"$DIR/commands.out"
OID=$(sha256sum w.bin | cut -d' ' -f1)
SIZE=100000
cd /
python3 "$LOAM_SOURCE/tests/bench/timing.py" || fail "time tells"
