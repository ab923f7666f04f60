//! What the `openssl` crate does not wrap: automatic DH parameters, the session lifetime, and our own ticket keys,
//! so that a ticket from one process resumes in another.

use std::ffi::{c_int, c_long, c_uchar, c_uint, c_void};
use std::sync::{Mutex, PoisonError};

use foreign_types::{ForeignType, ForeignTypeRef};
use openssl::error::ErrorStack;
use openssl::ssl::{SslContextBuilder, SslRef, SslSession};
use openssl::x509::store::{X509Store, X509StoreRef};
use openssl_sys as ffi;

/// One ticket key: a name that travels in the clear, an encryption key, an authentication key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct TicketKey {
    pub(crate) name: [u8; 16],
    pub(crate) aes: [u8; 32],
    pub(crate) hmac: [u8; 32],
}

/// Keys of this process, the one for new tickets first. The callback has no argument of its own, hence a static;
/// children of a fork inherit it.
static KEYS: Mutex<Vec<TicketKey>> = Mutex::new(Vec::new());

const SSL_CTRL_SET_TLSEXT_TICKET_KEY_CB: c_int = 72;

#[allow(non_snake_case)]
unsafe extern "C" {
    fn SSL_CTX_set_timeout(context: *mut ffi::SSL_CTX, seconds: c_long) -> c_long;
    fn X509_STORE_up_ref(store: *mut ffi::X509_STORE) -> c_int;
}

/// DH parameters of a size that fits the key, for clients without elliptic curves.
pub(crate) fn use_automatic_dh(builder: &mut SslContextBuilder) {
    // SAFETY: the context is alive; this call only sets a flag in it.
    unsafe {
        ffi::SSL_CTX_ctrl(
            builder.as_ptr(),
            ffi::SSL_CTRL_SET_DH_AUTO,
            1,
            std::ptr::null_mut(),
        )
    };
}

/// How long a session can be resumed, in seconds.
pub(crate) fn set_session_lifetime(builder: &mut SslContextBuilder, seconds: u32) {
    // SAFETY: the context is alive; this call only sets a number in it.
    unsafe { SSL_CTX_set_timeout(builder.as_ptr(), c_long::from(seconds)) };
}

/// Asks `find` for the session, as DER, that a client without tickets wants to resume by its identifier.
pub(crate) fn use_session_lookup(
    builder: &mut SslContextBuilder,
    find: impl Fn(&[u8]) -> Option<Vec<u8>> + Send + Sync + 'static,
) {
    // SAFETY: what the callback returns was just decoded and belongs to no context.
    unsafe {
        builder.set_get_session_callback(move |_ssl, id| SslSession::from_der(&find(id)?).ok());
    }
}

/// Offers `session`, of the context that `ssl` was made from, for resumption.
pub(crate) fn offer_session(ssl: &mut SslRef, session: &SslSession) -> Result<(), ErrorStack> {
    // SAFETY: the only caller takes the session from a connection of the same context.
    unsafe { ssl.set_session(session) }
}

/// The contents of an extension, while the client's hello is being looked at.
pub(crate) fn hello_extension(ssl: &SslRef, kind: c_uint) -> Option<&[u8]> {
    let mut start: *const c_uchar = std::ptr::null();
    let mut length = 0;
    // SAFETY: the connection is alive; outside of a client hello callback the call fails.
    let found = unsafe {
        ffi::SSL_client_hello_get0_ext(ssl.as_ptr(), kind, &raw mut start, &raw mut length)
    };
    if found != 1 || start.is_null() {
        return None;
    }
    // SAFETY: OpenSSL's buffer of that length lives as long as the callback, longer than the borrow of `ssl` in it.
    Some(unsafe { std::slice::from_raw_parts(start, length) })
}

/// Another owner of the same store.
pub(crate) fn share_store(store: &X509StoreRef) -> X509Store {
    // SAFETY: the store is alive; its count of owners goes up by the one made below.
    unsafe { X509_STORE_up_ref(store.as_ptr()) };
    // SAFETY: as above.
    unsafe { X509Store::from_ptr(store.as_ptr()) }
}

/// The keys that tickets are made and read with, newest first.
pub(crate) fn set_ticket_keys(keys: Vec<TicketKey>) {
    *KEYS.lock().unwrap_or_else(PoisonError::into_inner) = keys;
}

/// Makes `builder`'s tickets with the keys of [`set_ticket_keys`].
pub(crate) fn use_ticket_keys(builder: &mut SslContextBuilder) {
    type Plain = unsafe extern "C" fn();
    let callback: TicketCallback = ticket_key;
    // SAFETY: OpenSSL keeps this callback as a plain function pointer and casts it back to the type that
    // SSL_CTRL_SET_TLSEXT_TICKET_KEY_CB documents, which is TicketCallback.
    let plain = unsafe { std::mem::transmute::<TicketCallback, Plain>(callback) };
    // SAFETY: the context is alive and the callback has the documented signature.
    unsafe {
        ffi::SSL_CTX_callback_ctrl__fixed_rust(
            builder.as_ptr(),
            SSL_CTRL_SET_TLSEXT_TICKET_KEY_CB,
            Some(plain),
        );
    }
}

