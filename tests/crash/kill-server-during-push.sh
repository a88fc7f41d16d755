#!/bin/bash
# `loam serve` is killed at random moments of pushes, then once at each failpoint. Each time a retry succeeds,
# nothing that was acknowledged is missing, and what the dead server left behind is swept
# (F01, F02, F10, F11, F12, F25; L02, L03, G01, G02, G05, M01, M02, M06, R01, R02).
. "$(dirname "$0")/lib.sh.inc"
story "kill -9 of the server during pushes"
expect_log_errors # git is killed too
ROUNDS=${ROUNDS:-20}
short_staging
start_up
add_user alice
loam repo create team/model --owner alice >/dev/null 2>&1
work=$DIR/home/alice/model
tree=$MNT/models/team/model
bare=$DIR/v/git/models/team/model.git
clone_as alice team/model "$work"
as alice git -C "$work" lfs track '*.bin' >/dev/null

step "$ROUNDS kills at a random moment of a push"
for round in $(seq "$ROUNDS"); do
	new_commit "$work" 8 3 "round $round"
	push_once "$work" &
	pusher=$!
	random_pause 1200
	kill_child serve
	wait $pusher && first=ok || first=failed
	push_until_it_works "$work"
	wait_published "$work" "$tree"
	same_as_checkout "$work" "$tree"
	[ "$(git -C "$bare" rev-parse main)" = "$(git -C "$work" rev-parse HEAD)" ] || fail "the branch in round $round"
	echo "round $round: the push $first, then $TRIES more"
done
wait_healthy

step "git children are killed: receive-pack leaves a quarantine, perhaps a lock"
for round in 1 2 3; do
	new_commit "$work" 1 1 "receive-pack $round"
	push_once "$work" &
	pusher=$!
	for i in $(seq 300); do
		pids=$(pgrep -f "^git receive-pack --stateless-rpc" -P "$(child_pid serve)" || true)
		[ -z "$pids" ] || break
		sleep 0.01
	done
	random_pause 60
	[ -z "$pids" ] || kill -KILL $pids 2>/dev/null || true
	wait $pusher && first=ok || first=failed
	push_until_it_works "$work"
	wait_published "$work" "$tree"
	echo "receive-pack $round: the push $first, then $TRIES more"
done

step "nothing acknowledged is missing, nothing of the dead stays"
staging_is_swept
git_is_clean "$bare"
pool_is_whole "$DIR/oids"
check_volume
stop_up

# Each server of one round dies at the same point again: a client that tries for long would only wait.
as alice git -C "$work" config lfs.transfer.maxretries 1
for point in lfs.upload.staged lfs.upload.first_block lfs.upload.blocks lfs.upload.before_commit \
	lfs.upload.after_commit lfs.upload.before_answer hook.pre_receive.checked hook.post_receive.begun \
	publish.begun publish.job publish.stored publish.batch publish.built publish.committed publish.done; do
	step "killed at $point"
	install -m 666 /dev/null "$DIR/points" # the server is not root
	LOAM_FAILPOINT=$point:kill:1 LOAM_FAILPOINT_LOG=$DIR/points start_up
	before=$(git -C "$bare" rev-parse main)
	new_commit "$work" 5 1 "at $point"
	push_once "$work" || true
	grep -qx "$point" "$DIR/points" || fail "$point was not reached: $(tr '\n' ' ' <"$DIR/points")"
	shown=$(getfattr --only-values -n user.loam.commit "$tree" 2>/dev/null)
	[ "$shown" = "$before" ] || [ "$shown" = "$(git -C "$work" rev-parse HEAD)" ] || fail "a commit that nobody pushed"
	stop_up
	start_up
	case $point in
	publish.* | hook.post_receive.*) # the refs had moved: nobody has to push again
		[ "$(git -C "$bare" rev-parse main)" = "$(git -C "$work" rev-parse HEAD)" ] || fail "the push is lost"
		wait_published "$work" "$tree"
		;;
	esac
	push_until_it_works "$work"
	[ "$TRIES" = 1 ] || fail "the retry took $TRIES tries"
	wait_published "$work" "$tree"
	same_as_checkout "$work" "$tree"
	staging_is_swept
	git_is_clean "$bare"
	stop_up
done

step "the volume is sound"
start_up
pool_is_whole "$DIR/oids"
check_volume --deep
