#!/bin/bash
# A user's own verbs: logged in once, she makes repositories, grants, tokens and groups' members through the
# server, without the volume's URL; git asks for no password; the same words, output and exit status as the
# administrator's way; what she may not, she may not here either.
. "$(dirname "$0")/lib.sh.inc"
story "a user's own verbs"
start_up
for name in alice bob carol; do add_user $name; done
PASSWORD="correct horse battery"
loam user password alice <<<"$PASSWORD"
loam group add team >>"$DIR/commands.out" 2>&1
loam group member add team alice --manager 2>>"$DIR/commands.out"
# The user's own process sees neither the configuration (0600, root's) nor a volume.
mine() { # NAME COMMAND …
	local name=$1
	shift
	as "$name" env -u LOAM_META GIT_CONFIG_NOSYSTEM=1 "$@"
}
status_of() { # COMMAND …: its status in STATUS, its output in $DIR/out and $DIR/err
	STATUS=0
	"$@" >"$DIR/out" 2>"$DIR/err" </dev/null || STATUS=$?
}
done_with() { # WANTED-STATUS WHAT
	[ "$STATUS" = "$1" ] || fail "$2: status $STATUS, wanted $1: $(cat "$DIR/out" "$DIR/err")"
}
complains() { grep -q -- "$1" "$DIR/err" || fail "no '$1' in: $(cat "$DIR/err")"; }

step "nobody is logged in: one line says what to do"
status_of mine alice loam repo list
done_with 1 "repo list without a login"
complains 'loam login URL'
[ "$(wc -l <"$DIR/err")" = 1 ] || fail "more than one line: $(cat "$DIR/err")"

step "login, by password from stdin; the token is hers alone"
STATUS=0
mine alice loam login "$URL" --user alice >"$DIR/out" 2>"$DIR/err" <<<"not her password" || STATUS=$?
done_with 1 "a wrong password"
[ ! -e "$DIR/home/alice/.config/loam/logins.json" ] || fail "a wrong password left a login"
mine alice loam login "$URL/" --user alice >"$DIR/out" 2>"$DIR/err" <<<"$PASSWORD" || fail "login: $(cat "$DIR/err")"
[ ! -s "$DIR/out" ] || fail "login printed $(cat "$DIR/out")"
complains "git config --global credential.$URL.helper '!loam credential'"
logins=$DIR/home/alice/.config/loam/logins.json
[ "$(stat -c '%a %u' "$logins")" = "600 $UID_alice" ] || fail "logins.json: $(stat -c '%a %u' "$logins")"
[ "$(stat -c %a "$(dirname "$logins")")" = 700 ] || fail "its folder: $(stat -c %a "$(dirname "$logins")")"
[ "$(mine alice loam whoami)" = alice ] || fail "whoami"
mine alice loam whoami --json | python3 -c 'import json, sys
u = json.load(sys.stdin)
assert u["name"] == "alice" and u["credential"]["scope"] == "admin" and u["groups"] == ["team"], u'

step "her repositories: made, listed, shown, opened"
status_of mine alice loam repo create alice/model
done_with 0 "repo create"
[ "$(cat "$DIR/out")" = "$URL/alice/model.git" ] || fail "repo create: $(cat "$DIR/out")"
status_of mine alice loam repo create alice/model
done_with 1 "twice"
status_of mine alice loam repo create bob/model
done_with 1 "in bob's namespace"
status_of mine alice loam repo create team/shared --internal
done_with 0 "in a group's namespace: $(cat "$DIR/err")"
status_of mine alice loam repo create alice/x --private --public
done_with 2 "two visibilities"
[ "$(mine alice loam repo list | awk '{ print $1 }' | xargs)" = "models/alice/model models/team/shared" ] ||
	fail "repo list: $(mine alice loam repo list)"
for words in "repo show alice/model" "repo show alice/model --json" "repo list --json" "user token alice --list --json" \
	"group show team" "group show team --json" "group list" "namespace show alice" "namespace show alice --json"; do
	loam $words >"$DIR/by-admin"
	mine alice loam $words >"$DIR/by-alice" || fail "loam $words"
	cmp -s "$DIR/by-admin" "$DIR/by-alice" || fail "loam $words: $(diff "$DIR/by-admin" "$DIR/by-alice")"
done
mine alice loam repo visibility alice/model public
[ "$(curl -s "$URL/api/v1/repos/alice/model" | python3 -c 'import json, sys; print(json.load(sys.stdin)["visibility"])')" = public ] ||
	fail "visibility"
