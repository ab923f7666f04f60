//! Starting the program of a connection: a child that borrows this process's memory until it executes the program,
//! while this process stands still.
//!
//! It is what posix_spawn(3) does. That maps and unmaps a stack each time, though, and asks the kernel about each of 64
//! signals twice, since it cannot know which have handlers: a fifth of what couriertcpd costs a login. Here none has that
//! could run: signals are taken from a descriptor.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::null;
use std::sync::atomic::{AtomicI32, Ordering};

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

/// Octets of a child's stack. It calls the C library's entries to the kernel and nothing else.
const SIZE: usize = 32 * 1024;

/// The stack of the children, one after the other.
#[derive(Debug)]
pub struct Stack {
    memory: *mut c_void,
    /// Octets at its lower end that cannot be touched.
    guard: usize,
}

impl Stack {
    /// Maps it.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn new() -> Result<Self, Errno> {
        let guard = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE)?
            .and_then(|size| usize::try_from(size).ok())
            .unwrap_or(SIZE);
        let length = guard.checked_add(SIZE).ok_or(Errno::ENOMEM)?;
        // SAFETY: a fresh anonymous mapping at an address the kernel chooses touches nothing that exists.
        let memory = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK,
                -1,
                0,
            )
        };
        if memory == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        let stack = Self { memory, guard };
        // SAFETY: the first pages of the mapping that was just made.
        Errno::result(unsafe { libc::mprotect(memory, guard, libc::PROT_NONE) })?;
        Ok(stack)
    }

    /// Where a child begins: the upper end.
    fn top(&self) -> *mut c_void {
        self.memory
            .wrapping_byte_add(self.guard)
            .wrapping_byte_add(SIZE)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: exactly what was mapped; no child uses it, as `spawn` returns only when its child does not any more.
        unsafe { libc::munmap(self.memory, self.guard.saturating_add(SIZE)) };
    }
}

/// What a child does.
struct Job<'a> {
    program: &'a CStr,
    /// Each list ends in a null pointer.
    argv: &'a [*const c_char],
    environment: &'a [*const c_char],
    socket: c_int,
    targets: &'a [c_int],
    /// Why it did not get as far as the program; 0 if it did.
    error: AtomicI32,
}

/// Starts `program` with `argv` and `environment` (`NAME=value` each), with `socket` as each of the descriptors
/// `targets`, no signal blocked and SIGPIPE not ignored. Other descriptors are inherited unless close-on-exec.
///
/// # Errors
/// Those of clone(2), dup2(2) and execve(2).
pub fn spawn(
    stack: &mut Stack,
    program: &CStr,
    argv: &[CString],
    environment: &[CString],
    socket: BorrowedFd<'_>,
    targets: &[c_int],
) -> Result<Pid, Errno> {
    let pointers = |list: &[CString]| -> Vec<*const c_char> {
        let strings = list.iter().map(|string| string.as_ptr());
        strings.chain([null()]).collect()
    };
    let job = Job {
        program,
        argv: &pointers(argv),
        environment: &pointers(environment),
        socket: socket.as_raw_fd(),
        targets,
        error: AtomicI32::new(0),
    };
    // No handler must run in the child, whose memory is ours.
    let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    // SAFETY: CLONE_VFORK keeps this thread, the only one, still until the child has executed the program or ended, so
    // `job`, what it points to, and the stack, which is exclusively borrowed, live as long as the child uses them.
    // The child calls nothing that takes a lock or allocates.
    let child = unsafe {
        libc::clone(
            begin,
            stack.top(),
            libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD,
            (&raw const job).cast_mut().cast(),
        )
    };
    let child = Errno::result(child).map(Pid::from_raw);
    // Before anything else can fail.
    mask.thread_set_mask()?;
    let child = child?;
    match job.error.load(Ordering::Relaxed) {
        0 => Ok(child),
        errno => {
            // It ends at once.
            while waitpid(child, None) == Err(Errno::EINTR) {}
            Err(Errno::from_raw(errno))
        }
    }
}

