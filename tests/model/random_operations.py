"""Random file operations on two directories at once; every answer must be the same on both.

    random_operations.py SEED SECONDS DIR_A DIR_B

One operation after another is drawn from the seed and done in DIR_A and in DIR_B: names (create,
mkdir, rename, exchange, link, symlink, unlink, rmdir), attributes (mode, times, xattrs), contents
(write, append, read, truncate, punch, zero, copy, maps) by path and through files that stay open
over renames and unlinks. The answers (value or errno) are compared at once, the trees at the end
of each round of a thousand. Exit status 1 and the operation's number at the first difference.
"""
import ctypes
import errno
import hashlib
import mmap
import os
import random
import stat
import sys
import time

NAMES = ["a", "b", "c", "d", "e", "long-" + 100 * "n", "\udcff\udc80"]
BYTES_MAX = 6 << 20  # over one block of 4 MiB
OPEN_MAX = 8
libc = ctypes.CDLL(None, use_errno=True)


def checked(result):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class Side:
    """One of the two directories, with the files that are open in it."""

    def __init__(self, root):
        self.root = root
        self.open_files = {}

    def path(self, name):
        return os.path.join(self.root, name)

    def create(self, name, flags):
        os.close(os.open(self.path(name), os.O_CREAT | os.O_WRONLY | flags, 0o640))

    def mkdir(self, name):
        os.mkdir(self.path(name), 0o750)

    def rmdir(self, name):
        os.rmdir(self.path(name))

    def unlink(self, name):
        os.unlink(self.path(name))

    def rename(self, old, new, flags):
        checked(libc.renameat2(-100, os.fsencode(self.path(old)), -100, os.fsencode(self.path(new)), flags))

    def link(self, old, new):
        os.link(self.path(old), self.path(new), follow_symlinks=False)

    def symlink(self, target, name):
        os.symlink(target, self.path(name))

    def chmod(self, name, mode):
        os.chmod(self.path(name), mode)

    def times(self, name, seconds):
        os.utime(self.path(name), ns=(seconds * 10**9 + 1, seconds * 10**9 + 2), follow_symlinks=False)
        return os.lstat(self.path(name)).st_mtime_ns

    def xattr(self, name, key, value):
        os.setxattr(self.path(name), "user." + key, value)
        return sorted(os.listxattr(self.path(name)))

    def listing(self, name):
        return sorted(os.listdir(self.path(name)))

    def write(self, name, at, data):
        with open(self.path(name), "r+b", buffering=0) as file:
            return os.pwrite(file.fileno(), data, at)

    def append(self, name, data):
        with open(self.path(name), "ab") as file:
            file.write(data)
        return os.stat(self.path(name)).st_size

    def read(self, name, at, count):
        with open(self.path(name), "rb", buffering=0) as file:
            return hashlib.md5(os.pread(file.fileno(), count, at)).hexdigest()

    def truncate(self, name, size):
        os.truncate(self.path(name), size)

    def copy(self, old, new, at, to, count):
        with open(self.path(old), "rb", buffering=0) as source, open(self.path(new), "r+b", buffering=0) as target:
            done = 0
            while done < count:  # how much one call copies is not promised
                got = os.copy_file_range(source.fileno(), target.fileno(), count - done, at + done, to + done)
                if got == 0:
                    break
                done += got
            return done

    def fallocate(self, name, mode, at, count):
        with open(self.path(name), "r+b", buffering=0) as file:
            checked(libc.fallocate(file.fileno(), mode, ctypes.c_long(at), ctypes.c_long(count)))
        return os.stat(self.path(name)).st_size

    def map_write(self, name, at, data):
        with open(self.path(name), "r+b", buffering=0) as file:
            with mmap.mmap(file.fileno(), 0) as view:
                if at + len(data) > len(view):
                    return "short"
                view[at : at + len(data)] = data
                view.flush()
        return "written"

    def hold(self, slot, name, flags):
        fd = os.open(self.path(name), flags)
        if slot in self.open_files:
            os.close(self.open_files.pop(slot))
        self.open_files[slot] = fd

    def held_write(self, slot, at, data):
        return os.pwrite(self.open_files[slot], data, at)

    def held_read(self, slot, at, count):
        return hashlib.md5(os.pread(self.open_files[slot], count, at)).hexdigest()

    def held_truncate(self, slot, size):
        os.ftruncate(self.open_files[slot], size)

    def held_stat(self, slot):
        is_now = os.fstat(self.open_files[slot])
        size = None if stat.S_ISDIR(is_now.st_mode) else is_now.st_size  # a directory's is its file system's affair
        return (size, is_now.st_nlink, oct(is_now.st_mode))

    def held_sync(self, slot):
        os.fsync(self.open_files[slot])

    def let_go(self, slot):
        os.close(self.open_files.pop(slot))

    def tree(self):
        seen = []
        for where, dirs, files in os.walk(self.root):
            dirs.sort()
            for name in dirs + sorted(files):
                path = os.path.join(where, name)
                is_now = os.lstat(path)
                row = [os.path.relpath(path, self.root), oct(is_now.st_mode), is_now.st_uid, is_now.st_gid]
                if not stat.S_ISDIR(is_now.st_mode):
                    row += [is_now.st_nlink, is_now.st_size]
                if stat.S_ISLNK(is_now.st_mode):
                    row.append(os.readlink(path))
                elif stat.S_ISREG(is_now.st_mode):
                    row.append(hashlib.md5(open(path, "rb").read()).hexdigest())
                    row.append([(k, os.getxattr(path, k)) for k in sorted(os.listxattr(path))])
                seen.append(row)
        return seen


def draw_name(rng):
    return "/".join(rng.choice(NAMES) for _ in range(rng.choice([1, 1, 2, 2, 3])))


