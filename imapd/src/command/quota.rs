//! GETQUOTA, GETQUOTAROOT, SETQUOTA (RFC 2087, RFC 9208; contract: imapd 14). Limits are the administrator's.

use courier::maildir::QuotaUse;

use crate::attempt;
use crate::folder::BadName;
use crate::reply::{Code, Reply};
use crate::session::{Executed, Session};

/// The root of the user's own mailboxes.
const OWN: &[u8] = b"ROOT";
/// The root of folders shared through the file system, and of those of other accounts. Neither is limited for those
/// who read them.
const SHARED: &[u8] = b"SHARED";
const PUBLIC: &[u8] = b"PUBLIC";

/// GETQUOTAROOT. The mailbox need not exist.
pub fn root(session: &mut Session, wire: &[u8]) -> Executed {
    let root = if wire.starts_with(b"#shared.") {
        PUBLIC
    } else if wire.starts_with(b"shared.") {
        SHARED
    } else {
        attempt!(
            session
                .place(wire)
                .map_err(|BadName| { Reply::no("Invalid mailbox name.").with(Code::Cannot) })
        );
        OWN
    };
    let utf8 = session.utf8;
    let out = &mut session.out;
    out.put(b"* QUOTAROOT ");
    out.string(wire, utf8);
    out.put(b" ");
    out.string(root, utf8);
    out.end_line();
    attempt!(put(session, root));
    Ok(Reply::ok("GETQUOTAROOT Ok."))
}

/// GETQUOTA. A root that does not exist has no limits.
pub fn get(session: &mut Session, root: &[u8]) -> Executed {
    attempt!(put(session, root));
    Ok(Reply::ok("GETQUOTA Ok."))
}

/// SETQUOTA.
pub fn set() -> Executed {
    Ok(Reply::no("SETQUOTA No permission.").with(Code::NoPerm))
}

/// Writes the QUOTA response of a root.
fn put(session: &mut Session, root: &[u8]) -> Result<(), Reply> {
    let quota = if root == OWN {
        session
            .maildir
            .quota()
            .map_err(|error| session.failed(&error))?
    } else {
        None
    };
    let out = &mut session.out;
    out.put(b"* QUOTA ");
    out.string(root, session.utf8);
    out.put(b" (");
    if let Some(quota) = quota {
        out.put(resources(&quota).as_bytes());
    }
    out.put(b")\r\n");
    Ok(())
}

/// The resources that are limited: their usage and limit, STORAGE in units of 1024 bytes.
fn resources(quota: &QuotaUse) -> String {
    let mut resources = Vec::new();
    if quota.limits.bytes > 0 {
        let units = |bytes: u64| bytes.div_ceil(1024);
        resources.push(format!(
            "STORAGE {} {}",
            units(quota.bytes),
            units(quota.limits.bytes)
        ));
    }
    if quota.limits.messages > 0 {
        resources.push(format!(
            "MESSAGE {} {}",
            quota.messages, quota.limits.messages
        ));
    }
    resources.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use courier::maildir::QuotaLimits;

    #[test]
    fn kibibytes_are_rounded_up() {
        let quota = |text: &[u8]| QuotaUse {
            limits: QuotaLimits::parse(text),
            bytes: 1025,
            messages: 3,
        };
        assert_eq!(resources(&quota(b"10000S,7C")), "STORAGE 2 10 MESSAGE 3 7");
        assert_eq!(resources(&quota(b"1S")), "STORAGE 2 1");
        assert_eq!(resources(&quota(b"7C")), "MESSAGE 3 7");
    }
}
