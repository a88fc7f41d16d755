#!/bin/bash
# What an administrator's command has made works when the command returns, at a server that looked at the accounts
# a moment before: keys, deploy keys, tokens, passwords, accounts; also while others try wrong tokens without pause.
. "$(dirname "$0")/ssh.sh.inc"
ssh_story "known at once"
start_up
add_ssh_user alice
loam repo create alice/model --owner alice >/dev/null 2>&1
refs=$URL/alice/model.git/info/refs?service=git-upload-pack
asks() # STATUS [curl options]: of alice's repository
{
	local wanted=$1
	shift
	expect "$wanted" "$(http_status "$@" "$refs")" "$*"
}

step "a token, 20 times; revoked, it is refused within two seconds"
for i in $(seq 20); do
	asks 200 -u "alice:$TOKEN_alice" # the server has just looked
	token=$(loam user token alice --label "t$i" 2>>"$DIR/commands.out")
	asks 200 -u "alice:$token"
done
loam user token alice --list >"$DIR/tokens"
loam user token alice --revoke "$(awk '/t20/ { print $1 }' "$DIR/tokens")" 2>>"$DIR/commands.out"
is_refused() { [ "$(http_status -u "alice:$token" "$refs")" = 401 ]; }
wait_until 2 is_refused || fail "a revoked token still works"

step "an account, its password, its token as bearer"
loam user add carol >/dev/null 2>>"$DIR/commands.out"
echo 'correct horse battery' | loam user password carol 2>>"$DIR/commands.out"
expect 404 "$(http_status -u 'carol:correct horse battery' "$refs")" "carol is known, and may not read"
loam grant carol read alice/model 2>>"$DIR/commands.out"
asks 200 -u 'carol:correct horse battery'
asks 200 -H "Authorization: Bearer $(loam user token carol 2>>"$DIR/commands.out")"

step "a key, 20 times"
for i in $(seq 20); do
	make_key alice "key$i"
	use_key alice "key$i"
	loam user key add alice "$DIR/home/alice/.ssh/key$i.pub" >"$DIR/key.id" 2>>"$DIR/commands.out"
	expect_ssh 1 "hello alice" alice
done

step "a deploy key"
make_key alice deploy
use_key alice deploy
[ "$(ssh_status alice)" = 255 ] || fail "a key that nobody has"
loam repo key add alice/model "$DIR/home/alice/.ssh/deploy.pub" >/dev/null 2>>"$DIR/commands.out"
git_as alice ls-remote "$SSH_URL/alice/model.git" || fail "a deploy key is not known at once"

step "while strangers try a token that nobody has, without pause"
wrong=hf_$(printf 'A%.0s' $(seq 43))
crc=$(python3 -c '
import string, zlib
digits, crc, text = string.digits + string.ascii_uppercase + string.ascii_lowercase, zlib.crc32(b"A" * 43), ""
for _ in range(6): crc, text = crc // 62, digits[crc % 62] + text
print(text)')
for i in 1 2 3; do
	(
		set +e
		while :; do
			curl -s -o /dev/null --interface "127.0.0.$((i + 10))" -u "x:$wrong$crc" "$refs"
		done
	) &
done
for i in $(seq 5); do
	token=$(loam user token alice --label "u$i" 2>>"$DIR/commands.out")
	asks 200 -u "alice:$token"
done
expect 429 "$(http_status --interface 127.0.0.11 -u "x:$wrong$crc" "$refs")" "the stranger is slowed down"
asks 200 --interface 127.0.0.11 -u "alice:$token"
# shellcheck disable=SC2046
kill $(jobs -p | grep -vx "$UP_PID")
check_volume
