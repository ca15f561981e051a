//! The table of keywords of a mailbox: which bit of a message stands for which. It has few places. A
//! keyword keeps its place while the mailbox is in memory, also when no message has it any more; where
//! there is no place for a new one, those go that nobody needs, and the others move together.

use super::flag::Flag;
use super::message::{FlagBit, FlagSet, Register, Registers};
use super::state::MailboxState;
use std::sync::Arc;

/// So many keywords a mailbox can have.
const KEYWORDS_MAX: usize = FlagBit::COUNT - FlagBit::FIRST_KEYWORD;

/// What becomes of each bit; `None` of those that nobody needs.
struct Moves([Option<FlagBit>; FlagBit::COUNT]);

impl MailboxState {
    /// Which bits messages have, or had and know when that changed; system flags always.
    pub(super) fn used_bits(&self) -> [bool; FlagBit::COUNT] {
        let mut used = [false; FlagBit::COUNT];
        let mut note = |flags: FlagSet, registers: &Registers| {
            for bit in flags.bits() {
                used[usize::from(bit.0)] = true;
            }
            for register in registers.as_deref().unwrap_or_default() {
                used[usize::from(register.flag.0)] = true;
            }
        };
        for message in self.messages.iter() {
            note(message.flags, &message.registers);
        }
        for pending in self.pending.values() {
            let flags = pending.arrival.map(|arrival| arrival.flags);
            note(flags.unwrap_or_default(), &pending.registers);
        }
        used[..FlagBit::FIRST_KEYWORD].fill(true);
        used
    }

    /// How many keywords are needed. It looks at all messages.
    pub(super) fn used_keywords(&self) -> usize {
        let used = self.used_bits();
        let used = used[FlagBit::FIRST_KEYWORD..].iter();
        used.filter(|used| **used).count()
    }

    /// Makes room for those of these flags that are new, if there is too little and some keywords are not
    /// needed any more.
    pub(super) fn make_room<'a>(&mut self, flags: impl Iterator<Item = &'a Flag>) {
        let new = flags.filter(|flag| self.bit(flag).is_none()).count();
        if new == 0 || self.keywords.len() + new <= KEYWORDS_MAX {
            return;
        }
        let moves = Moves::together(self.used_bits());
        let keywords = (FlagBit::FIRST_KEYWORD..).zip(self.keywords.iter());
        let kept = keywords.filter(|(bit, _)| moves.0[*bit].is_some());
        self.keywords = Arc::new(kept.map(|(_, keyword)| keyword.clone()).collect());
        let concerned = self.messages.iter();
        let concerned = concerned.filter(|it| moves.concern(it.flags, &it.registers));
        let concerned: Vec<_> = concerned.map(|message| message.uid).collect();
        for uid in concerned {
            if let Some(message) = self.messages.find_mut(uid) {
                message.flags = moves.flags(message.flags);
                message.registers = moves.registers(&message.registers);
            }
        }
        for pending in Arc::make_mut(&mut self.pending).values_mut() {
            pending.registers = moves.registers(&pending.registers);
            if let Some(arrival) = &mut pending.arrival {
                arrival.flags = moves.flags(arrival.flags);
            }
        }
    }
}

impl Moves {
    /// All that are used, one beside the other in the order that they have.
    fn together(used: [bool; FlagBit::COUNT]) -> Self {
        let mut moves = [None; FlagBit::COUNT];
        let places = moves.iter_mut().zip(used).filter(|(_, used)| *used);
        for ((place, _), bit) in places.zip(0u8..) {
            *place = Some(FlagBit(bit));
        }
        Self(moves)
    }

    fn concern(&self, flags: FlagSet, registers: &Registers) -> bool {
        let moves = |bit: FlagBit| self.0[usize::from(bit.0)] != Some(bit);
        let mut registers = registers.as_deref().unwrap_or_default().iter();
        flags.bits().any(moves) || registers.any(|register| moves(register.flag))
    }

    fn flags(&self, flags: FlagSet) -> FlagSet {
        let mut moved = FlagSet::default();
        for bit in flags.bits().filter_map(|bit| self.0[usize::from(bit.0)]) {
            moved.assign(bit, true);
        }
        moved
    }

