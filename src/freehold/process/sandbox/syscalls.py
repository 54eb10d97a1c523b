# SPDX-License-Identifier: Apache-2.0
"""The system call filter of a processor: what no data processing needs, and what attackers start with.

Default is allow: a list of everything that every package needs would break with every release of glibc. Left out are
calls that reach other processes, the kernel's administration or its least tested parts; new processes (threads
may be); sockets, since an empty network namespace does not stop AF_VSOCK; and memory that RLIMIT_AS does not count.
"""

from __future__ import annotations

import errno
import os
import tempfile
from functools import cache

import structlog

_log = structlog.get_logger(__name__)

DENIED = (
    # other processes
    "ptrace process_vm_readv process_vm_writev pidfd_getfd process_madvise process_mrelease kcmp "
    "fork vfork setns unshare personality move_pages migrate_pages "
    # file systems
    "mount umount umount2 pivot_root chroot open_tree move_mount fsopen fsconfig fsmount fspick mount_setattr "
    "open_by_handle_at name_to_handle_at quotactl quotactl_fd fanotify_init swapon swapoff mknod mknodat "
    # kernel
    "bpf perf_event_open userfaultfd keyctl add_key request_key kexec_load kexec_file_load init_module "
    "finit_module delete_module reboot acct syslog lookup_dcookie iopl ioperm modify_ldt vhangup "
    "settimeofday clock_settime clock_adjtime adjtimex stime nfsservctl sethostname setdomainname "
    "io_uring_setup io_uring_enter io_uring_register "
    # network
    "socket socketcall "
    # memory that no limit of ours counts
    "memfd_create memfd_secret shmget shmat shmctl msgget msgsnd msgrcv msgctl semget semop semtimedop semctl "
    "mq_open mq_unlink"
)

CLONE_THREAD = 0x00010000


@cache
def program() -> bytes | None:
    """The filter as BPF for `bwrap --seccomp`; None where there is no libseccomp (which is logged once)."""
    try:
        import pyseccomp
    except (ImportError, OSError, RuntimeError) as cause:
        _log.warning("processors run without a system call filter: install libseccomp", error=str(cause))
        return None
    rules = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    for name in DENIED.split():
        try:
            rules.add_rule(pyseccomp.ERRNO(errno.EPERM), name)
        except OSError as cause:
            if cause.errno != errno.EINVAL:
                raise
            continue  # a name that this libseccomp does not know yet
    # A thread is a clone with CLONE_THREAD. Flags of clone3 lie in memory where a filter cannot look, so
    # it is said not to exist, and glibc takes clone.
    rules.add_rule(pyseccomp.ERRNO(errno.ENOSYS), "clone3")
    rules.add_rule(pyseccomp.ERRNO(errno.EPERM), "clone", pyseccomp.Arg(0, pyseccomp.MASKED_EQ, CLONE_THREAD, 0))
    with tempfile.TemporaryFile() as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()


def as_descriptor(filter_program: bytes) -> int:
    """A descriptor from which bubblewrap can read the filter; the caller closes it."""
    descriptor = os.memfd_create("seccomp")
    os.write(descriptor, filter_program)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
