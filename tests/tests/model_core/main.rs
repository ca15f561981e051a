//! The model of IMAP on the core alone (docs/modelling.md): all machines in this thread,
//! storage in a map, and whose turn it is by chance. Besides, the judge of two servers.

#[path = "../../../core/tests/directory/commands.rs"]
#[allow(dead_code, reason = "the model of the directory needs the rest")]
mod commands;
#[path = "../model/judge.rs"]
mod judge;
mod judging;
mod lies;
#[path = "../../../core/tests/directory/reference.rs"]
#[allow(dead_code, reason = "the model of the directory needs the rest")]
mod reference;
#[path = "../../../core/tests/world/mod.rs"]
mod world;

use restante_core::account::ConnectionId;
use restante_tests::model::command::Names;
use restante_tests::model::generate::Case;
use restante_tests::model::run::run;
use restante_tests::model::search::search;
use restante_tests::model::wire::Wire;
use std::time::Duration;
use world::World;

/// Cases where they are always the same.
const FIXED_CASES: u64 = 200;

#[test]
fn clients_are_told_what_is() {
    let run = |case: &Case| run(case, &mut CoreWire::new(case.schedule));
    search("core", FIXED_CASES, run);
}

struct CoreWire {
    world: World,
    clients: Vec<ConnectionId>,
    /// A xorshift generator.
    chance: u64,
}

impl CoreWire {
    fn new(schedule: u64) -> Self {
        let mut world = World::new(1);
        let first = world.log_in();
        let answer = world.say(first, b"c CREATE Other\r\n");
        assert!(answer.contains("c OK"), "{answer}");
        world.drop_client(first);
        Self {
            world,
            clients: Vec::new(),
            chance: schedule | 1,
        }
    }
}

impl Wire for CoreWire {
    fn mailboxes(&self) -> Names {
        ["INBOX".to_owned(), "Other".to_owned()]
    }

    fn connect(&mut self) -> usize {
        self.clients.push(self.world.log_in());
        self.clients.len() - 1
    }

    fn send(&mut self, client: usize, octets: &[u8]) {
        self.world.send(self.clients[client], octets);
    }

    fn wait(&mut self, _: Duration) {
        let chance = &mut self.chance;
        self.world.run_by_chance(&mut |count| {
            *chance ^= *chance << 13;
            *chance ^= *chance >> 7;
            *chance ^= *chance << 17;
            (*chance >> 33) as usize % count
        });
    }

    fn take(&mut self, client: usize) -> Vec<u8> {
        let id = self.clients[client];
        assert!(!self.world.is_closed(id), "the connection is closed");
        self.world.read_octets(id)
    }

    fn is_prompt(&self) -> bool {
        true
    }
}
