#!/usr/bin/env python3
"""Random operations through two mounts of one volume and, for the expected result, in a plain directory.

    two_clients.py turns SEED ROUNDS OPS MOUNT_A MOUNT_B PLAIN    the mounts take turns, the plain directory
                                                                 does the same; after each turn all three
                                                                 must show the same
    two_clients.py race SEED OPS MOUNT_A MOUNT_B                  both at once in one tree; at the end
                                                                 both must show the same

The mounts must cache attributes for at most SETTLE seconds. Needs root: some operations run as other uids.
Exit status 1 and one line per difference when the views differ.
"""
import ctypes
import errno
import hashlib
import os
import random
import stat
import struct
import sys
import time

SETTLE = 1.2
UIDS = [0, 0, 0, 20001, 20002]
LIBC = ctypes.CDLL(None, use_errno=True)
NOREPLACE, EXCHANGE = 1, 2
KEEP_SIZE, PUNCH, ZERO = 1, 2, 16
CHUNK = 64 << 20
MAKERS = {"write", "append", "symlink", "mkdir", "fifo"}
FILE_KINDS = {"overwrite", "truncate", "link", "unlink", "fallocate", "copy", "unlinked"}
FOLDER_KINDS = {"rmdir"}


def checked(result):
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def acl_blob(random_, named):
    """A POSIX ACL as the kernel takes it; the group class has a mask when somebody is named."""
    bits = lambda: random_.randrange(8)
    entries = [(1, bits() | 4, 0xFFFFFFFF)]
    if named:
        for uid in sorted(random_.sample([20001, 20002, 20003], random_.randrange(1, 3))):
            entries.append((2, bits(), uid))
    entries.append((4, bits(), 0xFFFFFFFF))
    if named:
        if random_.random() < 0.5:
            entries.append((8, bits(), 20002))
        entries.append((16, bits(), 0xFFFFFFFF))
    entries.append((32, bits(), 0xFFFFFFFF))
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


class Names:
    """The names an operation may choose: few, so that operations meet; half of them known to be there."""

    def __init__(self, random_, known):
        self.random = random_
        self.folders = [path for path, is_folder in known if is_folder]
        self.files = [path for path, is_folder in known if not is_folder]
        self.leaves = ["a", "b", "c", "d", "\u00fc" * 60, b"\xff\xfe raw".decode("utf-8", "surrogateescape")]

    def fresh(self):
        """A name in a directory that is there; it may be taken."""
        return os.path.join(self.random.choice(self.folders + [""]), self.random.choice(self.leaves + ["p", "q"]))

    def path(self, kind):
        if kind in MAKERS or self.random.random() < 0.15:
            return self.fresh()
        wants_file = kind in FILE_KINDS or (kind not in FOLDER_KINDS and self.random.random() < 0.6)
        chosen = self.files if wants_file else self.folders
        return self.random.choice(chosen) if chosen else self.fresh()


def make_ops(random_, count, big, known):
    """A list of (uid, name, arguments): decided here, so that each tree gets the same."""
    names = Names(random_, known)
    weights = {
        "write": 8, "append": 6, "overwrite": 6, "truncate": 5, "rename": 9, "link": 5, "symlink": 3,
        "setxattr": 3, "removexattr": 2, "acl": 5, "acl_remove": 2, "mkdir": 9, "rmdir": 3, "unlink": 7,
        "chmod": 4, "chown": 3, "utime": 2, "fallocate": 3, "copy": 4, "fifo": 1, "unlinked": 2,
    }
    kinds = list(weights)
    ops = []
    for kind in random_.choices(kinds, [weights[k] for k in kinds], k=count):
        seed = random_.randrange(1 << 30)
        size = random_.choice([0, 1, 100, 4096, 5000, 70000, 300000])
        offset = random_.choice([0, 0, 10, 4095, 4096, 65536, 200001])
        if big and random_.random() < 0.15:
            offset += random_.choice([CHUNK - 100, CHUNK, 2 * CHUNK - 5000, 3 * CHUNK + 17, 4 << 20])
        uid = random_.choice(UIDS)
        other = names.fresh() if random_.random() < 0.5 else names.path(kind)
        args = (names.path(kind), other, seed, size, offset)
        ops.append((uid, kind, args))
    return ops


