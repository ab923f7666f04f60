//! libpam: one authentication per call, in the calling process. Modules may leave anything behind, so callers run
//! it in a child.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;

use courier::sys::log::{Level, log};

/// Opaque to us.
#[repr(C)]
struct Handle {
    _private: [u8; 0],
}

#[repr(C)]
struct Message {
    style: c_int,
    text: *const c_char,
}

#[repr(C)]
struct Response {
    text: *mut c_char,
    code: c_int,
}

type Conversation = unsafe extern "C" fn(
    count: c_int,
    messages: *mut *const Message,
    responses: *mut *mut Response,
    data: *mut c_void,
) -> c_int;

#[repr(C)]
struct Conv {
    function: Conversation,
    data: *mut c_void,
}

#[link(name = "pam")]
unsafe extern "C" {
    fn pam_start(
        service: *const c_char,
        user: *const c_char,
        conversation: *const Conv,
        handle: *mut *mut Handle,
    ) -> c_int;
    #[cfg(test)]
    fn pam_start_confdir(
        service: *const c_char,
        user: *const c_char,
        conversation: *const Conv,
        directory: *const c_char,
        handle: *mut *mut Handle,
    ) -> c_int;
    fn pam_set_item(handle: *mut Handle, item: c_int, value: *const c_void) -> c_int;
    fn pam_authenticate(handle: *mut Handle, flags: c_int) -> c_int;
    fn pam_acct_mgmt(handle: *mut Handle, flags: c_int) -> c_int;
    fn pam_end(handle: *mut Handle, status: c_int) -> c_int;
}

// Values of Linux-PAM's <security/_pam_types.h>.
const PAM_SUCCESS: c_int = 0;
const PAM_BUF_ERR: c_int = 5;
const PAM_CONV_ERR: c_int = 19;
const PAM_RHOST: c_int = 4;
const PAM_PROMPT_ECHO_OFF: c_int = 1;
const PAM_PROMPT_ECHO_ON: c_int = 2;
/// More messages than this in one call is nonsense (PAM_MAX_NUM_MSG).
const MESSAGES_MAX: usize = 32;

/// What the conversation answers with.
struct Answers {
    user: CString,
    password: CString,
}

/// Whether PAM's stack for `service` authenticates `user` with `password` and lets the account in. Every failure
/// counts as no, also those of the system.
pub fn authenticate(service: &CStr, user: &CStr, password: &CStr, remote: Option<&CStr>) -> bool {
    run(user, password, remote, |conversation, handle| {
        // SAFETY: all strings are NUL-terminated and `conversation` outlives the transaction; see `run`.
        unsafe { pam_start(service.as_ptr(), user.as_ptr(), conversation, handle) }
    })
}

fn run(
    user: &CStr,
    password: &CStr,
    remote: Option<&CStr>,
    start: impl FnOnce(*const Conv, *mut *mut Handle) -> c_int,
) -> bool {
    let answers = Answers {
        user: user.to_owned(),
        password: password.to_owned(),
    };
    let conversation = Conv {
        function: converse,
        data: (&raw const answers).cast_mut().cast(),
    };
    let mut handle: *mut Handle = ptr::null_mut();
    if start(&raw const conversation, &raw mut handle) != PAM_SUCCESS || handle.is_null() {
        return false;
    }
    if let Some(remote) = remote {
        // An item that cannot be set is only missing from PAM's log lines.
        // SAFETY: the handle is live; libpam copies the string.
        let _ = unsafe { pam_set_item(handle, PAM_RHOST, remote.as_ptr().cast()) };
    }
    // SAFETY: the handle is live, and `conversation` and `answers` outlive it.
    let mut status = unsafe { pam_authenticate(handle, 0) };
    if status == PAM_SUCCESS {
        // SAFETY: as above.
        status = unsafe { pam_acct_mgmt(handle, 0) };
    }
    // SAFETY: the handle is live and not used afterwards.
    unsafe { pam_end(handle, status) };
    status == PAM_SUCCESS
}

