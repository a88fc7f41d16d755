#!/bin/bash
# serve, its git children and the private Redis are ordinary accounts without a capability; ports below 1024 and
# the TLS key still work; a folder that root had is handed over; what root's commands make stays usable; plugins of
# other accounts reach hook.sock; git reaches one repository.
. "$(dirname "$0")/lib.sh.inc"
story "who runs as what"
SERVICE=20000
start_up
add_user alice
add_user bob
loam repo create alice/one --owner alice >>"$DIR/commands.out" 2>&1
loam repo create bob/two --owner bob >>"$DIR/commands.out" 2>&1
field() { awk -v f="$2:" '$1 == f { print $2 }' "/proc/$1/status"; }
is_ordinary() # PID UID WHAT
{
	expect "$2" "$(awk '/^Uid:/ { print $2 == $3 && $3 == $4 && $4 == $5 ? $2 : "mixed" }' "/proc/$1/status")" "the uid of $3"
	local set
	for set in CapInh CapPrm CapEff CapBnd CapAmb; do
		expect 0000000000000000 "$(field "$1" $set)" "$set of $3"
	done
	expect 1 "$(field "$1" NoNewPrivs)" "no new privileges of $3"
	expect "" "$(awk '/^Groups:/ { $1 = ""; print }' "/proc/$1/status" | tr -d ' ')" "the groups of $3"
}
all_theirs() # nothing in their folders belongs to anybody else
{
	local other
	other=$(find "$DIR/v/redis" "$DIR/v/blocks" "$DIR/v/git" "$DIR/v/log" ! -uid $SERVICE -printf '%u %p\n' -quit)
	[ -z "$other" ] || fail "not the service account's: $other"
}
push_one() # WORK WORDS
{
	echo "$2" | as alice tee "$1/words" >/dev/null
	as alice git -C "$1" add .
	as alice git -C "$1" commit -qm "$2"
	as alice git -C "$1" push -q origin main >"$DIR/push.out" 2>&1 || fail "$2: $(cat "$DIR/push.out")"
	grep -q 'is on the mount' "$DIR/push.out" || fail "$2: not published: $(cat "$DIR/push.out")"
}

step "the processes"
is_ordinary "$(child_pid serve)" $SERVICE serve
is_ordinary "$(child_pid redis)" $SERVICE redis
expect 0 "$(field "$(child_pid mount)" Uid)" "the uid of the mount"
expect 600 "$(stat -c %a "$DIR/v/hook.sock")" "the mode of hook.sock"
expect "711 0" "$(stat -c '%a %u' "$DIR/v")" "DIR"
[ "$(awk '/^Max core file size/ { print $5 }' "/proc/$(child_pid serve)/limits")" = 0 ] || fail "serve may dump core"
work=$DIR/home/alice/one
clone_as alice alice/one "$work"
push_one "$work" "first"
all_theirs

step "git at work"
echo "user = \"alice:$TOKEN_alice\"" >"$DIR/login"
chmod 600 "$DIR/login"
mkfifo "$DIR/body"
curl -s -o /dev/null -X POST -T - -K "$DIR/login" -H 'Content-Type: application/x-git-receive-pack-request' \
	"$URL/alice/one.git/git-receive-pack" <"$DIR/body" &
client=$!
exec 7>"$DIR/body"
printf 00 >&7
git_pid=
for i in $(seq 100); do
	git_pid=$(pgrep -P "$(child_pid serve)" -x git || true)
	[ -z "$git_pid" ] || break
	sleep 0.1
done
[ -n "$git_pid" ] || fail "no git was seen"
is_ordinary "$git_pid" $SERVICE git
expect 2 "$(field "$git_pid" Seccomp)" "the system calls of git are filtered"
grep -q '^Max cpu time *3600' "/proc/$git_pid/limits" || fail "git may use the CPU for ever: $(grep cpu "/proc/$git_pid/limits")"
grep -qE '^Max file size +8589934592' "/proc/$git_pid/limits" || fail "$(grep 'file size' "/proc/$git_pid/limits")"
exec 7>&-
wait $client || true

