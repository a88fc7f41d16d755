#!/bin/bash
# `loam ssh enable` lets the host's own sshd take sessions, for one account, and `disable` takes it back.
# Everything that it would change on a host is a copy in this story's own mount namespace.
. "$(dirname "$0")/ssh.sh.inc"
ssh_story "the sshd of the host"
cp -a /etc/ssh "$DIR/etc/ssh"
mount --bind "$DIR/etc/ssh" /etc/ssh
mount -t tmpfs -o mode=755 tmpfs /usr/local/bin
rm -f /etc/ssh/ssh_host_*
printf 'Include /etc/ssh/sshd_config.d/*.conf\nUsePAM no\n' >/etc/ssh/sshd_config
mkdir -p /etc/ssh/sshd_config.d /run/sshd
ssh-keygen -A >>"$DIR/commands.out"
SSH_LISTEN=off
start_up
grep -q 'ssh://' "$DIR/up.out" && fail "SSH is off, and up names a door"
SSH_PORT=$(free_port)
SSH_URL=ssh://loam@127.0.0.1:$SSH_PORT
add_ssh_user alice
loam repo create team/model --owner alice >/dev/null 2>"$DIR/said"
grep -q 'over SSH' "$DIR/said" && fail "a URL over SSH without a door"
/usr/sbin/sshd -D -p "$SSH_PORT" -E "$DIR/sshd.out" &
SSHD=$!
wait_until 20 ssh-keyscan -p "$SSH_PORT" 127.0.0.1 || fail "sshd"
before=$(cd /etc/ssh && find . -type f | sort | xargs sha256sum)

step "a program that others could change is refused, and nothing is done"
must_fail loam ssh enable
grep -q '/usr/local/bin/loam' "$DIR/refused.out" || fail "no way out is told: $(cat "$DIR/refused.out")"
install -m 755 "$DIR/bin/loam" /usr/local/bin/loam
must_fail as alice /usr/local/bin/loam ssh enable
shadow() { sed "$1" /etc/shadow >"$DIR/shadow.new" && cat "$DIR/shadow.new" >/etc/shadow; } # in place: it is a mount
shadow 's/^loam:\*/loam:!/'
must_fail /usr/local/bin/loam ssh enable
grep -q "usermod --password '\*' loam" "$DIR/refused.out" || fail "a locked account: $(cat "$DIR/refused.out")"
shadow 's/^loam:!/loam:*/'
echo "Port 99999" >/etc/ssh/sshd_config.d/broken.conf
must_fail /usr/local/bin/loam ssh enable
rm /etc/ssh/sshd_config.d/broken.conf
sed -i 's/^Include/#Include/' /etc/ssh/sshd_config
must_fail /usr/local/bin/loam ssh enable
grep -q 'needs, above its first Match' "$DIR/refused.out" || fail "no Include: $(cat "$DIR/refused.out")"
sed -i 's/^#Include/Include/' /etc/ssh/sshd_config
[ "$before" = "$(cd /etc/ssh && find . -type f | sort | xargs sha256sum)" ] || fail "a refusal has changed something"

step "a dry run prints, and changes nothing"
/usr/local/bin/loam ssh enable --dry-run >"$DIR/dry.out" 2>>"$DIR/commands.out"
grep -qx 'Match User loam' "$DIR/dry.out" || fail "the dry run: $(cat "$DIR/dry.out")"
[ "$before" = "$(cd /etc/ssh && find . -type f | sort | xargs sha256sum)" ] || fail "the dry run has changed something"

step "enabled: sessions of one account come in, others are as before"
/usr/local/bin/loam ssh enable 2>"$DIR/said"
grep -q SIGHUP "$DIR/said" || fail "it does not say what it did: $(cat "$DIR/said")"
cmp -s "$DIR/dry.out" /etc/ssh/sshd_config.d/loam.conf || fail "not what the dry run printed"
hold_connections 100
expect_ssh 1 "hello alice" alice -b 127.0.0.2
let_connections_go
/usr/sbin/sshd -T -C user=root,host=localhost,addr=127.0.0.1 | grep '^authorizedkeyscommand none' >/dev/null || fail "root is concerned"
wait_until 20 git_as alice ls-remote "$SSH_URL/team/model.git" || fail "no session: $(tail -n 5 "$DIR/sshd.out")"
work=$DIR/home/alice/model
git_as alice clone -q "$SSH_URL/team/model.git" "$work" 2>>"$DIR/commands.out"
echo one | as alice tee "$work/file" >/dev/null
as alice git -C "$work" add .
as alice git -C "$work" commit -qm one
git_as alice -C "$work" push -q origin main 2>>"$DIR/commands.out"
same_as_checkout "$work" "$MNT/models/team/model"
expect_ssh 1 "hello alice" alice
loam ssh status | grep 'sshd *enabled' >/dev/null || fail "status: $(loam ssh status)"
git config -f "$LOAM_CONFIG" ssh.url "$SSH_URL"
loam repo create team/two --owner alice 2>&1 >/dev/null | grep -F "$SSH_URL/team/two.git" >/dev/null || fail "ssh.url is not printed"
/usr/local/bin/loam ssh enable 2>>"$DIR/commands.out" # again is the same

step "disabled: as it was"
/usr/local/bin/loam ssh disable 2>>"$DIR/commands.out"
[ "$before" = "$(cd /etc/ssh && find . -type f | sort | xargs sha256sum)" ] || fail "something is left in /etc/ssh"
refused() { ! git_as alice ls-remote "$SSH_URL/team/model.git"; }
wait_until 20 refused || fail "sessions still come in"
/usr/local/bin/loam ssh disable 2>"$DIR/said"
grep -q 'not enabled' "$DIR/said" || fail "twice"
echo "# mine" >/etc/ssh/sshd_config.d/loam.conf
must_fail /usr/local/bin/loam ssh enable
must_fail /usr/local/bin/loam ssh disable
grep -qx '# mine' /etc/ssh/sshd_config.d/loam.conf || fail "somebody else's file"
kill "$SSHD"