    fn registers(&self, registers: &Registers) -> Registers {
        let moved = |register: &Register| {
            let flag = self.0[usize::from(register.flag.0)]?;
            Some(Register { flag, ..*register })
        };
        let registers = registers.as_deref()?;
        Some(registers.iter().filter_map(moved).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailbox::clock::Stamp;
    use crate::mailbox::operation::tests::arrival;
    use crate::mailbox::operation::{Batch, Operation};
    use crate::mailbox::{Keyword, MessageId, ModSeq, Uid, UidValidity, WriterId};

    fn keyword(number: usize) -> Flag {
        Flag::Keyword(Keyword::new(&format!("keyword{number}")))
    }

    fn set(message: MessageId, numbers: impl Iterator<Item = usize>) -> Operation {
        Operation::SetFlags {
            messages: vec![message],
            changes: numbers.map(|number| (keyword(number), true)).collect(),
        }
    }

    /// Two messages; the first one with the keywords 0 to 114, the other one with 115 to 119.
    fn state() -> (MailboxState, [MessageId; 2]) {
        let mut state = MailboxState::new(UidValidity(core::num::NonZeroU32::MIN));
        let messages = [MessageId([1; 16]), MessageId([2; 16])];
        for (message, uid) in messages.into_iter().zip(1..) {
            let arrival = arrival(1);
            let arrive = Operation::Arrive { message, arrival };
            let uid = Uid::new(uid).unwrap();
            apply(&mut state, vec![arrive, Operation::Claim { message, uid }]);
        }
        apply(&mut state, vec![set(messages[0], 0..115)]);
        apply(&mut state, vec![set(messages[1], 115..120)]);
        (state, messages)
    }

    fn apply(state: &mut MailboxState, operations: Vec<Operation>) {
        let modseq = ModSeq(state.highest_modseq().0 + 1);
        let batch = Batch {
            stamp: Stamp(modseq.0),
            modseq,
            past: None,
            operations,
        };
        state.apply_own(WriterId([1; 16]), &batch);
    }

    fn of_last(state: &MailboxState) -> Vec<Flag> {
        let last = state.message(state.len() - 1).unwrap();
        let mut flags: Vec<Flag> = state.flags(last).collect();
        flags.retain(|flag| matches!(flag, Flag::Keyword(_)));
        flags
    }

    fn numbered(numbers: impl Iterator<Item = usize>) -> Vec<Flag> {
        numbers.map(keyword).collect()
    }

    #[test]
    fn keywords_that_nobody_needs_make_room_for_new_ones() {
        let (mut state, [first, last]) = state();
        let messages = vec![first];
        apply(&mut state, vec![Operation::Expunge { messages }]);
        apply(&mut state, vec![set(last, 200..260)]);
        assert_eq!(of_last(&state), numbered((115..120).chain(200..260)));
        // Registers have moved along: who knew of them wins, and who did not loses.
        let changes = vec![(keyword(115), false), (keyword(259), false)];
        let messages = vec![last];
        apply(&mut state, vec![Operation::SetFlags { messages, changes }]);
        assert_eq!(of_last(&state), numbered((116..120).chain(200..259)));
    }

    #[test]
    fn keywords_that_are_needed_stay() {
        let (mut state, [_, last]) = state();
        let before = of_last(&state);
        apply(&mut state, vec![set(last, 200..260)]);
        assert!(of_last(&state).starts_with(&before));
        let first = state.message(0).unwrap();
        assert_eq!(
            state
                .flags(first)
                .filter(|it| matches!(it, Flag::Keyword(_)))
                .count(),
            115
        );
    }

    #[test]
    fn flags_are_alike_whatever_the_places_of_keywords() {
        let states = [[1, 2], [2, 1]].map(|numbers| {
            let (mut state, [_, last]) = state();
            for number in numbers {
                apply(&mut state, vec![set(last, number + 500..number + 501)]);
            }
            state
        });
        let [one, two] = states.each_ref().map(|state| state.message(1).unwrap());
        assert_ne!(states[0].keywords(), states[1].keywords());
        assert!(states[0].flags_alike(one, &states[1], two));
        let first = states[1].message(0).unwrap();
        assert!(!states[0].flags_alike(one, &states[1], first));
    }

    #[test]
    fn a_message_that_arrives_with_new_keywords_has_them() {
        let (mut state, [first, _]) = state();
        let messages = vec![first];
        apply(&mut state, vec![Operation::Expunge { messages }]);
        let message = MessageId([3; 16]);
        let mut arrival = arrival(1);
        arrival.flags = numbered(300..350);
        let uid = Uid::new(3).unwrap();
        let arrive = Operation::Arrive { message, arrival };
        apply(&mut state, vec![arrive, Operation::Claim { message, uid }]);
        assert_eq!(of_last(&state), numbered(300..350));
    }
}
