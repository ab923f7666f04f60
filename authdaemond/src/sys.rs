//! The calls into C that this crate needs beyond the library's: libcrypt, peer groups, the system's account
//! databases. The only unsafe code of this crate; everything exported is safe to call.

use std::ffi::{CStr, CString, c_char, c_int, c_ulong, c_void};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

pub mod pam;
pub mod terminal;

#[link(name = "crypt")]
unsafe extern "C" {
    fn crypt_ra(
        phrase: *const c_char,
        setting: *const c_char,
        data: *mut *mut c_void,
        size: *mut c_int,
    ) -> *mut c_char;
    fn crypt_gensalt_ra(
        prefix: *const c_char,
        count: c_ulong,
        rbytes: *const c_char,
        nrbytes: c_int,
    ) -> *mut c_char;
}

/// crypt(3): the hash of `phrase` made the way `setting` (a salt or a whole stored hash) says. `None` when either
/// contains NUL, the setting is not one that libcrypt knows, or the phrase is too long.
pub fn crypt(phrase: &[u8], setting: &[u8]) -> Option<Vec<u8>> {
    let phrase = CString::new(phrase).ok()?;
    let setting = CString::new(setting).ok()?;
    let mut data: *mut c_void = ptr::null_mut();
    let mut size: c_int = 0;
    // SAFETY: both strings are NUL-terminated and outlive the call; `data` and `size` start out as libcrypt wants
    // them for "allocate for me".
    let result = unsafe {
        crypt_ra(
            phrase.as_ptr(),
            setting.as_ptr(),
            &raw mut data,
            &raw mut size,
        )
    };
    let hash = (!result.is_null())
        // SAFETY: not null, so a NUL-terminated string inside `data`, which is freed only below.
        .then(|| unsafe { CStr::from_ptr(result) }.to_bytes().to_vec());
    // SAFETY: `data` is null or what libcrypt allocated with malloc, and nothing refers to it any more.
    unsafe { libc::free(data) };
    // "*0" and "*1" are libcrypt's tokens for a setting that it does not understand.
    hash.filter(|hash| !hash.starts_with(b"*"))
}

/// A fresh setting for [`crypt`] of the kind that `prefix` names (`$6$`, `$y$`, `$1$`), with random salt from the
/// system and the default cost. `None` when libcrypt lacks the kind.
pub fn fresh_setting(prefix: &CStr) -> Option<Vec<u8>> {
    // SAFETY: `prefix` is NUL-terminated; a null `rbytes` asks libcrypt to take random bytes from the system.
    let result = unsafe { crypt_gensalt_ra(prefix.as_ptr(), 0, ptr::null(), 0) };
    if result.is_null() {
        return None;
    }
    // SAFETY: not null, so a NUL-terminated string.
    let setting = unsafe { CStr::from_ptr(result) }.to_bytes().to_vec();
    // SAFETY: crypt_gensalt_ra's result comes from malloc and is ours.
    unsafe { libc::free(result.cast()) };
    (!setting.starts_with(b"*")).then_some(setting)
}

/// The supplementary groups of the process at the other end of a UNIX socket, as they were when it connected.
/// Empty when the kernel cannot say.
pub fn peer_groups(socket: BorrowedFd<'_>) -> Vec<u32> {
    let mut groups = vec![0_u32; 256];
    let mut size = libc::socklen_t::try_from(groups.len() * size_of::<u32>()).unwrap_or_default();
    // SAFETY: `groups` has `size` writable bytes, and the kernel writes no more than `size` says.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERGROUPS,
            groups.as_mut_ptr().cast(),
            &raw mut size,
        )
    };
    if result != 0 {
        return Vec::new();
    }
    groups.truncate(usize::try_from(size).unwrap_or_default() / size_of::<u32>());
    groups
}

/// One entry of the system's user database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswdEntry {
    /// Login name.
    pub name: Vec<u8>,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Home directory.
    pub home: Vec<u8>,
}

/// All entries of the system's user database.
pub fn passwd_entries() -> Vec<PasswdEntry> {
    let mut entries = Vec::new();
    // SAFETY: this program is single-threaded, so nobody else walks the database.
    unsafe { libc::setpwent() };
    loop {
        // SAFETY: as above; the result is valid until the next call.
        let entry = unsafe { libc::getpwent() };
        // SAFETY: null or a valid passwd structure.
        let Some(entry) = (unsafe { entry.as_ref() }) else {
            break;
        };
        entries.push(PasswdEntry {
            name: text(entry.pw_name),
            uid: entry.pw_uid,
            gid: entry.pw_gid,
            home: text(entry.pw_dir),
        });
    }
    // SAFETY: as for setpwent.
    unsafe { libc::endpwent() };
    entries
}

/// What the shadow database says about an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shadow {
    /// The hash.
    pub hash: Vec<u8>,
    /// Day of the last password change; -1 when unset. Days count from 1970-01-01.
    pub last_change: i64,
    /// Days that a password is valid for; -1 when unset.
    pub max_age: i64,
    /// Day on which the account expires; -1 or 0 when unset.
    pub expires: i64,
}

/// The shadow entry of `name`; `None` when there is none or it cannot be read.
pub fn shadow(name: &CStr) -> Option<Shadow> {
    // SAFETY: `name` is NUL-terminated; the result is valid until the next call, and this program is
    // single-threaded.
    let entry = unsafe { libc::getspnam(name.as_ptr()) };
    // SAFETY: null or a valid spwd structure.
    let entry = unsafe { entry.as_ref() }?;
    Some(Shadow {
        hash: text(entry.sp_pwdp),
        last_change: entry.sp_lstchg,
        max_age: entry.sp_max,
        expires: entry.sp_expire,
    })
}

fn text(pointer: *const c_char) -> Vec<u8> {
    if pointer.is_null() {
        return Vec::new();
    }
    // SAFETY: not null, and the C library's account structures hold NUL-terminated strings.
    unsafe { CStr::from_ptr(pointer) }.to_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crypt_knows_the_old_and_the_new_forms() {
        let md5 = b"$1$abcdefgh$FuRpVTqE/Onxax.jDI2aR/";
        assert_eq!(crypt(b"test123", md5).as_deref(), Some(&md5[..]));
        let des = crypt(b"secret1", b"Ti").unwrap();
        assert_eq!(des.len(), 13);
        for setting in ["", "*", "!", "x", "{P", "$9$abc"] {
            assert_eq!(crypt(b"x", setting.as_bytes()), None, "{setting}");
        }
        assert_eq!(crypt(b"a\0b", md5), None);
    }

    #[test]
    fn fresh_settings_differ_and_work() {
        for prefix in [c"$1$", c"$6$", c"$y$"] {
            let first = fresh_setting(prefix).unwrap();
            assert_ne!(Some(&first), fresh_setting(prefix).as_ref());
            assert!(first.starts_with(prefix.to_bytes()));
            let hash = crypt(b"secret", &first).unwrap();
            assert_eq!(crypt(b"secret", &hash), Some(hash));
        }
    }

    #[test]
    fn the_user_database_has_root() {
        let entries = passwd_entries();
        assert!(entries.iter().any(|e| e.name == b"root" && e.uid == 0));
    }
}