mine alice loam repo visibility alice/model private
expect 401 "$(http_status "$URL/api/v1/repos/alice/model")" "anonymous, private"

step "git asks nothing: loam credential answers"
rm -f "$DIR/home/alice/.git-credentials"
mine alice git config --global --unset-all credential.helper
mine alice git config --global "credential.$URL.helper" '!loam credential'
mine alice git clone -q "$URL/alice/model.git" "$DIR/home/alice/model" 2>>"$DIR/commands.out"
(
	cd "$DIR/home/alice/model"
	mine alice git lfs install --local >>"$DIR/commands.out"
	mine alice git lfs track '*.bin' >>"$DIR/commands.out"
	echo weights | as alice tee w.bin >/dev/null
	mine alice git add .
	mine alice git commit -qm one
	mine alice git push -q origin main 2>>"$DIR/commands.out"
	mine alice git checkout -q -b next
	echo more | as alice tee more >/dev/null
	mine alice git add .
	mine alice git commit -qm two
	mine alice git push -q origin next 2>>"$DIR/commands.out"
)
[ "$(cat "$MNT/models/alice/model/w.bin")" = weights ] || fail "not on the mount"
status_of mine alice loam repo default-branch alice/model next
done_with 0 "default-branch: $(cat "$DIR/err")"
[ "$(cat "$MNT/models/alice/model/more")" = more ] || fail "the other branch is not on the mount"
status_of mine alice loam repo default-branch alice/model none
done_with 1 "a branch that is not there"

step "grants: true at once for others, who log in with a token"
mine bob loam login "$URL" --user whoever >"$DIR/out" 2>"$DIR/err" <<<"$TOKEN_bob" || fail "bob's login: $(cat "$DIR/err")"
[ "$(mine bob loam whoami)" = bob ] || fail "bob's whoami"
status_of mine bob loam repo show alice/model
done_with 1 "bob before the grant"
absent=$(sed 's|alice/model|alice/none|' "$DIR/err")
status_of mine bob loam repo show alice/none
[ "$(cat "$DIR/err")" = "$absent" ] || fail "forbidden and absent differ: '$absent', $(cat "$DIR/err")"
status_of mine alice loam grant bob read alice/model
done_with 0 "grant: $(cat "$DIR/err")"
complains 'bob has read on models/alice/model'
mine bob loam repo show alice/model >/dev/null || fail "bob after the grant"
[ "$(as bob cat "$MNT/models/alice/model/w.bin")" = weights ] || fail "bob on the mount"
for words in "grant carol read alice/model" "revoke bob alice/model" "repo delete alice/model" "repo visibility alice/model public" \
	"repo default-branch alice/model main"; do
	status_of mine bob loam $words
	done_with 1 "bob: $words"
done
status_of mine bob loam grant nobody read alice/model
done_with 1 "bob's grant to nobody"
status_of mine alice loam grant team write alice/
done_with 0 "a grant on the namespace: $(cat "$DIR/err")"
mine alice loam repo show alice/model | says 'team  *group' || fail "inherited: $(mine alice loam repo show alice/model)"
mine alice loam revoke team alice/ 2>>"$DIR/commands.out" || fail "revoke on the namespace"
mine alice loam revoke bob alice/model 2>>"$DIR/commands.out" || fail "revoke"
status_of mine bob loam repo show alice/model
done_with 1 "bob after the revocation"

step "a group's manager needs no administrator"
status_of mine bob loam group member add team bob
done_with 1 "bob makes himself a member"
mine alice loam group member add team bob 2>>"$DIR/commands.out" || fail "member add"
loam group show team --json | says '"members":\["alice","bob"\]' || fail "members: $(loam group show team --json)"
mine alice loam group member del team bob 2>>"$DIR/commands.out" || fail "member del"
for words in "group member del team alice" "group member add team alice"; do
	status_of mine alice loam $words
	done_with 1 "the last manager: $words"
	complains "the last manager of 'team'"
done
mine alice loam group member add team bob --manager 2>>"$DIR/commands.out" || fail "a second manager"
mine alice loam group member add team alice 2>>"$DIR/commands.out" || fail "one of two managers becomes a member"
loam group member add team alice --manager 2>>"$DIR/commands.out"
loam group member del team bob 2>>"$DIR/commands.out"

