//! The only unsafe code of this package: C library services that nix does not wrap with the features we build.

pub mod spawn;

use std::ffi::{CStr, CString};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::socket::{SockaddrLike, SockaddrStorage};

/// The TCP port that /etc/services (or another source of the system) gives for `name`.
pub fn tcp_service(name: &CStr) -> Option<u16> {
    // SAFETY: both arguments are NUL-terminated strings; the process is single-threaded, so nobody else uses the
    // static storage the result lies in.
    let entry = unsafe { libc::getservbyname(name.as_ptr(), c"tcp".as_ptr()) };
    if entry.is_null() {
        return None;
    }
    // SAFETY: not null, so it points at a servent that stays valid until the next call.
    let port = unsafe { (*entry).s_port };
    // The port is stored in network order in the low 16 bits.
    u16::try_from(port & 0xffff).ok().map(u16::from_be)
}

/// Closes every descriptor from 3 up that the starter left open, so that no session can inherit one.
pub fn close_inherited() {
    if courier::sys::fd::close_from(3).is_ok() {
        return;
    }
    // A kernel before 5.9. Nobody leaves descriptors open above this.
    for fd in 3..1024 {
        // SAFETY: called first thing in main, before this process has opened anything itself.
        unsafe { libc::close(fd) };
    }
}

/// As [`close_inherited`] for descriptors that are not among `kept`, which is sorted.
pub fn close_inherited_but(kept: &[i32]) {
    let mut next = 3_u32;
    for number in kept.iter().filter_map(|&number| u32::try_from(number).ok()) {
        if next < number {
            close_range(next, number.saturating_sub(1));
        }
        next = next.max(number.saturating_add(1));
    }
    close_range(next, u32::MAX);
}

fn close_range(first: u32, last: u32) {
    // SAFETY: called at the start of main for descriptors that nothing in this process owns.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0_u32) } == 0;
    if closed {
        return;
    }
    // A kernel before 5.9. Nobody leaves descriptors open above this.
    for fd in first..=last.min(1023) {
        let Ok(fd) = i32::try_from(fd) else { continue };
        // SAFETY: as above.
        unsafe { libc::close(fd) };
    }
}

/// Makes an inherited descriptor ours; None if it is not open. At the start of main only, once for each.
pub fn adopt(number: i32) -> Option<std::os::fd::OwnedFd> {
    use std::os::fd::FromRawFd;
    // SAFETY: F_GETFD on any number is harmless; it says whether the descriptor is open.
    if unsafe { libc::fcntl(number, libc::F_GETFD) } < 0 {
        return None;
    }
    // SAFETY: it is open, above the standard ones (the caller sees to that), and this process, having just begun, has
    // opened nothing itself: nothing else owns it.
    Some(unsafe { std::os::fd::OwnedFd::from_raw_fd(number) })
}

/// Gives up the controlling terminal, if there is one.
pub fn drop_terminal() {
    let Ok(terminal) = std::fs::File::open("/dev/tty") else {
        return;
    };
    use std::os::fd::AsRawFd;
    // SAFETY: TIOCNOTTY takes no argument. Failing means that there is nothing to give up.
    unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCNOTTY) };
}

/// Outcome of a name lookup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup<T> {
    /// An answer.
    Found(T),
    /// The name service says there is none.
    Absent,
    /// The name service could not be asked.
    Temporary,
}

/// The name of an address (PTR), not checked against anything.
pub fn name_of(address: IpAddr) -> Lookup<String> {
    let mut host = [0_u8; 1025];
    let address = SockaddrStorage::from(SocketAddr::new(address, 0));
    // SAFETY: pointer and length describe a complete socket address that outlives the call, `host` is writable for
    // the length passed, and no service name is asked for.
    let result = unsafe {
        libc::getnameinfo(
            address.as_ptr(),
            address.len(),
            host.as_mut_ptr().cast(),
            1025,
            std::ptr::null_mut(),
            0,
            libc::NI_NAMEREQD,
        )
    };
    match result {
        0 => match CStr::from_bytes_until_nul(&host).map(CStr::to_str) {
            Ok(Ok(name)) if !name.is_empty() => Lookup::Found(name.to_owned()),
            _ => Lookup::Absent,
        },
        libc::EAI_AGAIN | libc::EAI_MEMORY | libc::EAI_SYSTEM => Lookup::Temporary,
        _ => Lookup::Absent,
    }
}

