//! Hands one end of a socket pair to another process, over a socket that it has.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Calls, one at a time, each answered.
    Calls,
    /// Numbers of files that are to be closed (u64, big-endian); nothing is answered.
    Closing,
}

const CALLS: u8 = b'c';
const CLOSING: u8 = b'x';

/// Gives the other side of `control` this end of a connection.
pub(super) fn give(control: &UnixStream, end: UnixStream, purpose: Purpose) -> io::Result<()> {
    let word = [if purpose == Purpose::Calls { CALLS } else { CLOSING }];
    let ends = [end.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if !beside.push(SendAncillaryMessage::ScmRights(&ends)) {
        return Err(io::Error::other("no room for a connection beside its word"));
    }
    // A child that is gone is an error here and no signal.
    sendmsg(control, &[IoSlice::new(&word)], &mut beside, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Waits for a connection; none when the other side is gone.
pub(super) fn take(control: &UnixStream) -> io::Result<Option<(UnixStream, Purpose)>> {
    let mut word = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        match recvmsg(control, &mut [IoSliceMut::new(&mut word)], &mut beside, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            other => break other?,
        }
    };
    if received.bytes == 0 {
        return Ok(None);
    }
    let purpose = match word[0] {
        CALLS => Purpose::Calls,
        CLOSING => Purpose::Closing,
        other => return Err(io::Error::other(format!("a connection for `{other}`, which is nothing"))),
    };
    let ends = beside.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut ends) => ends.next(),
        _ => None,
    });
    let end: OwnedFd = ends.ok_or_else(|| io::Error::other("a word without its connection; too many open files?"))?;
    Ok(Some((UnixStream::from(end), purpose)))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn what_is_handed_over_works() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        for purpose in [Purpose::Calls, Purpose::Closing] {
            let (mut here, there) = UnixStream::pair().unwrap();
            give(&ours, there, purpose).unwrap();
            let (mut there, told) = take(&theirs).unwrap().unwrap();
            assert_eq!(told, purpose);
            here.write_all(b"hello").unwrap();
            drop(here);
            let mut heard = String::new();
            there.read_to_string(&mut heard).unwrap();
            assert_eq!(heard, "hello");
        }
        drop(ours);
        assert!(take(&theirs).unwrap().is_none());
    }

    #[test]
    fn nobody_at_the_other_end_is_an_error() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        let (_here, there) = UnixStream::pair().unwrap();
        assert!(give(&ours, there, Purpose::Calls).is_err());
    }
}