class Tree:
    def __init__(self, root):
        self.root = root

    def at(self, path):
        return os.path.join(self.root, path)

    def run(self, op):
        """0 or the errno."""
        uid, kind, args = op
        os.setgroups([])
        os.setegid(uid)
        os.seteuid(uid)
        os.umask(0o022)
        try:
            getattr(self, "do_" + kind)(*args)
            return 0
        except OSError as failure:
            return failure.errno
        finally:
            os.seteuid(0)
            os.setegid(0)

    def put(self, path, flags, seed, size, offset):
        data = random.Random(seed).randbytes(size)
        fd = os.open(self.at(path), flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise OSError(errno.ENXIO, "no file")
            if flags & os.O_APPEND:
                os.write(fd, data)
            else:
                os.pwrite(fd, data, offset)
        finally:
            os.close(fd)

    def do_write(self, path, other, seed, size, offset):
        self.put(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, seed, size, 0)

    def do_append(self, path, other, seed, size, offset):
        self.put(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, seed, size, 0)

    def do_overwrite(self, path, other, seed, size, offset):
        self.put(path, os.O_RDWR, seed, size, offset)

    def do_truncate(self, path, other, seed, size, offset):
        if os.path.islink(self.at(path)):
            raise OSError(errno.ELOOP, "a link")
        os.truncate(self.at(path), offset)

    def do_rename(self, path, other, seed, size, offset):
        flags = [0, 0, 0, NOREPLACE, EXCHANGE][seed % 5]
        checked(LIBC.renameat2(-100, os.fsencode(self.at(path)), -100, os.fsencode(self.at(other)), flags))

    def do_link(self, path, other, seed, size, offset):
        os.link(self.at(path), self.at(other), follow_symlinks=False)

    def do_symlink(self, path, other, seed, size, offset):
        os.symlink("nowhere/%d" % (seed % 1000), self.at(path))

    def do_setxattr(self, path, other, seed, size, offset):
        flags = [0, 0, os.XATTR_CREATE, os.XATTR_REPLACE][seed % 4]
        os.setxattr(self.at(path), "user.k%d" % (seed % 3), b"v\0%d" % seed, flags, follow_symlinks=False)

    def do_removexattr(self, path, other, seed, size, offset):
        os.removexattr(self.at(path), "user.k%d" % (seed % 3), follow_symlinks=False)

    def do_acl(self, path, other, seed, size, offset):
        random_ = random.Random(seed)
        name = random_.choice(["system.posix_acl_access", "system.posix_acl_access", "system.posix_acl_default"])
        os.setxattr(self.at(path), name, acl_blob(random_, random_.random() < 0.8), 0, follow_symlinks=False)

    def do_acl_remove(self, path, other, seed, size, offset):
        name = ["system.posix_acl_access", "system.posix_acl_default"][seed % 2]
        os.removexattr(self.at(path), name, follow_symlinks=False)

    def do_mkdir(self, path, other, seed, size, offset):
        os.mkdir(self.at(path), [0o777, 0o2775, 0o1777, 0o700][seed % 4])
        os.chmod(self.at(path), [0o777, 0o2775, 0o1777, 0o777][seed % 4])

    def do_rmdir(self, path, other, seed, size, offset):
        os.rmdir(self.at(path))

    def do_unlink(self, path, other, seed, size, offset):
        os.unlink(self.at(path))

    def do_chmod(self, path, other, seed, size, offset):
        if os.path.islink(self.at(path)):
            raise OSError(errno.ELOOP, "a link")
        os.chmod(self.at(path), [0o644, 0o666, 0o755, 0o777, 0o1777, 0o400][seed % 6])

    def do_chown(self, path, other, seed, size, offset):
        ids = [-1, 0, 20001, 20002]
        os.chown(self.at(path), ids[seed % 4], ids[seed // 4 % 4], follow_symlinks=False)

    def do_utime(self, path, other, seed, size, offset):
        os.utime(self.at(path), ns=(seed * 1000003, seed * 1000033), follow_symlinks=False)

    def do_fallocate(self, path, other, seed, size, offset):
        fd = os.open(self.at(path), os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            mode = [0, KEEP_SIZE, PUNCH | KEEP_SIZE, ZERO, ZERO | KEEP_SIZE][seed % 5]
            checked(LIBC.fallocate(fd, mode, ctypes.c_long(offset), ctypes.c_long(size + 1)))
        finally:
            os.close(fd)

    def do_copy(self, path, other, seed, size, offset):
        source = os.open(self.at(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            target = os.open(self.at(other), os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
            try:
                if os.fstat(source).st_ino == os.fstat(target).st_ino:
                    return
                left, position = size, 0
                while left > 0:
                    copied = os.copy_file_range(source, target, left, position, offset + position)
                    if copied == 0:
                        break
                    left, position = left - copied, position + copied
            finally:
                os.close(target)
        finally:
            os.close(source)

    def do_fifo(self, path, other, seed, size, offset):
        os.mkfifo(self.at(path), 0o644)

    def do_unlinked(self, path, other, seed, size, offset):
        """An open file loses its name and is read and written on."""
        fd = os.open(self.at(path), os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise OSError(errno.ENXIO, "no file")
            os.unlink(self.at(path))
            data = random.Random(seed).randbytes(size)
            os.pwrite(fd, data, offset)
            if os.pread(fd, size, offset) != data:
                raise OSError(errno.EIO, "other bytes")
        finally:
            os.close(fd)

    def known(self):
        """(path, may something be made in it?) of all that is there."""
        found = []
        for at, folders, files in os.walk(self.root):
            at = os.path.relpath(at, self.root)
            depth = 0 if at == "." else at.count("/") + 1
            found += [(os.path.normpath(os.path.join(at, name)), depth < 3) for name in folders]
            found += [(os.path.normpath(os.path.join(at, name)), False) for name in files]
        return sorted(found, key=lambda one: os.fsencode(one[0]))

    # ---- what a tree shows -----------------------------------------------------------------------
    def show(self, exact):
        """path → what it shows. exact: also what only two views of one volume have in common."""
        shown = {}
        pending = [""]
        while pending:
            path = pending.pop()
            full = self.at(path) if path else self.root
            shown[path] = self.show_one(full, exact)
            if stat.S_ISDIR(os.lstat(full).st_mode):
                pending += [os.path.join(path, name) for name in os.listdir(full)]
        return shown

    def show_one(self, full, exact):
        info = os.lstat(full)
        one = {
            "mode": oct(info.st_mode), "uid": info.st_uid, "gid": info.st_gid, "nlink": info.st_nlink,
            "xattr": {n: os.getxattr(full, n, follow_symlinks=False)
                      for n in sorted(os.listxattr(full, follow_symlinks=False)) if n[:9] != "security."},
        }
        if not stat.S_ISDIR(info.st_mode):
            one["size"] = info.st_size
        if stat.S_ISLNK(info.st_mode):
            one["target"] = os.readlink(full)
        if stat.S_ISREG(info.st_mode):
            digest = hashlib.sha256()
            with open(full, "rb", buffering=0) as file:
                while True:
                    data = file.read(1 << 20)
                    if not data:
                        break
                    digest.update(data)
            one["sha256"] = digest.hexdigest()
        if exact:
            one.update(ino=info.st_ino, mtime=info.st_mtime_ns, ctime=info.st_ctime_ns, rdev=info.st_rdev,
                       blocks=info.st_blocks)
        return one


def differences(title, left, right):
    """Lines; keys that only one side shows (exact ones) are no difference."""
    lines = []
    for path in sorted(set(left) | set(right), key=os.fsencode):
        one, two = left.get(path), right.get(path)
        if one is None or two is None:
            lines.append("%s: %r stands on one side only (%s)" % (title, path, "right" if one is None else "left"))
            continue
        for key in one:
            if key in two and one[key] != two[key]:
                lines.append("%s: %r %s: %s, %s" % (title, path, key, one[key], two[key]))
    return lines


def report(lines):
    for line in lines[:40]:
        print(line)
    if lines:
        sys.exit(1)


def prepare(roots):
    """Directories to begin with, in which everybody may do something."""
    for root in roots:
        os.chmod(root, 0o777)
        for path in ["p", "q", "r", "p/q", "q/r", "r/p", "p/p", "q/q"]:
            os.makedirs(os.path.join(root, path), exist_ok=True)
            os.chmod(os.path.join(root, path), 0o777)


def turns(seed, rounds, count, mounts, plain):
    random_ = random.Random(seed)
    trees = [Tree(mount) for mount in mounts]
    expected = Tree(plain)
    prepare([mounts[0], plain])
    done = 0
    for turn in range(rounds):
        actor = trees[turn % 2]
        log = []
        for op in make_ops(random_, count, True, expected.known()):
            got = actor.run(op)
            done += got == 0
            if op[1] == "rename" and got == errno.EACCES:
                # In the format a directory of somebody else's leaves a sticky one for no one but root,
                # not for the sticky one's owner either. Both clients hold to it, Linux does not.
                continue
            wanted = expected.run(op)
            log.append("%s -> %s" % (op, errno.errorcode.get(got, got)))
            if wanted != got:
                log[-1] += " WANTED %s" % errno.errorcode.get(wanted, wanted)
                print("round %d, mount %d: %s" % (turn, turn % 2, log[-1]))
                sys.exit(1)
        time.sleep(SETTLE)
        left, right = trees[0].show(True), trees[1].show(True)
        lines = differences("round %d: mounts" % turn, left, right)
        lines += differences("round %d: mount and plain" % turn, left, expected.show(False))
        if lines:
            print("\n".join(log))
        report(lines)
    print("turns: seed %d, %d rounds, %d operations succeeded, %d names at the end" %
          (seed, rounds, done, len(left)))


def race(seed, count, mounts):
    prepare(mounts[:1])
    children = []
    for index, mount in enumerate(mounts):
        child = os.fork()
        if child == 0:
            tree, done = Tree(mount), 0
            strange = {}
            random_ = random.Random(seed * 2 + index)
            for _ in range(0, count, 50):
                for op in make_ops(random_, 50, False, tree.known()):
                    code = tree.run(op)
                    done += code == 0
                    if code in (errno.EIO, errno.ETIMEDOUT, errno.EINTR, errno.EAGAIN):
                        strange[(op[1], code)] = strange.get((op[1], code), 0) + 1
            print("race: seed %d, mount %d: %d of %d operations succeeded%s" %
                  (seed, index, done, count, ", strange: %s" % strange if strange else ""), flush=True)
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    time.sleep(SETTLE)
    left, right = [Tree(mount).show(True) for mount in mounts]
    report(differences("race", left, right))
    print("race: %d names at the end, shown alike" % len(left))


def main():
    words = sys.argv[1:]
    if len(words) == 7 and words[0] == "turns":
        turns(int(words[1]), int(words[2]), int(words[3]), words[4:6], words[6])
    elif len(words) == 5 and words[0] == "race":
        race(int(words[1]), int(words[2]), words[3:5])
    else:
        sys.exit(__doc__)


main()