/// The addresses of a host name.
pub fn addresses_of(name: &str) -> Lookup<Vec<IpAddr>> {
    let Ok(name) = CString::new(name) else {
        return Lookup::Absent;
    };
    let hints = libc::addrinfo {
        ai_flags: 0,
        ai_family: libc::AF_UNSPEC,
        ai_socktype: libc::SOCK_STREAM,
        ai_protocol: 0,
        ai_addrlen: 0,
        ai_addr: std::ptr::null_mut(),
        ai_canonname: std::ptr::null_mut(),
        ai_next: std::ptr::null_mut(),
    };
    let mut list: *mut libc::addrinfo = std::ptr::null_mut();
    // SAFETY: `name` is NUL-terminated, `hints` is complete, `list` receives the result.
    let result = unsafe {
        libc::getaddrinfo(
            name.as_ptr(),
            std::ptr::null(),
            &raw const hints,
            &raw mut list,
        )
    };
    match result {
        0 => {}
        libc::EAI_AGAIN | libc::EAI_MEMORY | libc::EAI_SYSTEM => return Lookup::Temporary,
        _ => return Lookup::Absent,
    }
    let mut found = Vec::new();
    let mut next = list;
    while !next.is_null() {
        // SAFETY: the list that getaddrinfo returned is well formed until it is freed below.
        let entry = unsafe { &*next };
        if entry.ai_family == libc::AF_INET {
            // SAFETY: an entry of this family points at a sockaddr_in, which may be read as such.
            let v4 = unsafe { entry.ai_addr.cast::<libc::sockaddr_in>().read_unaligned() };
            found.push(IpAddr::V4(Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr))));
        } else if entry.ai_family == libc::AF_INET6 {
            // SAFETY: an entry of this family points at a sockaddr_in6, which may be read as such.
            let v6 = unsafe { entry.ai_addr.cast::<libc::sockaddr_in6>().read_unaligned() };
            found.push(IpAddr::V6(Ipv6Addr::from(v6.sin6_addr.s6_addr)));
        }
        next = entry.ai_next;
    }
    // SAFETY: `list` came from getaddrinfo, is freed once, and nothing refers to it any more.
    unsafe { libc::freeaddrinfo(list) };
    Lookup::Found(found)
}

/// Asks the system's resolver about `name`, which is complete, in class IN; the answer as it came, if there is one.
/// libc's rather than one of ours: it reads resolv.conf, and knows about timeouts, several servers and TCP.
pub fn ask_dns(name: &str, kind: libc::c_int) -> Option<Vec<u8>> {
    unsafe extern "C" {
        fn res_query(
            name: *const libc::c_char,
            class: libc::c_int,
            kind: libc::c_int,
            answer: *mut libc::c_uchar,
            length: libc::c_int,
        ) -> libc::c_int;
    }
    const CLASS_IN: libc::c_int = 1;
    let name = CString::new(name).ok()?;
    let mut answer = vec![0_u8; 8192];
    // SAFETY: the name is NUL-terminated, and the buffer is writable for the length passed.
    let length = unsafe { res_query(name.as_ptr(), CLASS_IN, kind, answer.as_mut_ptr(), 8192) };
    // More than fits is reported as its full length.
    let length = usize::try_from(length).ok()?.min(answer.len());
    answer.truncate(length);
    Some(answer)
}

/// Opens the connection to syslogd under the tag `name`. libc's syslog(3) rather than the syslog crate: it connects
/// again after syslogd has restarted and stamps local time, and the crate does neither.
pub fn open_syslog(name: &'static CStr, facility: libc::c_int) {
    // SAFETY: the tag is static, as openlog keeps the pointer. LOG_NDELAY: before a chroot or a change of user.
    unsafe { libc::openlog(name.as_ptr(), libc::LOG_NDELAY, facility) };
}

/// Sends one line; `text` has no NUL.
pub fn syslog(priority: libc::c_int, text: &CStr) {
    // SAFETY: the format is constant and takes one string, which is NUL-terminated.
    unsafe { libc::syslog(priority, c"%s".as_ptr(), text.as_ptr()) };
}

/// Numbers that the parent and all its forked children share.
#[derive(Debug)]
pub struct Shared {
    cells: &'static [AtomicU64],
    start: Instant,
}

impl Shared {
    /// Maps room for `count` numbers, all zero.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn new(count: usize) -> Result<Self, Errno> {
        let length = count
            .max(1)
            .checked_mul(size_of::<AtomicU64>())
            .ok_or(Errno::ENOMEM)?;
        // SAFETY: a fresh anonymous mapping at an address the kernel chooses touches nothing that exists.
        let memory = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if memory == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        // SAFETY: the mapping is page-aligned, long enough, zeroed (a valid AtomicU64), never unmapped, and only
        // reached through these atomics.
        let cells = unsafe { std::slice::from_raw_parts(memory.cast::<AtomicU64>(), count) };
        Ok(Self {
            cells,
            start: Instant::now(),
        })
    }

    /// How many numbers there are.
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// The number in `cell`; zero where there is none.
    pub fn load(&self, cell: usize) -> u64 {
        self.cells
            .get(cell)
            .map_or(0, |cell| cell.load(Ordering::Acquire))
    }

    /// Sets the number in `cell`, if there is one.
    pub fn store(&self, cell: usize, value: u64) {
        if let Some(cell) = self.cells.get(cell) {
            cell.store(value, Ordering::Release);
        }
    }

    /// True for the first caller, in this process or another one, in each `seconds` long stretch that begins with
    /// a true answer for the same `cell`.
    pub fn once_in(&self, cell: usize, seconds: u64) -> bool {
        let Some(cell) = self.cells.get(cell) else {
            return true;
        };
        // One is added so that 0 means "never".
        let now = self.start.elapsed().as_secs().saturating_add(1);
        let last = cell.load(Ordering::Relaxed);
        if last != 0 && now < last.saturating_add(seconds) {
            return false;
        }
        cell.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }
}

/// A descriptor that the command line names, if it is open.
pub fn named_descriptor(number: i32) -> Option<std::os::fd::BorrowedFd<'static>> {
    // SAFETY: F_GETFD on any number is harmless; it says whether the descriptor is open.
    let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
    if flags < 0 {
        return None;
    }
    // SAFETY: it is open, and the one program that asks (couriertls) closes no descriptor before it ends.
    Some(unsafe { std::os::fd::BorrowedFd::borrow_raw(number) })
}
