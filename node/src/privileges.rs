//! What this process may do, reduced to what it needs.
//!
//! Ports below 1024 need `CAP_NET_BIND_SERVICE`, and only while they are bound. Capabilities belong
//! to threads, so the order is: bind (`std::net::TcpListener`), [`drop_capabilities`], and only
//! then start the runtime, whose threads inherit nothing.

use std::io;

use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, setrlimit, umask};
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set, set_capabilities, set_no_new_privs,
};

/// Gives up every capability of this thread and of those it starts, and the way to new ones.
/// Call it before any other thread runs. Root without capabilities has its own files left.
///
/// # Errors
///
/// When the kernel refuses, which it has no reason for.
pub fn drop_capabilities() -> io::Result<()> {
    clear_ambient_capability_set()?;
    let none = CapabilitySet::empty();
    let sets = CapabilitySets {
        effective: none,
        permitted: none,
        inheritable: none,
    };
    set_capabilities(None, sets)?;
    set_no_new_privs(true)?;
    Ok(())
}

/// No core dumps: memory holds mail and passwords.
///
/// # Errors
///
/// When the kernel refuses, which it has no reason for.
pub fn forbid_core_dumps() -> io::Result<()> {
    Ok(setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(0),
            maximum: Some(0),
        },
    )?)
}

/// Whatever this process makes from now on is for its user alone: mail, passwords, keys.
pub fn keep_files_private() {
    umask(Mode::RWXG | Mode::RWXO);
}

#[cfg(test)]
mod tests {
    use rustix::process::getrlimit;
    use rustix::thread::{capabilities, no_new_privs};

    use super::*;

    #[test]
    fn a_thread_and_its_threads_can_do_no_more() {
        let tested = std::thread::spawn(|| {
            drop_capabilities().unwrap();
            let left = std::thread::spawn(|| capabilities(None).unwrap())
                .join()
                .unwrap();
            (left, no_new_privs().unwrap())
        });
        let (left, no_new) = tested.join().unwrap();
        assert!(left.effective.is_empty() && left.permitted.is_empty());
        assert!(no_new);
    }

    #[test]
    fn core_dumps_are_off() {
        forbid_core_dumps().unwrap();
        assert_eq!(getrlimit(Resource::Core).current, Some(0));
    }
}
