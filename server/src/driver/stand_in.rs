//! Stands in for the core's account until it is there.

use super::account;
use restante_core::account::{AccountInput, AccountOutput};
use restante_core::config::Config;
use restante_core::random::Seed;
use restante_core::seal::AccountKeys;
use restante_core::time::Now;
use std::sync::Arc;

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
