//! The model believes no lie: what the core says is changed on its way, one lie at a time.

use crate::CoreWire;
use restante_tests::model::command::{Command, Item, Names, Section};
use restante_tests::model::explain::Unexplained;
use restante_tests::model::flags::{Change, Flags};
use restante_tests::model::generate::Case;
use restante_tests::model::key::Key;
use restante_tests::model::mailbox::Arrival;
use restante_tests::model::run::run;
use restante_tests::model::set::Set;
use restante_tests::model::text::Text;
use restante_tests::model::wire::Wire;
use std::time::Duration;

/// What is said by the core, and what a client hears instead.
const LIES: &[(&str, &str)] = &[
    ("APPENDUID 1 1:2", "APPENDUID 1 1:3"),
    ("APPENDUID 1 1:2", "APPENDUID 2 1:2"),
    ("* 2 EXISTS\r\n", "* 3 EXISTS\r\n"),
    ("* 2 EXISTS\r\n", ""),
    ("* OK [UIDNEXT 3]", "* OK [UIDNEXT 4]"),
    ("* OK [UNSEEN 1]", "* OK [UNSEEN 2]"),
    (
        "* 1 FETCH (UID 1 FLAGS (\\Flagged",
        "* 1 FETCH (UID 2 FLAGS (\\Flagged",
    ),
    (
        "* 1 FETCH (UID 1 FLAGS (\\Flagged",
        "* 2 FETCH (UID 1 FLAGS (\\Flagged",
    ),
    (
        "* 1 FETCH (UID 1 FLAGS (\\Flagged",
        "* 1 FETCH (UID 1 FLAGS (\\Draft",
    ),
    ("word1 of form0", "word2 of form0"),
    ("RFC822.SIZE 145", "RFC822.SIZE 146"),
    ("INTERNALDATE \"17-Jul-1996", "INTERNALDATE \"18-Jul-1996"),
    ("* SEARCH 1\r\n", "* SEARCH 2\r\n"),
    ("* SEARCH 1\r\n", "* SEARCH\r\n"),
    ("[COPYUID ", "[COPYUID 1"),
    ("* 1 EXPUNGE\r\n", ""),
    ("* 1 EXPUNGE\r\n", "* 2 EXPUNGE\r\n"),
    ("* 1 EXPUNGE\r\n", "* 1 EXPUNGE\r\n* 1 EXPUNGE\r\n"),
    ("(MESSAGES 1", "(MESSAGES 2"),
    ("MODSEQ (3)", "MODSEQ (2)"),
    ("MODSEQ (3)", "MODSEQ (9)"),
    ("[HIGHESTMODSEQ 5]", "[HIGHESTMODSEQ 2]"),
    ("t4 OK", "t4 NO"),
    ("t4 OK", "t5 OK"),
];

#[test]
fn no_lie_is_believed() {
    run(&case(), &mut Liar::new("", "")).expect("the truth is");
    for (truth, lie) in LIES {
        let mut liar = Liar::new(truth, lie);
        let outcome = run(&case(), &mut liar);
        assert!(liar.lied, "nothing like {truth:?} was said");
        assert!(
            matches!(outcome, Err(Unexplained::Wrong(_))),
            "{lie:?} was believed instead of {truth:?}"
        );
    }
}

/// Two clients, one after the other.
fn case() -> Case {
    let select = || Command::Select {
        mailbox: 0,
        examine: false,
        condstore: false,
        resync: false,
        known: None,
    };
    let arrival = |date| Arrival {
        text: Text { number: 0, form: 0 },
        date,
        flags: Flags::default(),
    };
    let append = Command::Append {
        mailbox: 0,
        arrivals: vec![arrival(Some(0)), arrival(None)],
        synchronising: true,
    };
    let first = || Set(vec![(1, 1)]);
    let store = |flags| Command::Store {
        uid: false,
        set: first(),
        change: Change::Add,
        silent: false,
        flags,
        unchanged_since: None,
    };
    let body = Item::Body {
        peek: true,
        section: Section::All,
        partial: None,
    };
    let fetch = Command::Fetch {
        uid: false,
        set: first(),
        items: vec![Item::Size, Item::InternalDate, Item::ModSeq, body],
        changed_since: None,
        vanished: false,
    };
    let search = Command::Search {
        uid: false,
        key: Key::Flag(2, true),
        options: None,
    };
    let copy = Command::Copy {
        uid: false,
        set: first(),
        mailbox: 1,
        moves: false,
    };
    let status = Command::Status {
        mailbox: 0,
        modseq: false,
    };
    let noop = || Command::Noop { check: false };
    Case {
        clients: 2,
        schedule: 1,
        rounds: vec![
            vec![(0, vec![select()])],
            vec![(1, vec![append, select()])],
            vec![(0, vec![noop(), store(Flags(1 << 2))])],
            vec![(1, vec![noop(), fetch, search, copy])],
            vec![(
                0,
                vec![store(Flags::DELETED), Command::Expunge { set: None }],
            )],
            vec![(1, vec![noop(), status])],
        ],
    }
}

struct Liar {
    core: CoreWire,
    truth: &'static [u8],
    lie: &'static [u8],
    lied: bool,
}

impl Liar {
    fn new(truth: &'static str, lie: &'static str) -> Self {
        Self {
            core: CoreWire::new(1),
            truth: truth.as_bytes(),
            lie: lie.as_bytes(),
            lied: truth.is_empty(),
        }
    }
}

impl Wire for Liar {
    fn mailboxes(&self) -> Names {
        self.core.mailboxes()
    }

    fn connect(&mut self) -> usize {
        self.core.connect()
    }

    fn send(&mut self, client: usize, octets: &[u8]) {
        self.core.send(client, octets);
    }

    fn wait(&mut self, most: Duration) {
        self.core.wait(most);
    }

    fn take(&mut self, client: usize) -> Vec<u8> {
        let mut said = self.core.take(client);
        if self.lied {
            return said;
        }
        let found = said
            .windows(self.truth.len())
            .position(|it| it == self.truth);
        if let Some(at) = found {
            self.lied = true;
            said.splice(at..at + self.truth.len(), self.lie.iter().copied());
        }
        said
    }

    fn is_prompt(&self) -> bool {
        self.core.is_prompt()
    }
}
