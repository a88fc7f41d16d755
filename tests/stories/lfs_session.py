"""A client of git-lfs-transfer, the pure SSH protocol of git-lfs, packet by packet.

The command that carries it is ssh, or the forced command of a session itself.
"""
import subprocess


class Ended(Exception):
    """The server has ended the session; says what stood on its stderr."""


class Session:
    def __init__(self, argv, env=None):
        self.child = subprocess.Popen(argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE, bufsize=0)
        self.announced, self.more, self.ended = None, False, None

    # ---- packets ---------------------------------------------------------------------------------

    def send(self, data):
        try:
            while data:
                data = data[self.child.stdin.write(data):]
        except BrokenPipeError:
            pass  # what it said before tells why

    def packet(self, data):
        self.send(b"%04x" % (len(data) + 4) + data)

    def _exactly(self, count):
        out = b""
        while len(out) < count:
            piece = self.child.stdout.read(count - len(out))
            if not piece:
                raise Ended(self.end()[1])
            out += piece
        return out

    def read(self):
        """bytes of a packet, "flush" or "delim" """
        length = int(self._exactly(4), 16)
        return {0: "flush", 1: "delim"}[length] if length < 4 else self._exactly(length - 4)

    # ---- requests --------------------------------------------------------------------------------

    def hello(self):
        """Reads the announcement; raises Ended when the session was refused."""
        self.announced = []
        while (packet := self.read()) != "flush":
            self.announced.append(packet.decode().rstrip("\n"))

    def begin(self, command, *args, data=False):
        if self.announced is None:
            self.hello()
        for line in (command, *args):
            self.packet(line.encode() + b"\n")
        self.send(b"0001" if data else b"0000")

    def status(self):
        """(status, arguments); what follows a delimiter is still to be read: more"""
        first = self.read().decode().rstrip("\n")
        args = []
        while not isinstance(packet := self.read(), str):
            args.append(packet.decode().rstrip("\n"))
        self.more = packet == "delim"
        return int(first.split()[1]), args

    def rest(self):
        """What follows the delimiter."""
        out = []
        while self.more and (packet := self.read()) != "flush":
            out.append(packet)
        self.more = False
        return out

    def ask(self, command, *args, lines=None, data=None):
        """(status, arguments, packets behind them)"""
        self.begin(command, *args, data=lines is not None or data is not None)
        for line in lines or ():
            self.packet(line.encode() + b"\n")
        for at in range(0, len(data or b""), 32768):
            self.packet(data[at:at + 32768])
        if lines is not None or data is not None:
            self.send(b"0000")
        status, found = self.status()
        return status, found, self.rest()

    # ---- the end ---------------------------------------------------------------------------------

    def end(self):
        """(exit status, stderr)"""
        if self.ended is None:
            try:
                self.child.stdin.close()
            except BrokenPipeError:
                pass
            text = self.child.stderr.read().decode()
            self.child.stdout.close()
            self.child.stderr.close()
            self.ended = self.child.wait(60), text
        return self.ended

    def cut(self):
        self.child.kill()
        self.end()
