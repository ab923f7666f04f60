//! Handing descriptors to another process over a UNIX socket of packets: one packet, one message, its descriptors
//! with it.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr,
    recvmsg, sendmsg, socketpair,
};

/// Most descriptors in one message.
pub const DESCRIPTORS_MAX: usize = 8;
/// As many as the kernel passes in one message (SCM_MAX_FD). There is room for all of them: those that are cut off are
/// closed by the kernel, but those that fit would be left open, as nix does not show them then.
const KERNEL_MAX: usize = 253;

/// A connected pair of packet sockets, both close-on-exec.
///
/// # Errors
/// EMFILE, ENFILE, ENOMEM.
pub fn packet_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC,
    )?)
}

/// Sends `bytes` as one packet, with `descriptors`.
///
/// # Errors
/// Those of sendmsg(2); EMSGSIZE for a packet that is too long.
pub fn send<F: AsFd>(socket: &F, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let numbers: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&numbers)];
    let control = if numbers.is_empty() {
        &[][..]
    } else {
        &rights[..]
    };
    let pieces = [IoSlice::new(bytes)];
    loop {
        match sendmsg::<UnixAddr>(
            socket.as_fd().as_raw_fd(),
            &pieces,
            control,
            MsgFlags::MSG_NOSIGNAL,
            None,
        ) {
            Ok(_) => return Ok(()),
            Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// One packet of at most `limit` octets and the descriptors that came with it, all close-on-exec. An empty packet
/// without descriptors means that the other side has closed.
///
/// # Errors
/// Those of recvmsg(2); ENOBUFS when this process may have no more descriptors; `InvalidData` for a packet longer than
/// `limit` or with too many descriptors (whatever came with it is closed).
pub fn receive<F: AsFd>(socket: &F, limit: usize) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut bytes = vec![0; limit];
    let (length, descriptors) = receive_into(socket, &mut bytes)?;
    bytes.truncate(length);
    Ok((bytes, descriptors))
}

/// As [`receive`], into a buffer that the caller keeps; the packet's length is returned.
///
/// # Errors
/// As [`receive`], with the buffer's length as the limit.
pub fn receive_into<F: AsFd>(socket: &F, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = nix::cmsg_space!([RawFd; KERNEL_MAX]);
    let (length, descriptors, cut) = {
        let mut pieces = [IoSliceMut::new(buffer)];
        let message = loop {
            let flags = MsgFlags::MSG_CMSG_CLOEXEC;
            match recvmsg::<UnixAddr>(
                socket.as_fd().as_raw_fd(),
                &mut pieces,
                Some(&mut space),
                flags,
            ) {
                Ok(message) => break message,
                Err(nix::errno::Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        };
        let cut = message.flags.contains(MsgFlags::MSG_TRUNC);
        let mut descriptors = Vec::new();
        // Fails for descriptors that this process has no room for.
        for control in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(numbers) = control {
                for number in numbers {
                    // SAFETY: the kernel has just made this descriptor for us; nobody else knows of it.
                    descriptors.push(unsafe { OwnedFd::from_raw_fd(number) });
                }
            }
        }
        (message.bytes, descriptors, cut)
    };
    if cut || descriptors.len() > DESCRIPTORS_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok((length, descriptors))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn a_descriptor_arrives_with_its_packet() {
        let (one, other) = packet_pair().unwrap();
        let (reader, writer) = nix::unistd::pipe().unwrap();
        let mut reader = std::fs::File::from(reader);
        send(&one, b"first", &[writer.as_fd()]).unwrap();
        send(&one, b"second", &[]).unwrap();
        drop(writer);
        let (bytes, mut descriptors) = receive(&other, 100).unwrap();
        assert_eq!(bytes, b"first");
        let mut passed = std::fs::File::from(descriptors.remove(0));
        passed.write_all(b"x").unwrap();
        drop(passed);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "x");
        assert!(receive(&other, 3).is_err(), "cut packet");
        // Too many are all closed: the last writer is gone then.
        let (reader, writer) = nix::unistd::pipe().unwrap();
        for count in [DESCRIPTORS_MAX + 1, KERNEL_MAX] {
            send(&one, b"many", &vec![writer.as_fd(); count]).unwrap();
            let error = receive(&other, 100).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
        drop(writer);
        let mut reader = std::fs::File::from(reader);
        assert_eq!(reader.read(&mut [0]).unwrap(), 0);
        drop(one);
        assert!(receive(&other, 100).unwrap().0.is_empty());
    }
}