step "tokens: none is stronger than the one it is made with"
read_only=$(mine alice loam user token --scope read --label ci 2>>"$DIR/commands.out")
[[ $read_only =~ ^hf_[A-Za-z0-9]{49}$ ]] || fail "user token: $read_only"
bound=$(mine alice loam user token --scope admin --repo alice/model --days 5 2>>"$DIR/commands.out")
status_of mine alice loam user token --days 365
done_with 1 "a token that lives longer than its maker"
status_of mine alice loam user token --days 0
done_with 1 "a token without an end"
status_of mine alice loam user token bob
done_with 1 "a token of another user"
id=$(mine alice loam user token --list --json | python3 -c 'import json, sys; print([t["id"] for t in json.load(sys.stdin) if t["label"] == "ci"][0])')
mkdir -p "$DIR/home/alice/weak"
chown "$UID_alice" "$DIR/home/alice/weak"
weak() { # TOKEN COMMAND …: logged in with that token, in a folder of its own
	local token=$1
	shift
	XDG_CONFIG_HOME=$DIR/home/alice/weak mine alice loam login "$URL" 2>"$DIR/err" <<<"$token" || fail "weak login: $(cat "$DIR/err")"
	XDG_CONFIG_HOME=$DIR/home/alice/weak status_of mine alice loam "$@"
}
weak "$read_only" repo show alice/model
done_with 0 "a read token shows"
for words in "repo create alice/other" "repo delete alice/model" "repo visibility alice/model public" "grant bob read alice/model" \
	"user token" "user token --revoke $id-" "group member add team bob"; do
	weak "$read_only" $words
	done_with 1 "a read token: $words"
done
weak "$bound" repo show alice/model
done_with 0 "a bound token, its repository"
for words in "repo create alice/other" "user token" "user token --list" "user show" "namespace list" "group list" "repo show team/shared"; do
	weak "$bound" $words
	done_with 1 "a bound token: $words"
done
weak "$bound" whoami
done_with 0 "a bound token's whoami"
child=$(mine alice loam user token --scope admin 2>>"$DIR/commands.out")
for words in "user token" "user key add alice $DIR/child.pub"; do
	ssh-keygen -q -t ed25519 -N '' -f "$DIR/child" <<<y >/dev/null
	chmod 644 "$DIR/child.pub"
	weak "$child" $words
	done_with 1 "a token that was made with a token: $words"
	complains 'what was made with a token makes and ends no tokens and keys'
done
mine alice loam user token --list | says "made with" || fail "the list does not say what it was made with"
mine alice loam user token --revoke "$id" || fail "revoke a token"
sleep 2
XDG_CONFIG_HOME=$DIR/home/alice/weak mine alice loam logout >>"$DIR/commands.out" 2>&1 || fail "logout of a token that was given"
STATUS=0
XDG_CONFIG_HOME=$DIR/home/alice/weak mine alice loam login "$URL" >"$DIR/out" 2>"$DIR/err" <<<"$read_only" || STATUS=$?
done_with 1 "a login by a revoked token"

step "delete, logout"
mine alice loam repo delete alice/model 2>>"$DIR/commands.out" || fail "delete"
[ ! -e "$MNT/models/alice/model" ] || fail "still on the mount"
token=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[0]["token"])' "$logins")
mine alice loam logout >"$DIR/out" 2>"$DIR/err" || fail "logout: $(cat "$DIR/err")"
sleep 2
expect 401 "$(http_status -H "Authorization: Bearer $token" "$URL/api/v1/user")" "the token after logout"
status_of mine alice loam logout
done_with 1 "logout twice"

step "the administrator's way is as it was; --server goes as the user"
loam repo create alice/again >"$DIR/out" 2>>"$DIR/commands.out"
status_of loam whoami
done_with 1 "the administrator's whoami"
status_of loam repo list --server "$URL"
done_with 1 "--server without a login"
complains "loam login $URL"
status_of loam repo list --server "$URL" --meta x
done_with 1 "--server with --meta"
status_of mine bob loam repo list --server "https://[::1]:1"
done_with 1 "another server"
status_of mine bob loam login http://192.0.2.1 --user bob
done_with 1 "plain HTTP to another host"
complains plain-http
for url in ftp://x "$URL/path" "http://alice:pw@127.0.0.1" nonsense://x ""; do
	status_of mine bob loam login "$url" --user bob
	done_with 1 "login at '$url'"
done
chmod 644 "$DIR/home/bob/.config/loam/logins.json"
status_of mine bob loam whoami
done_with 1 "logins that others may read"
complains 'chmod 600'
check_volume