def draw_at(rng):
    return rng.choice([0, rng.randrange(1 << 13), rng.randrange(1 << 17), rng.randrange(BYTES_MAX), 4 << 20, (4 << 20) - 5])


def draw_data(rng):
    return rng.randbytes(rng.choice([1, 10, 4096, rng.randrange(1, 1 << 16), rng.randrange(1, 1 << 18)]))


def draw(rng):
    name, other, at, slot = draw_name(rng), draw_name(rng), draw_at(rng), rng.randrange(OPEN_MAX)
    count = rng.choice([1, 4096, rng.randrange(1, 1 << 20)])
    choices = [
        (8, lambda: ("create", name, rng.choice([0, os.O_EXCL, os.O_TRUNC]))),
        (6, lambda: ("mkdir", name)),
        (2, lambda: ("rmdir", name)),
        (4, lambda: ("unlink", name)),
        (6, lambda: ("rename", name, other, rng.choice([0, 0, 0, 1, 2]))),
        (3, lambda: ("link", name, other)),
        (2, lambda: ("symlink", other, name)),
        (2, lambda: ("chmod", name, rng.choice([0o700, 0o744, 0o755, 0o555, 0o711]))),
        (1, lambda: ("times", name, rng.randrange(1 << 31))),
        (2, lambda: ("xattr", name, rng.choice("xyz"), rng.randbytes(rng.randrange(200)))),
        (2, lambda: ("listing", rng.choice([".", name]))),
        (12, lambda: ("write", name, at, draw_data(rng))),
        (4, lambda: ("append", name, draw_data(rng))),
        (8, lambda: ("read", name, at, count)),
        (4, lambda: ("truncate", name, draw_at(rng))),
        (4, lambda: ("copy", name, other, at, draw_at(rng), count)),
        (4, lambda: ("fallocate", name, rng.choice([0, 1, 3, 0x10]), at, count)),
        (4, lambda: ("map_write", name, at, draw_data(rng))),
        (8, lambda: ("hold", slot, name, rng.choice([os.O_RDONLY, os.O_RDWR, os.O_RDWR, os.O_RDWR | os.O_APPEND]))),
        (8, lambda: ("held_write", slot, at, draw_data(rng))),
        (8, lambda: ("held_read", slot, at, count)),
        (2, lambda: ("held_truncate", slot, at)),
        (3, lambda: ("held_stat", slot)),
        (1, lambda: ("held_sync", slot)),
        (3, lambda: ("let_go", slot)),
    ]
    return rng.choices([c[1] for c in choices], [c[0] for c in choices])[0]()


def do(side, operation):
    try:
        return getattr(side, operation[0])(*operation[1:])
    except OSError as error:
        return errno.errorcode.get(error.errno, error.errno)
    except KeyError:
        return "not open"
    except ValueError:
        return "cannot be mapped"  # an empty file


def short(operation):
    return tuple(f"<{len(x)} bytes>" if isinstance(x, bytes) and len(x) > 32 else x for x in operation)


def same_copy(operation, sides):
    """Overlapping ranges of one file may be refused or copied: left out."""
    if operation[0] != "copy":
        return True
    for side in sides:
        try:
            if os.path.samefile(side.path(operation[1]), side.path(operation[2])):
                return False
        except OSError:
            pass
    return True


class ReadOnlyHandles:
    """Slots that were opened while their file had no write bit.

    Such a handle may be the kernel's own (passthrough): it keeps the bytes it opened, so once the file can be
    changed again its answers are no longer those of the plain directory, by design.
    """

    def __init__(self, side):
        self.side = side
        self.slots = {}  # slot: has its file had a write bit since?

    def _writable(self, slot):
        mode = os.fstat(self.side.open_files[slot]).st_mode
        return not stat.S_ISREG(mode) or bool(mode & 0o222)

    def saw(self, operation, answer):
        if answer is not None:
            return
        if operation[0] == "hold":
            slot = operation[1]
            self.slots.pop(slot, None)
            if not self._writable(slot):
                self.slots[slot] = False
        elif operation[0] == "let_go":
            self.slots.pop(operation[1], None)
        elif operation[0] == "chmod":
            for slot in self.slots:
                self.slots[slot] |= self._writable(slot)

    def may_differ(self, operation):
        return operation[0] in ("held_read", "held_stat") and self.slots.get(operation[1], False)


def main():
    seed, seconds = int(sys.argv[1]), float(sys.argv[2])
    sides = [Side(sys.argv[3]), Side(sys.argv[4])]
    rng = random.Random(seed)
    read_only = ReadOnlyHandles(sides[0])
    end, number, last = time.monotonic() + seconds, 0, []
    os.umask(0o022)
    while time.monotonic() < end:
        for _ in range(1000):
            number += 1
            operation = draw(rng)
            if not same_copy(operation, sides) or read_only.may_differ(operation):
                continue
            answers = [do(side, operation) for side in sides]
            read_only.saw(operation, answers[0])
            last = (last + [(number, short(operation), answers[0])])[-30:]
            if answers[0] != answers[1]:
                for line in last:
                    print(*line)
                print(f"operation {number} of seed {seed}: {short(operation)}: {answers[0]} and {answers[1]}")
                return 1
            if time.monotonic() >= end:
                break
        trees = [side.tree() for side in sides]
        if trees[0] != trees[1]:
            print(f"after operation {number} of seed {seed} the trees differ:")
            for row in trees[0] + trees[1]:
                if row not in trees[0] or row not in trees[1]:
                    print("A" if row in trees[0] else "B", row)
            return 1
    print(f"{number} operations, {len(trees[0])} entries: equal")
    return 0


sys.exit(main())
