"""Wrong logins without pause from one address at a door, while another address works.

  guessing.py http TRIES           PORT and TOKEN_alice in the environment
  guessing.py ssh TRIES KEYS CONFIG   SSH_PORT; KEYS: a folder of six keys that nobody has; CONFIG: alice's for ssh

Prints what both sides met. Ends with 1 when alice was refused once, or when a guess was right.
"""
import base64
import collections
import glob
import http.client
import os
import subprocess
import sys
import threading
import time

STRANGER, ALICE = "127.0.0.3", "127.0.0.2"
AT_ONCE = 12


class Guesses:
    """TRIES answers, shared by threads; what each answer was."""

    def __init__(self, tries):
        self.left, self.met, self.lock = tries, collections.Counter(), threading.Lock()

    def count(self, what, tries):
        with self.lock:
            self.met[what] += tries
            self.left -= tries if what != "dropped" else 0

    def run(self, guess):
        """guess(number) says what it met, and how many tries that was."""
        def work(number):
            while self.left > 0:
                self.count(*guess(number))
        threads = [threading.Thread(target=work, args=(i,), daemon=True) for i in range(AT_ONCE)]
        for thread in threads:
            thread.start()
        return threads


def http_get(address, auth):
    link = http.client.HTTPConnection("127.0.0.1", int(os.environ["PORT"]), timeout=60, source_address=(address, 0))
    link.request("GET", "/alice/model.git/info/refs?service=git-upload-pack", headers={
        "Authorization": "Basic " + base64.b64encode(auth.encode()).decode()})
    status = link.getresponse().status
    link.close()
    return status


def http_guess(number):
    name = ("alice", "bob", "nobody-here")[number % 3]
    return http_get(STRANGER, f"{name}:wrong-{number}-{time.monotonic_ns()}"), 1


def ssh(address, options, *words):
    return subprocess.run(["ssh", "-b", address, "-p", os.environ["SSH_PORT"], "-o", "StrictHostKeyChecking=no", "-o",
                           "UserKnownHostsFile=/dev/null", *options, "loam@127.0.0.1", *words],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")


def ssh_guess(_):
    keys = sorted(glob.glob(sys.argv[3] + "/key?"))
    done = ssh(STRANGER, ["-F", "none", "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-o", "BatchMode=yes"] +
               [word for key in keys for word in ("-i", key)])
    if "Too many authentication failures" in done.stderr or "Permission denied" in done.stderr:
        return "refused", len(keys)
    return "dropped" if done.returncode == 255 else "let in", 1


def alice_by_http():
    return http_get(ALICE, "alice:" + os.environ["TOKEN_alice"]) == 200


def alice_by_ssh():
    return "hello alice" in ssh(ALICE, ["-F", sys.argv[4]]).stderr


guess, alice = {"http": (http_guess, alice_by_http), "ssh": (ssh_guess, alice_by_ssh)}[sys.argv[1]]
guesses, took, refused = Guesses(int(sys.argv[2])), [], 0
began = time.monotonic()
threads = guesses.run(guess)
while any(thread.is_alive() for thread in threads):
    asked = time.monotonic()
    refused += not alice()
    took.append((time.monotonic() - asked) * 1000)
    time.sleep(0.05)
took.sort()
print(f"{sys.argv[1]}: {dict(guesses.met)} in {time.monotonic() - began:.0f} s from one address; "
      f"alice: {len(took)} logins, {refused} refused, median {took[len(took) // 2]:.0f} ms, longest {took[-1]:.0f} ms")
wrong = [what for what in guesses.met if what not in (401, 429, 503, "refused", "dropped")]
sys.exit(1 if refused or wrong or not took else 0)
