#!/bin/bash
# Guessing without pause (reliability.md ssh-7): connections that prove nothing, wrong keys over SSH, wrong passwords
# over HTTP, each from one address; another address works meanwhile, and nobody gets in. By hand with LOAM_TRIES=10000,
# figures in docs/fuzzing.md. The host's own sshd is held to the 100 connections in stories/63.
. "$(dirname "$0")/ssh.sh.inc"
ssh_story "guessing"
start_up
add_ssh_user alice
add_user bob
loam repo create alice/model --owner alice >/dev/null 2>&1
export PORT SSH_PORT TOKEN_alice PYTHONDONTWRITEBYTECODE=1
mkdir -m 700 "$DIR/keys"
for i in 1 2 3 4 5 6; do ssh-keygen -q -t ed25519 -N '' -f "$DIR/keys/key$i"; done
guess() # DOOR TRIES
{
	python3 "$LOAM_SOURCE/tests/stories/guessing.py" "$@" "$DIR/keys" "$DIR/home/alice/.ssh/config" || fail "guessing over $1"
}
says_what_it_needs() # serve and Redis
{
	echo "serve: $(awk '/VmRSS|Threads/ { printf "%s ", $2 }' "/proc/$(child_pid serve)/status")KiB and threads, $(find "/proc/$(child_pid serve)/fd" | wc -l) descriptors"
}

says_what_it_needs
step "100 connections of one address that prove nothing over SSH, 300 over HTTP"
hold_connections 100
for i in $(seq 5); do expect_ssh 1 "hello alice" alice -b 127.0.0.2; done
let_connections_go
hold_connections 300 "$PORT"
for i in $(seq 5); do
	expect 200 "$(http_status --interface 127.0.0.2 -u "alice:$TOKEN_alice" "$URL/alice/model.git/info/refs?service=git-upload-pack")" "beside silent connections"
done
let_connections_go

step "keys that nobody has"
guess ssh "${LOAM_TRIES:-150}"
says_what_it_needs

step "wrong passwords"
guess http "${LOAM_TRIES:-1000}"
says_what_it_needs
expect 429 "$(http_status --interface 127.0.0.3 -u alice:wrong "$URL/alice/model.git/info/refs?service=git-upload-pack")" "the guesser is slowed down"
expect 200 "$(http_status --interface 127.0.0.3 -u "alice:$TOKEN_alice" "$URL/alice/model.git/info/refs?service=git-upload-pack")" "a right token from there"
loam audit --result refused >"$DIR/refused"
[ -s "$DIR/refused" ] || fail "no trace of it in the audit log"
check_volume
