//! One connection of the truth server: its bytes in both directions.

use std::{io, os::fd::OwnedFd};

use rustix::{io::Errno, net::SendFlags};

use crate::record::Answered;

pub struct Connection {
    pub id: u64,
    pub socket: OwnedFd,
    /// The beginning of a request that isn't whole.
    pub input: Vec<u8>,
    /// Answers that the kernel hasn't taken.
    pub output: Vec<u8>,
    /// Which answers those are, and of which epoch.
    pub unwritten: Vec<(u64, Answered)>,
    /// The kernel takes no more for now.
    pub blocked: bool,
    /// When the last answer that was asked for is due.
    pub last_ns: u64,
    /// Requests of the load, and those of them that wait for their answer.
    pub asked: u64,
    pub in_flight: u64,
    /// Asked for what the server saw.
    pub told: bool,
    pub close_after: bool,
}

impl Connection {
    pub const fn new(id: u64, socket: OwnedFd) -> Self {
        Self {
            id,
            socket,
            input: Vec::new(),
            output: Vec::new(),
            unwritten: Vec::new(),
            blocked: false,
            last_ns: 0,
            asked: 0,
            in_flight: 0,
            told: false,
            close_after: false,
        }
    }

    /// Writes as much as the kernel takes.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn write(&mut self) -> io::Result<()> {
        let mut written = 0;
        self.blocked = false;
        while written < self.output.len() {
            match rustix::net::send(&self.socket, &self.output[written..], SendFlags::NOSIGNAL) {
                Ok(length) => written += length,
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => {
                    self.blocked = true;
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.output.drain(..written);
        Ok(())
    }
}
