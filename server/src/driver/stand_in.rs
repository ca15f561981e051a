//! Stands in for the core's machines until they are there.

use super::{account, connection};
use restante_core::account::{AccountInput, AccountOutput};
use restante_core::boundary::{Input, Output, Wait};
use restante_core::config::Config;
use restante_core::random::Seed;
use restante_core::seal::AccountKeys;
use restante_core::time::Now;
use std::sync::Arc;

pub(crate) struct Peer {
    pub(crate) loopback: bool,
    pub(crate) tls: bool,
}

pub(crate) struct Connection {
    transmit: Vec<u8>,
    closed: bool,
}

impl Connection {
    pub(crate) fn new(_: Arc<Config>, _: Seed, _: Now, peer: Peer) -> Self {
        let _ = (peer.loopback, peer.tls);
        Self {
            transmit: b"* OK stand-in\r\n".to_vec(),
            closed: false,
        }
    }
}

impl connection::Machine for Connection {
    fn handle_input(&mut self, _: Now, input: Input<'_>) {
        match input {
            Input::Received(bytes) => self.transmit.extend_from_slice(bytes),
            Input::Transmitted(len) => drop(self.transmit.drain(..len)),
            Input::Eof => self.closed = true,
            Input::Shutdown => {
                self.transmit.extend_from_slice(b"* BYE stand-in\r\n");
                self.closed = true;
            }
            _ => {}
        }
    }
    fn poll_output(&mut self) -> Output {
        match self.closed {
            true => Output::Close,
            false => Output::Wait(Wait {
                receive: 4096,
                deadline: None,
            }),
        }
    }
    fn transmit(&self) -> &[u8] {
        &self.transmit
    }
}

pub(crate) struct Account(bool);

impl Account {
    pub(crate) fn new(_: Arc<Config>, _: Arc<AccountKeys>, _: Seed, _: Now) -> Self {
        Self(false)
    }
}

impl account::Machine for Account {
    fn handle_input(&mut self, _: Now, input: AccountInput) {
        self.0 |= matches!(input, AccountInput::Shutdown);
    }
    fn poll_output(&mut self) -> AccountOutput {
        match self.0 {
            true => AccountOutput::Done,
            false => AccountOutput::Wait { deadline: None },
        }
    }
}