/// Answers prompts: shown ones with the user name, hidden ones with the password. Anything else is logged.
///
/// # Safety
/// Only for libpam to call: `messages` has `count` elements, `responses` is writable, `data` is null or an [`Answers`].
unsafe extern "C" fn converse(
    count: c_int,
    messages: *mut *const Message,
    responses: *mut *mut Response,
    data: *mut c_void,
) -> c_int {
    let Some(count) = usize::try_from(count)
        .ok()
        .filter(|count| (1..=MESSAGES_MAX).contains(count))
    else {
        return PAM_CONV_ERR;
    };
    // SAFETY: `data` is the `Answers` that `run` keeps alive for the whole transaction, or null.
    let answers = unsafe { data.cast::<Answers>().cast_const().as_ref() };
    // SAFETY: Linux-PAM passes an array of `count` pointers to messages.
    let messages = unsafe { std::slice::from_raw_parts(messages, count) };
    let Some(answers) = answers else {
        return PAM_CONV_ERR;
    };
    // SAFETY: plain allocation; the result is checked. libpam frees it with free.
    let array = unsafe { libc::calloc(count, size_of::<Response>()) }.cast::<Response>();
    if array.is_null() {
        return PAM_BUF_ERR;
    }
    for (index, message) in messages.iter().enumerate() {
        // SAFETY: null or a message that lives until we return.
        let Some(message) = (unsafe { message.as_ref() }) else {
            continue;
        };
        let answer = match message.style {
            PAM_PROMPT_ECHO_ON => &answers.user,
            PAM_PROMPT_ECHO_OFF => &answers.password,
            _ => {
                if !message.text.is_null() {
                    // SAFETY: not null, and libpam's messages are NUL-terminated.
                    let text = unsafe { CStr::from_ptr(message.text) };
                    log(
                        Level::Info,
                        format_args!("authpam: {}", crate::debug::Text(text.to_bytes())),
                    );
                }
                continue;
            }
        };
        // SAFETY: duplicates a NUL-terminated string; libpam frees it.
        let copy = unsafe { libc::strdup(answer.as_ptr()) };
        // SAFETY: `index` is below `count`, so this is inside the array.
        let slot = unsafe { array.add(index) };
        // SAFETY: the slot is valid, aligned and ours alone.
        unsafe {
            slot.write(Response {
                text: copy,
                code: 0,
            })
        };
    }
    // SAFETY: libpam passes the address of a pointer for the result.
    unsafe { responses.write(array) };
    PAM_SUCCESS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_stack(stack: &str) -> bool {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("imap"), stack).unwrap();
        let path = CString::new(directory.path().to_str().unwrap()).unwrap();
        run(
            c"daemon",
            c"secret",
            Some(c"192.0.2.5"),
            |conversation, handle| {
                // SAFETY: as for pam_start.
                unsafe {
                    pam_start_confdir(
                        c"imap".as_ptr(),
                        c"daemon".as_ptr(),
                        conversation,
                        path.as_ptr(),
                        handle,
                    )
                }
            },
        )
    }

    #[test]
    fn the_stack_decides() {
        let permit = "auth required pam_permit.so\naccount required pam_permit.so\n";
        assert!(with_stack(permit));
        assert!(!with_stack(
            "auth required pam_deny.so\naccount required pam_permit.so\n"
        ));
        assert!(!with_stack(
            "auth required pam_permit.so\naccount required pam_deny.so\n"
        ));
    }

    #[test]
    fn prompts_are_answered_with_user_and_password() {
        let answers = Answers {
            user: c"alice".into(),
            password: c"secret".into(),
        };
        let [shown, hidden, info] =
            [PAM_PROMPT_ECHO_ON, PAM_PROMPT_ECHO_OFF, 4].map(|style| Message {
                style,
                text: c"?".as_ptr(),
            });
        let mut messages = [&raw const shown, &raw const hidden, &raw const info];
        let mut responses: *mut Response = ptr::null_mut();
        // SAFETY: the arguments are what libpam would pass.
        let status = unsafe {
            converse(
                3,
                messages.as_mut_ptr(),
                &raw mut responses,
                (&raw const answers).cast_mut().cast(),
            )
        };
        assert_eq!(status, PAM_SUCCESS);
        // SAFETY: converse returned an array of three.
        let got = unsafe { std::slice::from_raw_parts(responses, 3) };
        // SAFETY: the first two are strings.
        let texts = got[..2]
            .iter()
            .map(|r| unsafe { CStr::from_ptr(r.text) }.to_bytes().to_vec());
        assert_eq!(
            texts.collect::<Vec<_>>(),
            [b"alice".to_vec(), b"secret".to_vec()]
        );
        assert!(got[2].text.is_null());
        for response in got {
            // SAFETY: from strdup, or null.
            unsafe { libc::free(response.text.cast()) };
        }
        // SAFETY: from calloc.
        unsafe { libc::free(responses.cast()) };
        // SAFETY: an absurd count is refused before anything is touched.
        let absurd = unsafe {
            converse(
                1000,
                messages.as_mut_ptr(),
                &raw mut responses,
                ptr::null_mut(),
            )
        };
        assert_eq!(absurd, PAM_CONV_ERR);
    }
}