/// The child, from its beginning. Returns, which ends it, only if the program cannot be executed.
extern "C" fn begin(job: *mut c_void) -> c_int {
    // SAFETY: `spawn` passes one, which lives until this process executes the program or ends.
    let job = unsafe { &*job.cast::<Job<'_>>() };
    job.error.store(execute(job) as c_int, Ordering::Relaxed);
    127
}

/// Comes back with the reason why not.
fn execute(job: &Job<'_>) -> Errno {
    for &target in job.targets {
        // SAFETY: `target` is one of the standard descriptors, which nothing in this process owns; the table of
        // descriptors is the child's own.
        if unsafe { libc::dup2(job.socket, target) } < 0 {
            return Errno::last();
        }
    }
    // Rust programs ignore it, and exec keeps that.
    // SAFETY: SIG_DFL installs no handler. The child has its own dispositions.
    if unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) } == libc::SIG_ERR {
        return Errno::last();
    }
    if let Err(errno) = SigSet::empty().thread_set_mask() {
        return errno;
    }
    // SAFETY: the program's name ends in NUL, both lists in a null pointer, and so do their strings in NUL.
    unsafe {
        libc::execve(
            job.program.as_ptr(),
            job.argv.as_ptr(),
            job.environment.as_ptr(),
        )
    };
    Errno::last()
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn strings(list: &[&str]) -> Vec<CString> {
        let strings = list.iter().map(|&text| CString::new(text).unwrap());
        strings.collect()
    }

    #[test]
    fn a_program_gets_its_socket_its_environment_and_plain_signals() {
        let mut stack = Stack::new().unwrap();
        // Twice, as the stack is used again.
        for round in ["one", "two"] {
            let (mut ours, theirs) = UnixStream::pair().unwrap();
            let script = "echo \"$ROUND $0\"; grep -E '^Sig(Blk|Ign)' /proc/self/status; env | grep -c ^HOME= >&2";
            let child = spawn(
                &mut stack,
                c"/bin/sh",
                &strings(&["name", "-c", script]),
                &strings(&[&format!("ROUND={round}"), "PATH=/bin:/usr/bin"]),
                theirs.as_fd(),
                &[0, 1, 2],
            )
            .unwrap();
            drop(theirs);
            let mut said = String::new();
            ours.read_to_string(&mut said).unwrap();
            waitpid(child, None).unwrap();
            let none = "0000000000000000";
            let mut lines = said.lines();
            assert_eq!(lines.next(), Some(&*format!("{round} name")));
            assert_eq!(lines.next(), Some(&*format!("SigBlk:\t{none}")));
            // SIGPIPE's bit is the thirteenth. Others are as this process got them.
            let ignored = lines.next().and_then(|line| line.strip_prefix("SigIgn:\t"));
            let ignored = u64::from_str_radix(ignored.unwrap(), 16).unwrap();
            assert_eq!(ignored & 1 << 12, 0);
            assert_eq!(lines.next(), Some("0"));
        }
    }

    #[test]
    fn what_cannot_be_executed_is_an_error() {
        let mut stack = Stack::new().unwrap();
        let (socket, _other) = UnixStream::pair().unwrap();
        let mut start = |program: &CStr, targets: &[c_int]| {
            let socket = socket.as_fd();
            spawn(&mut stack, program, &strings(&["x"]), &[], socket, targets)
        };
        assert_eq!(start(c"/nowhere/at all", &[]), Err(Errno::ENOENT));
        assert_eq!(start(c"/", &[]), Err(Errno::EACCES));
        assert_eq!(start(c"/bin/true", &[-1]), Err(Errno::EBADF));
        // The mask is back.
        assert!(
            !SigSet::thread_get_mask()
                .unwrap()
                .contains(nix::sys::signal::Signal::SIGUSR1)
        );
    }
}
