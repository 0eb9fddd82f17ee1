"""Python imports this by itself when its folder is on PYTHONPATH: sockets stay on this machine.

`tools/offline.py` uses it where the system has no better wall.
"""

import errno
import ipaddress
import socket
import sys

_FAMILIES = (socket.AF_INET, socket.AF_INET6)


def _is_here(host: object) -> bool:
    if host in (None, "", b"", "localhost", b"localhost"):
        return True
    try:
        name = host.decode() if isinstance(host, bytes) else str(host)
        return ipaddress.ip_address(name.split("%")[0]).is_loopback
    except ValueError:
        return name in (socket.gethostname(), "0.0.0.0")


def _refuse(event: str, arguments: tuple) -> None:
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        own, address = arguments[0], arguments[1]
        if own.family in _FAMILIES and address and not _is_here(address[0]):
            raise OSError(errno.ENETUNREACH, "Network is unreachable")
    elif event in ("socket.getaddrinfo", "socket.gethostbyname") and not _is_here(arguments[0]):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


# A hook cannot be taken away, and sees every socket of this process that Python opens.
sys.addaudithook(_refuse)
