//! What the filters of this project name: everything that a conversation needs, or what a session never needs.

use super::{Policy, Program, SandboxError, Verdict};

/// The system calls behind recv, send, read, write, poll, Instant, the allocator and `_exit`.
const ALWAYS: &[libc::c_long] = &[
    libc::SYS_recvfrom,
    libc::SYS_sendto,
    libc::SYS_recvmsg,
    libc::SYS_sendmsg,
    libc::SYS_shutdown,
    libc::SYS_read,
    libc::SYS_write,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_clock_gettime,
    libc::SYS_getrandom,
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigreturn,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// What a relay needs beside that.
const RELAY: &[libc::c_long] = &[
    libc::SYS_close,
    libc::SYS_futex,
    libc::SYS_getpid,
    // The standard library's debug builds check descriptors before they close them.
    libc::SYS_fcntl,
    libc::SYS_writev,
    libc::SYS_readv,
    // The session cache is a file that is open already.
    libc::SYS_pread64,
    libc::SYS_pwrite64,
];

/// What only privileged processes can do is not among them: an account has no privileges and cannot get any.
const DENIED: &[libc::c_long] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_clone,
    libc::SYS_clone3,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_fork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_vfork,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_connect,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_send_signal,
    libc::SYS_tkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_io_uring_setup,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_memfd_create,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_personality,
    libc::SYS_mknodat,
    libc::SYS_symlinkat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_mknod,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_symlink,
];

/// For a process that talks over descriptors it has; see [`converse_only`](crate::sys::sandbox::converse_only).
///
/// # Errors
/// As [`Program::new`], as for the others.
pub(in crate::sys) fn converse() -> Result<Program, SandboxError> {
    only(ALWAYS.iter())
}

/// For a process that relays; see [`RelayFilter`](crate::sys::sandbox::RelayFilter).
pub(in crate::sys) fn relay() -> Result<Program, SandboxError> {
    only(ALWAYS.iter().chain(RELAY))
}

fn only<'a>(calls: impl Iterator<Item = &'a libc::c_long>) -> Result<Program, SandboxError> {
    let named: Vec<(libc::c_long, Verdict)> = calls
        .map(|&call| (call, Verdict::Allow))
        .chain([(libc::SYS_mmap, Verdict::Memory)])
        .collect();
    Program::new(&Policy {
        named: &named,
        others: Verdict::Kill,
        foreign: Verdict::Kill,
        own: std::process::id(),
        flags: 0,
    })
}

/// For this process, serving an account; see [`calls`](crate::sys::confine::calls).
pub(in crate::sys) fn account() -> Result<Program, SandboxError> {
    let named: Vec<(libc::c_long, Verdict)> = DENIED
        .iter()
        .map(|&call| (call, Verdict::Refuse))
        .chain([
            (libc::SYS_kill, Verdict::Presence),
            // abort(3) sends a signal so.
            (libc::SYS_tgkill, Verdict::Itself),
            // A limit on processor time ends a process, too.
            (libc::SYS_prlimit64, Verdict::Itself),
        ])
        .collect();
    Program::new(&Policy {
        named: &named,
        others: Verdict::Allow,
        foreign: Verdict::Refuse,
        own: std::process::id(),
        // Before Linux 5.16 a filter turns speculation off for the whole process unless told not to.
        flags: libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW,
    })
}
