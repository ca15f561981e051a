//! Whose turn it is by chance: what machines do at the same time comes in any order.

use super::World;
use restante_core::account::ConnectionId;

impl World {
    /// Sends octets that are read later, by [`World::run_by_chance`].
    pub(crate) fn send(&mut self, id: ConnectionId, octets: &[u8]) {
        self.client(id).to_send.extend(octets);
    }

    /// Until nothing moves any more, one machine at a time: `choose` says which of so many
    /// things comes next. Answers of storage to the account and replies of the account come as
    /// late as it likes, and octets come in pieces.
    pub(crate) fn run_by_chance(&mut self, choose: &mut dyn FnMut(usize) -> usize) {
        self.hold_account();
        self.hold_replies();
        let ids: Vec<ConnectionId> = self.clients.keys().copied().collect();
        // Machines that did nothing since something else moved.
        let mut resting = 0_u64;
        let all = (1_u64 << (ids.len() + 3)) - 1;
        let mut turns = 0_u64;
        while resting != all {
            let next = choose(ids.len() + 3);
            if resting >> next & 1 == 1 {
                continue;
            }
            let moved = match next.checked_sub(ids.len()) {
                None => {
                    self.piece_max = 1 << choose(14);
                    self.turn_client(ids[next])
                }
                Some(0) => self.turn_account(),
                Some(1) => self.answer_one(choose),
                _ => self.reply_one(),
            };
            resting = if moved { 0 } else { resting | 1 << next };
            turns += 1;
            assert!(turns < self.turns_max, "the machines never come to rest");
        }
        self.piece_max = usize::MAX;
        self.release_account();
        self.release_replies();
    }

    /// Storage answers requests of the account in any order.
    fn answer_one(&mut self, choose: &mut dyn FnMut(usize) -> usize) -> bool {
        let Some(held) = self.held.as_mut().filter(|held| !held.is_empty()) else {
            return false;
        };
        let Some((request, wanted)) = held.remove(choose(held.len())) else {
            return false;
        };
        self.answer_account(request, wanted);
        true
    }

    fn reply_one(&mut self) -> bool {
        let Some(held) = self.held_replies.as_mut().filter(|held| !held.is_empty()) else {
            return false;
        };
        let (id, reply) = held.remove(0);
        self.deliver(id, reply);
        true
    }
}