step "git does not leave its repository"
if grep -q 'landlock=[1-9]' "$DIR/up.out"; then
	clone_as bob bob/two "$DIR/home/bob/two"
	echo secret | as bob tee "$DIR/home/bob/two/secret" >/dev/null
	as bob git -C "$DIR/home/bob/two" add .
	as bob git -C "$DIR/home/bob/two" commit -qm secret
	as bob git -C "$DIR/home/bob/two" push -q origin main 2>>"$DIR/commands.out"
	commit=$(as bob git -C "$DIR/home/bob/two" rev-parse HEAD)
	one=$DIR/v/git/models/alice/one.git
	# as if a git that was taken over had written it
	setpriv --reuid $SERVICE --regid $SERVICE --clear-groups -- bash -c \
		"echo '$DIR/v/git/models/bob/two.git/objects' >'$one/objects/info/alternates' && echo $commit >'$one/refs/heads/stolen'"
	must_fail as alice git clone -q --branch stolen "$URL/alice/one.git" "$DIR/home/alice/stolen"
	rm "$one/objects/info/alternates" "$one/refs/heads/stolen"
	as alice git clone -q "$URL/alice/one.git" "$DIR/home/alice/honest" 2>>"$DIR/commands.out"
	as alice git clone -q --depth 1 "$URL/alice/one.git" "$DIR/home/alice/shallow" 2>>"$DIR/commands.out"
else
	echo "note: no Landlock here"
fi

step "what root's commands make stays usable"
as alice git -C "$work" push -q origin main:other 2>>"$DIR/commands.out"
loam repo default-branch alice/one other
loam repo default-branch alice/one main
loam repo create bob/three --owner bob >>"$DIR/commands.out" 2>&1
loam repo delete bob/three
printf '%s\n' 'a password of some length' | loam user password alice
cp /bin/ls "$MNT/users/alice/ls"
all_theirs
printf 'user = "alice:a password of some length"\n' >"$DIR/login"
refs="$URL/alice/one.git/info/refs?service=git-upload-pack"
for i in $(seq 5); do
	sleep 1 # accounts are read again after a second at most
	[ "$(http_status -K "$DIR/login" "$refs")" != 200 ] || break
done
expect 200 "$(http_status -K "$DIR/login" "$refs")" "the new password"
push_one "$work" "after root's commands"

step "a plugin whose repository belongs to another account"
loam repo create alice/plugin --owner alice >>"$DIR/commands.out" 2>&1
OTHER=21999
install -d -m 755 -o $OTHER -g $OTHER "$DIR/forge"
bare=$DIR/forge/plugin.git
other() { HOME=$DIR/forge setpriv --reuid $OTHER --regid $OTHER --clear-groups -- "$@"; }
other git init -q --bare -b main "$bare"
chmod 700 "$bare"
loam hook install "$bare" --repo alice/plugin 2>"$DIR/install.out"
grep -q "uid $SERVICE, the account of loam serve, cannot read .*objects" "$DIR/install.out" || fail "nobody says that serve cannot read: $(cat "$DIR/install.out")"
chmod 755 "$bare"
loam hook install "$bare" --repo alice/plugin 2>"$DIR/install.out"
grep -q 'cannot read' "$DIR/install.out" && fail "$(cat "$DIR/install.out")"
expect 666 "$(stat -c %a "$DIR/v/hook.sock")" "the mode of hook.sock with a plugin"
other git init -q -b main "$DIR/forge/work"
other git -C "$DIR/forge/work" -c user.name=o -c user.email=o@example.com commit -q --allow-empty -m one
echo from another server | other tee "$DIR/forge/work/file" >/dev/null
other git -C "$DIR/forge/work" add .
other git -C "$DIR/forge/work" -c user.name=o -c user.email=o@example.com commit -qm two
other git -C "$DIR/forge/work" push "$bare" main >"$DIR/push.out" 2>&1 || fail "the plugin's push: $(cat "$DIR/push.out")"
grep -q 'is on the mount' "$DIR/push.out" || fail "the plugin's push: $(cat "$DIR/push.out")"
expect "from another server" "$(cat "$MNT/models/alice/plugin/file")" "the plugin's tree"

step "a second start: the socket is open to the plugin again; a folder of root is handed over"
stop_up
chown -R root:root "$DIR/v/redis" "$DIR/v/blocks" "$DIR/v/git" "$DIR/v/log"
rm -f "$DIR/v/redis.sock"
start_up
expect 1 "$(grep -c '^info up.given' "$DIR/up.out")" "the line of the hand-over"
all_theirs
for i in $(seq 300); do
	[ "$(stat -c %a "$DIR/v/hook.sock")" != 666 ] || break
	sleep 0.1
done
expect 666 "$(stat -c %a "$DIR/v/hook.sock")" "the mode of hook.sock after the first round"
push_one "$work" "handed over"
stop_up
start_up
grep -q '^info up.given' "$DIR/up.out" && fail "handed over twice"