type TicketCallback = unsafe extern "C" fn(
    *mut ffi::SSL,
    *mut c_uchar,
    *mut c_uchar,
    *mut ffi::EVP_CIPHER_CTX,
    *mut ffi::HMAC_CTX,
    c_int,
) -> c_int;

/// 1: go on; 2: go on and issue a new ticket; 0: unknown key, full handshake; −1: failure.
///
/// # Safety
/// Only OpenSSL calls this, with pointers as SSL_CTX_set_tlsext_ticket_key_cb(3) describes.
unsafe extern "C" fn ticket_key(
    ssl: *mut ffi::SSL,
    name: *mut c_uchar,
    iv: *mut c_uchar,
    cipher: *mut ffi::EVP_CIPHER_CTX,
    hmac: *mut ffi::HMAC_CTX,
    encrypting: c_int,
) -> c_int {
    let keys = KEYS.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: OpenSSL passes a buffer of 16 octets for the name.
    let name = unsafe { std::slice::from_raw_parts_mut(name, 16) };
    let (key, answer) = if encrypting == 1 {
        let Some(key) = keys.first() else {
            return -1;
        };
        name.copy_from_slice(&key.name);
        // SAFETY: OpenSSL passes a buffer of EVP_MAX_IV_LENGTH (16) octets for the initialisation vector.
        let iv = unsafe { std::slice::from_raw_parts_mut(iv, 16) };
        if openssl::rand::rand_bytes(iv).is_err() {
            return -1;
        }
        (key, 1)
    } else {
        let Some(index) = keys.iter().position(|key| key.name == *name) else {
            return 0;
        };
        let Some(key) = keys.get(index) else {
            return 0;
        };
        // SAFETY: the connection is alive as long as the callback.
        let version = unsafe { ffi::SSL_version(ssl) };
        // A ticket of TLS 1.3 is for one use (RFC 8446 appendix C.4): without a new one the next connection would
        // have to shake hands in full, or show an observer the same ticket twice.
        let renew = index > 0 || version == ffi::TLS1_3_VERSION;
        (key, if renew { 2 } else { 1 })
    };
    // SAFETY: the cipher is a constant of the library.
    let aes = unsafe { ffi::EVP_aes_256_cbc() };
    let none = std::ptr::null_mut();
    let ready = if encrypting == 1 {
        // SAFETY: the context is OpenSSL's, key and vector have the lengths of AES-256-CBC.
        unsafe { ffi::EVP_EncryptInit_ex(cipher, aes, none, key.aes.as_ptr(), iv) }
    } else {
        // SAFETY: as above.
        unsafe { ffi::EVP_DecryptInit_ex(cipher, aes, none, key.aes.as_ptr(), iv) }
    };
    let secret = key.hmac.as_ptr().cast::<c_void>();
    // SAFETY: the digest is a constant of the library.
    let digest = unsafe { ffi::EVP_sha256() };
    // SAFETY: the context is OpenSSL's; the key is 32 octets long.
    let authenticated = unsafe { ffi::HMAC_Init_ex(hmac, secret, 32, digest, none) };
    if ready == 1 && authenticated == 1 {
        answer
    } else {
        -1
    }
}

/// Takes over a descriptor that the command line names.
///
/// # Errors
/// EBADF if it is not open, or is one of the standard three, which belong to the whole process.
pub(crate) fn take_descriptor(number: i32) -> std::io::Result<std::os::fd::OwnedFd> {
    use std::os::fd::FromRawFd;
    if number <= 2 {
        return Err(nix::errno::Errno::EBADF.into());
    }
    // SAFETY: F_GETFD on any number is harmless; it says whether the descriptor is open.
    let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
    nix::errno::Errno::result(flags)?;
    // SAFETY: whoever started this program handed the descriptor over by naming it; each option is read once.
    Ok(unsafe { std::os::fd::OwnedFd::from_raw_fd(number) })
}

/// Owns what accept has just returned.
pub(crate) fn accepted(number: std::os::fd::RawFd) -> std::os::fd::OwnedFd {
    use std::os::fd::FromRawFd;
    // SAFETY: the only caller passes the result of a successful accept4, which nobody else knows of.
    unsafe { std::os::fd::OwnedFd::from_raw_fd(number) }
}

/// The TCP port that the system's services database gives for `name`.
pub(crate) fn tcp_service(name: &std::ffi::CStr) -> Option<u16> {
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
