#!/bin/bash
# Random questions about rights, at every door and on the mount, get the answers of an oracle that knows the
# documented rules only; changes in between bind everywhere, and transfers in progress end before they commit.
# LOAM_SEED repeats a run; LOAM_DRAWS=20000 is the long one, in which a change must bind within 2 s.
. "$(dirname "$0")/../stories/lib.sh.inc"
export LOAM_SEED=${LOAM_SEED:-$RANDOM$RANDOM}
story "who may what, drawn at random, seed $LOAM_SEED"
export PYTHONPATH=$LOAM_SOURCE/tests/stories PYTHONDONTWRITEBYTECODE=1
start_up
export DIR MNT PORT SSH_SOCKET=$DIR/v/ssh.sock
python3 "$LOAM_SOURCE/tests/model/rights_oracle.py" || fail "seed $LOAM_SEED"
check_volume
