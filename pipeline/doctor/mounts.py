"""What file system a path is on, from the kernel's table of mounts, and what that means for a database. Pure."""

import re
from pathlib import Path
from typing import NamedTuple

NETWORK = frozenset(
    {
        "9p", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "fuse.cephfs", "fuse.davfs2", "fuse.gcsfuse",
        "fuse.glusterfs", "fuse.goofys", "fuse.mount-s3", "fuse.rclone", "fuse.s3fs", "fuse.sshfs", "gfs2", "glusterfs",
        "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "prl_fs", "smb3", "smbfs", "vboxsf",
    }
)  # fmt: skip
"""File systems that machines share: no shared memory between them, so that a write-ahead log is no use there."""

IN_MEMORY = frozenset({"tmpfs", "ramfs"})
OF_A_CONTAINER = frozenset({"overlay", "aufs"})


class Mount(NamedTuple):
    """Where a file system is mounted, and its type."""

    point: str
    kind: str


def mount_of(path: Path, table: str) -> Mount | None:
    """Return the mount that an absolute path without links is on, by the text of /proc/self/mountinfo."""
    found = None
    for line in table.splitlines():
        front, _, back = line.partition(" - ")
        fields, (kind, *_) = front.split(" "), back.split(" ") if back else ("",)
        point = Path(_unescaped(fields[4])) if len(fields) > 4 else None
        if point is None or not path.is_relative_to(point):
            continue
        # The last of those that are mounted upon each other is the one that is seen.
        if found is None or len(str(point)) >= len(found.point):
            found = Mount(str(point), kind)
    return found


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), text)