step "a port below 1024, a TLS key that only root reads, a program below a home of root"
mkdir -m 700 "$DIR/rootshome" "$DIR/tls"
cp "$DIR/bin/loam" "$DIR/rootshome/loam"
openssl req -x509 -newkey rsa:2048 -nodes -keyout "$DIR/tls/key.pem" -out "$DIR/tls/cert.pem" -days 2 \
	-subj /CN=localhost -addext 'subjectAltName=IP:127.0.0.1' 2>>"$DIR/commands.out"
chmod 600 "$DIR/tls/key.pem"
stop_up
PORT=
for port in $(shuf -i 600-1023 -n 100); do
	(exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { PORT=$port && break; }
done
git config -f "$LOAM_CONFIG" server.tlsCert "$DIR/tls/cert.pem"
git config -f "$LOAM_CONFIG" server.tlsKey "$DIR/tls/key.pem"
install -d -m 755 "$DIR/bin2"
ln -s "$DIR/rootshome/loam" "$DIR/bin2/loam"
PATH="$DIR/bin2:$PATH" start_up
is_ordinary "$(child_pid serve)" $SERVICE serve
cat >>"$DIR/home/alice/.gitconfig" <<-EOF
	[http]
		sslVerify = false
	[url "https://127.0.0.1:$PORT/"]
		insteadOf = $(git -C "$work" config remote.origin.url | sed 's|alice/one.git||')
EOF
printf 'https://alice:%s@127.0.0.1:%s\n' "$TOKEN_alice" "$PORT" >>"$DIR/home/alice/.git-credentials"
push_one "$work" "over TLS, hooks from a copy"
all_theirs
git config -f "$LOAM_CONFIG" --unset server.tlsCert
git config -f "$LOAM_CONFIG" --unset server.tlsKey
stop_up

step "server.runAs"
git config -f "$LOAM_CONFIG" server.runAs nobodyknowsme
must_fail timeout 60 loam serve --meta "unix://$DIR/v/redis.sock" --listen 127.0.0.1:0 --repos "$DIR/repos2"
grep -q "server.runAs: this host has no user 'nobodyknowsme'" "$DIR/refused.out" || fail "$(cat "$DIR/refused.out")"
git config -f "$LOAM_CONFIG" server.runAs root
PORT=
start_up
expect 0 "$(field "$(child_pid serve)" Uid)" "the uid of serve as root"
expect 1 "$(field "$(child_pid serve)" NoNewPrivs)" "no new privileges as root"
stop_up
git config -f "$LOAM_CONFIG" server.runAs $SERVICE
# another's folder is not taken: one line says what to do
install -d -m 700 -o $OTHER "$DIR/repos3"
must_fail timeout 60 loam serve --meta "unix://$DIR/v/redis.sock" --listen 127.0.0.1:0 --repos "$DIR/repos3"
grep -q "uid $SERVICE cannot use .*repos3.*chown" "$DIR/refused.out" || fail "$(cat "$DIR/refused.out")"
expect $OTHER "$(stat -c %u "$DIR/repos3")" "the owner of another's folder"
# the audit log: a directory of its own that root made is given, another's is named before anything is served
chown -R root:root "$DIR/v/log"
must_fail timeout 60 loam serve --listen 127.0.0.1:0 --meta "unix://$DIR/v/redis.sock"
expect $SERVICE "$(stat -c %u "$DIR/v/log")" "the owner of the audit log's directory"
expect $SERVICE "$(stat -c %u "$DIR/v/log/audit.log")" "the owner of the audit log"
git config -f "$LOAM_CONFIG" audit.path "$DIR/repos3/audit.log"
must_fail timeout 60 loam serve --listen 127.0.0.1:0 --meta "unix://$DIR/v/redis.sock"
grep -q "uid $SERVICE cannot write the audit log .*repos3/audit.log.*audit.path" "$DIR/refused.out" || fail "$(cat "$DIR/refused.out")"
git config -f "$LOAM_CONFIG" --unset audit.path
# an ordinary user cannot become somebody else
must_fail as alice timeout 60 loam serve --listen 127.0.0.1:0 --repos "$DIR/home/alice/repos"
mkdir -m 700 "$DIR/closed"
must_fail timeout 60 loam up --no-mount --listen "127.0.0.1:$(free_port)" --dir "$DIR/closed/v"
grep -q "uid $SERVICE, the account of Redis and serve, cannot reach" "$DIR/refused.out" || fail "$(cat "$DIR/refused.out")"
start_up
check_volume
