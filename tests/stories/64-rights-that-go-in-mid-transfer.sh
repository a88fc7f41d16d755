#!/bin/bash
# A grant, a group, an account, a token, a key or the repository goes while uploads, downloads, pushes and fetches are
# under way at every door: nothing of them is committed, and nothing goes on (reliability.md S03, acl-8).
. "$(dirname "$0")/ssh.sh.inc"
ssh_story "rights that go in mid-transfer"
export PYTHONPATH=$LOAM_SOURCE/tests/stories PYTHONDONTWRITEBYTECODE=1
start_up
export DIR MNT PORT SSH_PORT

step "all at once: the rights go in the middle of the transfers"
python3 "$LOAM_SOURCE/tests/stories/transfers.py" || fail "transfers"

step "a connection that the key has opened opens no session any more"
add_ssh_user alice
loam repo create alice/model --owner alice >>"$DIR/commands.out" 2>&1
control=$DIR/home/alice/control
wait_until 10 git_as alice ls-remote "$SSH_URL/alice/model.git" || fail "no session"
ssh_as alice -M -S "$control" -fN
[ "$(ssh_status alice -S "$control" git-upload-pack "'alice/model'" </dev/null)" != 255 ] || fail "$(cat "$DIR/ssh.out")"
loam user key del alice "$(cat "$DIR/home/alice/.ssh/id.id")"
sleep 2 # within which it binds
expect_ssh 1 "the key is gone" alice -S "$control" git-upload-pack "'alice/model'"
expect_ssh 1 "the key is gone" alice -S "$control" loam whoami
ssh_as alice -S "$control" -O exit 2>>"$DIR/commands.out"

step "nothing is left of it"
wait_until 30 no_sessions || fail "processes of sessions are left"
nothing_left() # of pushes and uploads; what is published at this moment has a job there, too
{
	(
		find "$DIR/v/git/models" -name 'tmp_objdir*' -o -name '*.lock'
		ls -d "$MNT"/.loam/staging/* 2>/dev/null
	) >"$DIR/left"
	[ ! -s "$DIR/left" ]
}
wait_until 20 nothing_left || fail "there is left: $(cat "$DIR/left")"
check_volume
