//! What clients may do, by chance.

use super::command::{Command, Item, Section};
use super::flags::{Change, Flags};
use super::key::{Key, Order};
use super::mailbox::Arrival;
use super::set::Set;
use super::text::{DATES, FORMS, Text};
use proptest::collection::vec;
use proptest::option::{of, weighted};
use proptest::prelude::*;

/// What some clients do.
#[derive(Clone, Debug)]
pub struct Case {
    /// How many clients there are.
    pub clients: usize,
    /// What is said at the same time: who says what.
    pub rounds: Vec<Vec<(usize, Vec<Command>)>>,
    /// In which order machines take their turns, where that is ours to say.
    pub schedule: u64,
}

/// Clients at most.
const CLIENTS_MAX: usize = 4;
/// Clients that talk at the same time at most, one of them twice perhaps.
const TALKS_MAX: usize = 3;
/// Commands that a client sends before it reads, at most.
const PIPELINE_MAX: usize = 3;

/// Cases of up to so many rounds.
pub fn cases(rounds_max: usize) -> impl Strategy<Value = Case> {
    let commands = vec(command(), 1..=PIPELINE_MAX);
    let talk = (0..CLIENTS_MAX, commands);
    let round = vec(talk, 1..=TALKS_MAX);
    let rounds = vec(round, 1..=rounds_max);
    (2..=CLIENTS_MAX, rounds, any::<u64>()).prop_map(|(clients, rounds, schedule)| Case {
        clients,
        rounds,
        schedule,
    })
}

fn command() -> impl Strategy<Value = Command> {
    let mailbox = || prop_oneof![4 => Just(0_usize), 1 => Just(1)];
    let other = || prop_oneof![1 => Just(0_usize), 3 => Just(1)];
    prop_oneof![
        8 => weighted(0.2, Just(())).prop_map(|check| Command::Noop { check: check.is_some() }),
        10 => (mailbox(), vec(arrival(), 1..=2), any::<bool>()).prop_map(
            |(mailbox, arrivals, synchronising)| Command::Append {
                mailbox,
                arrivals,
                synchronising,
            }
        ),
        7 => (mailbox(), weighted(0.15, Just(())), any::<bool>(), weighted(0.6, Just(()))).prop_map(
            |(mailbox, examine, condstore, resync)| Command::Select {
                mailbox,
                examine: examine.is_some(),
                condstore,
                resync: resync.is_some(),
                known: None,
            }
        ),
        2 => Just(Command::Close),
        1 => Just(Command::Unselect),
        12 => (any::<bool>(), set(), vec(item(), 1..=3), weighted(0.2, any::<u64>()), any::<bool>())
            .prop_map(|(uid, set, items, changed_since, vanished)| Command::Fetch {
                uid,
                set,
                items,
                changed_since,
                vanished,
            }),
        16 => (
            any::<bool>(),
            set(),
            change(),
            any::<bool>(),
            flags(),
            weighted(0.2, any::<u64>()),
        )
            .prop_map(|(uid, set, change, silent, flags, unchanged_since)| Command::Store {
                uid,
                set,
                change,
                silent,
                flags,
                unchanged_since,
            }),
        6 => weighted(0.4, set()).prop_map(|set| Command::Expunge { set }),
        6 => (any::<bool>(), set(), other(), any::<bool>()).prop_map(
            |(uid, set, mailbox, moves)| Command::Copy {
                uid,
                set,
                mailbox,
                moves,
            }
        ),
        7 => (any::<bool>(), key(), weighted(0.5, 0..16_u8)).prop_map(|(uid, key, options)| {
            Command::Search { uid, key, options }
        }),
        3 => (other(), any::<bool>())
            .prop_map(|(mailbox, modseq)| Command::Status { mailbox, modseq }),
        2 => any::<bool>().prop_map(|qresync| Command::Enable { qresync }),
        4 => Just(Command::Idle),
    ]
}

fn arrival() -> impl Strategy<Value = Arrival> {
    let form = prop_oneof![6 => Just(0), 3 => 1..FORMS - 1, 1 => Just(FORMS - 1)];
    (form, weighted(0.4, 0..DATES.len() as u8), flags()).prop_map(|(form, date, flags)| Arrival {
        text: Text { number: 0, form },
        date,
        flags,
    })
}

/// `\Deleted` comes more often than the others, and often there are none.
fn flags() -> impl Strategy<Value = Flags> {
    prop_oneof![
        2 => Just(Flags::default()),
        4 => Just(Flags::DELETED),
        3 => Just(Flags::SEEN),
        3 => (0..8_u8).prop_map(|bit| Flags(1 << bit)),
        2 => any::<u8>().prop_map(Flags),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => Just(Change::Add),
        2 => Just(Change::Remove),
        1 => Just(Change::Replace),
    ]
}

fn set() -> impl Strategy<Value = Set> {
    let number = || prop_oneof![1 => Just(0_u32), 8 => 1..255_u32];
    let range = (number(), number());
    let one = number().prop_map(|number| (number, number));
    prop_oneof![
        3 => Just(Set(vec![(1, 0)])),
        4 => one.prop_map(|one| Set(vec![one])),
        3 => range.prop_map(|range| Set(vec![range])),
        1 => vec((number(), number()), 2..=3).prop_map(Set),
    ]
}

fn item() -> impl Strategy<Value = Item> {
    let section = prop_oneof![
        Just(Section::All),
        Just(Section::Header),
        Just(Section::Text),
        Just(Section::Subject),
    ];
    let body = (any::<bool>(), section, of((0..300_u32, 1..400_u32)));
    prop_oneof![
        5 => Just(Item::Flags),
        2 => Just(Item::Uid),
        1 => Just(Item::InternalDate),
        1 => Just(Item::Size),
        1 => Just(Item::Envelope),
        1 => Just(Item::ModSeq),
        4 => body.prop_map(|(peek, section, partial)| Item::Body {
            peek,
            section,
            partial,
        }),
    ]
}

fn key() -> impl Strategy<Value = Key> {
    let leaf = prop_oneof![
        2 => Just(Key::All),
        6 => (0..8_u8, any::<bool>()).prop_map(|(bit, set)| Key::Flag(bit, set)),
        1 => (0..1_500_u32).prop_map(Key::Larger),
        1 => (0..1_500_u32).prop_map(Key::Smaller),
        1 => (1..9_u32).prop_map(Key::Subject),
        1 => (0..FORMS).prop_map(Key::Body),
        2 => (
            prop_oneof![Just(Order::Before), Just(Order::On), Just(Order::Since)],
            0..DATES.len() as u8
        )
            .prop_map(|(order, day)| Key::Day(order, day)),
        2 => set().prop_map(Key::Numbers),
        2 => set().prop_map(Key::Uids),
        1 => any::<u64>().prop_map(Key::ModSeq),
    ];
    leaf.prop_recursive(2, 6, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|key| Key::Not(Box::new(key))),
            (inner.clone(), inner.clone())
                .prop_map(|(one, two)| Key::Or(Box::new(one), Box::new(two))),
            (inner.clone(), inner).prop_map(|(one, two)| Key::And(Box::new(one), Box::new(two))),
        ]
    })
}
