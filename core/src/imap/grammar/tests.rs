//! Known answers, from the examples of the RFCs and from what clients send, and
//! properties that hold for any octets.

use super::*;
use crate::mailbox::{Flag, FlagAction, Keyword, MailboxName, SpecialUse, UidValidity};
use core::num::{NonZeroU32, NonZeroU64};
use proptest::prelude::*;

fn parse(octets: impl AsRef<[u8]>) -> Result<Tagged, Rejected> {
    parse_command(
        octets.as_ref(),
        &Config::default(),
        MailboxEncoding::default(),
    )
}

/// The command in a line that must parse.
#[track_caller]
fn command(line: &str) -> Command {
    match parse(line) {
        Ok(tagged) => tagged.command,
        Err(rejected) => panic!("{line:?}: {}", rejected.text),
    }
}

/// Why a line that must not parse is rejected.
#[track_caller]
fn rejected(line: impl AsRef<[u8]>) -> Rejected {
    match parse(&line) {
        Err(rejected) => rejected,
        Ok(_) => panic!("{:?} was taken", String::from_utf8_lossy(line.as_ref())),
    }
}

fn name(name: &str) -> MailboxName {
    MailboxName::new(name)
}

#[track_caller]
fn set(text: &str) -> SequenceSet {
    match command(&format!("a UID EXPUNGE {text}")) {
        Command::UidExpunge(set) => set,
        _ => unreachable!("UID EXPUNGE was parsed"),
    }
}

#[track_caller]
fn fetch_items(text: &str) -> Vec<FetchItem> {
    match command(&format!("a FETCH 1 {text}")) {
        Command::Fetch { items, .. } => items,
        _ => unreachable!("FETCH was parsed"),
    }
}

#[track_caller]
fn search_key(text: &str) -> SearchKey {
    match command(&format!("a SEARCH {text}")) {
        Command::Search { key, .. } => key,
        _ => unreachable!("SEARCH was parsed"),
    }
}

#[track_caller]
fn list(line: &str) -> ListCommand {
    match command(line) {
        Command::List(list) => list,
        _ => unreachable!("LIST was parsed"),
    }
}

fn flagged(flag: Flag) -> SearchKey {
    SearchKey::Flag { flag, set: true }
}

fn unflagged(flag: Flag) -> SearchKey {
    SearchKey::Flag { flag, set: false }
}

fn date(field: DateField, test: DateTest, year: u16, month: u8, day: u8) -> SearchKey {
    let day = Date::new(year, month, day).unwrap();
    SearchKey::Date { field, test, day }
}

fn header(name: &str, text: &str) -> SearchKey {
    SearchKey::Header {
        name: name.to_owned(),
        text: text.into(),
    }
}

#[test]
fn commands_without_arguments() {
    for (line, expected) in [
        ("a CAPABILITY", Command::Capability),
        ("a noop", Command::Noop),
        ("a NooP  ", Command::Noop),
        ("a LOGOUT", Command::Logout),
        ("a STARTTLS", Command::StartTls),
        ("a NAMESPACE", Command::Namespace),
        ("a IDLE", Command::Idle),
        ("a CHECK", Command::Check),
        ("a CLOSE", Command::Close),
        ("a UNSELECT", Command::Unselect),
        ("a EXPUNGE", Command::Expunge),
    ] {
        assert_eq!(command(line), expected, "{line:?}");
    }
    for line in [
        "a NOOP x",
        "a NOOPx",
        "a  NOOP",
        "a NOOP(",
        "a UID",
        "a UID NOOP",
        "a X",
    ] {
        assert_eq!(rejected(line).tag.unwrap().as_str(), "a", "{line:?}");
    }
}

#[test]
fn the_tag_is_told_wherever_it_could_be_read() {
    assert_eq!(parse("A142 NOOP").unwrap().tag.as_str(), "A142");
    assert_eq!(parse(".]_1 NOOP").unwrap().tag.as_str(), ".]_1");
    assert_eq!(rejected("a142").tag.unwrap().as_str(), "a142");
    assert_eq!(rejected("a142 ").tag.unwrap().as_str(), "a142");
    for line in [
        "",
        " ",
        " NOOP",
        "+ NOOP",
        "a+ NOOP",
        "\"a\" NOOP",
        "(a NOOP",
        "a* NOOP",
        "{3}",
        "é NOOP",
        "a\tNOOP",
    ] {
        assert_eq!(rejected(line).tag, None, "{line:?}");
    }
}

#[test]
fn login() {
    let expected = |user: &str, password: &str| Command::Login {
        user: user.to_owned(),
        password: password.to_owned().into(),
    };
    // RFC 3501 §6.2.3
    assert_eq!(
        command("a001 LOGIN SMITH SESAME"),
        expected("SMITH", "SESAME")
    );
    assert_eq!(
        command("A001 LOGIN {11}\r\nFRED FOOBAR {7}\r\nfat man"),
        expected("FRED FOOBAR", "fat man")
    );
    assert_eq!(
        command("A001 LOGIN {11+}\r\nFRED FOOBAR {7+}\r\nfat man"),
        expected("FRED FOOBAR", "fat man")
    );
    assert_eq!(command("a login a {4}\r\n \r\n "), expected("a", " \r\n "));
    assert_eq!(
        command(r#"a login "a\"b" "c\\d""#),
        expected("a\"b", "c\\d")
    );
    assert_eq!(
        command(
            "a login \"\" pässwort"
                .replace("pässwort", "\"pässwort\"")
                .as_str()
        ),
        expected("", "pässwort")
    );
    for line in [
        "a LOGIN",
        "a LOGIN a",
        "a LOGIN a ",
        "a LOGIN a b c",
        "a LOGIN  a b",
        "a LOGIN a  b",
        r#"a LOGIN "a b"#,
        r#"a LOGIN "a\b" c"#,
        "a LOGIN \"a\r\n\" c",
        "a LOGIN {3}\r\nab",
        "a LOGIN {3}ab c",
        "a LOGIN {3\r\nabc d",
        "a LOGIN {3-}\r\nabc d",
        "a LOGIN ~{3}\r\nabc d",
        "a LOGIN {3}\r\na\0b d",
        "a LOGIN {18446744073709551616}\r\na d",
        "a LOGIN a* b",
        "a LOGIN a (b)",
    ] {
        assert_eq!(rejected(line).fault, Fault::Syntax, "{line:?}");
    }
    assert_eq!(rejected(b"a LOGIN \"\xff\" b").fault, Fault::Syntax);
}

#[test]
fn a_command_never_shows_its_arguments_in_a_log() {
    for line in [
        "a LOGIN geheim geheim",
        "a SELECT geheim",
        "a SEARCH TEXT geheim",
        "a LIST geheim geheim",
        "a AUTHENTICATE PLAIN Z2VoZWlt",
    ] {
        let shown = format!("{:?}", parse(line).unwrap());
        assert!(!shown.contains("eheim"), "{shown}");
    }
    assert!(!format!("{:?}", search_key("TEXT geheim")).contains("geheim"));
    assert!(!format!("{:?}", list("a LIST \"\" geheim").patterns).contains("geheim"));
}

#[test]
fn authenticate() {
    let expected = |mechanism: &str, initial: Option<&[u8]>| Command::Authenticate {
        mechanism: mechanism.to_owned(),
        initial: initial.map(|octets| InitialResponse(octets.to_vec().into())),
    };
    assert_eq!(command("a authenticate gssapi"), expected("GSSAPI", None));
    // RFC 4959 §4
    assert_eq!(
        command("C AUTHENTICATE PLAIN dGVzdAB0ZXN0AHRlc3Q="),
        expected("PLAIN", Some(b"test\0test\0test"))
    );
    assert_eq!(
        command("C AUTHENTICATE EXTERNAL ="),
        expected("EXTERNAL", Some(b""))
    );
    for line in [
        "a AUTHENTICATE",
        "a AUTHENTICATE PLAIN x",
        "a AUTHENTICATE PLAIN = =",
        "a AUTHENTICATE PLAIN ====",
    ] {
        rejected(line);
    }
}

#[test]
fn id_and_enable() {
    // RFC 2971 §3.1
    assert_eq!(
        command(r#"a023 ID ("name" "sodr" "version" "19.34" "vendor" NIL)"#),
        Command::Id(Some(vec![
            ("name".to_owned(), Some("sodr".to_owned())),
            ("version".to_owned(), Some("19.34".to_owned())),
            ("vendor".to_owned(), None),
        ]))
    );
    assert_eq!(command("a ID NIL"), Command::Id(None));
    assert_eq!(command("a ID ()"), Command::Id(Some(vec![])));
    for line in ["a ID", "a ID (\"a\")", "a ID (a b)", "a ID x"] {
        rejected(line);
    }
    let pairs = vec!["\"a\" \"b\""; 31].join(" ");
    assert_eq!(rejected(format!("a ID ({pairs})")).fault, Fault::Limit);

    // RFC 5161 §3.1
    assert_eq!(
        command("t2 ENABLE CONDSTORE X-good-IDEA "),
        Command::Enable(vec!["CONDSTORE".to_owned(), "X-GOOD-IDEA".to_owned()])
    );
    rejected("a ENABLE");
}

#[test]
fn select_and_its_parameters() {
    let plain = SelectParameters::default();
    assert_eq!(
        command("A142 SELECT inbox"),
        Command::Select {
            mailbox: MailboxName::inbox(),
            parameters: plain.clone()
        }
    );
    assert_eq!(
        command("A932 EXAMINE blurdybloop "),
        Command::Examine {
            mailbox: name("blurdybloop"),
            parameters: plain
        }
    );
    // RFC 7162 §3.1.8 and §3.2.5
    let condstore = SelectParameters {
        condstore: true,
        qresync: None,
    };
    assert_eq!(
        command("A142 SELECT INBOX (condstore)"),
        Command::Select {
            mailbox: MailboxName::inbox(),
            parameters: condstore
        }
    );
    let qresync = |known: Option<&str>, matched: Option<(&str, &str)>| Command::Select {
        mailbox: MailboxName::inbox(),
        parameters: SelectParameters {
            condstore: false,
            qresync: Some(QResync {
                uid_validity: UidValidity(NonZeroU32::new(67_890_007).unwrap()),
                mod_seq: 90_060_115_194_045_000,
                known_uids: known.map(set),
                seq_match: matched.map(|(numbers, uids)| (set(numbers), set(uids))),
            }),
        },
    };
    let start = "A SELECT INBOX (QRESYNC (67890007 90060115194045000";
    assert_eq!(command(&format!("{start}))")), qresync(None, None));
    assert_eq!(
        command(&format!("{start} 41:211,214:541))")),
        qresync(Some("41:211,214:541"), None)
    );
    assert_eq!(
        command(&format!("{start} (5,9 7,13)))")),
        qresync(None, Some(("5,9", "7,13")))
    );
    assert_eq!(
        command(&format!("{start} 1:29997 (5000 15000)))")),
        qresync(Some("1:29997"), Some(("5000", "15000")))
    );
    for line in [
        "a SELECT",
        "a SELECT a b",
        "a SELECT a ()",
        "a SELECT a (X)",
        "a SELECT a (CONDSTORE CONDSTORE)",
        "a SELECT a (QRESYNC)",
        "a SELECT a (QRESYNC (1))",
        "a SELECT a (QRESYNC (0 1))",
        "a SELECT a (QRESYNC (1 0))",
        "a SELECT a (QRESYNC (1 1 *))",
        "a SELECT a (QRESYNC (1 1 ))",
        "a SELECT a (QRESYNC (1 1 1 1))",
        "a SELECT a (CONDSTORE",
        "a SELECT a (CONDSTORE ) ",
        "a SELECT a(CONDSTORE)",
    ] {
        rejected(line);
    }
}

#[test]
fn names_of_mailboxes() {
    let deleted = |line: &str| match command(line) {
        Command::Delete { mailbox } => mailbox,
        _ => unreachable!("DELETE was parsed"),
    };
    assert_eq!(deleted("a DELETE &ZeVnLIqe-"), name("日本語"));
    assert_eq!(deleted("a DELETE \"日本語\""), name("日本語"));
    assert_eq!(deleted("a DELETE {9}\r\n日本語"), name("日本語"));
    assert_eq!(deleted("a DELETE R&D"), name("R&D"));
    assert_eq!(deleted("a DELETE R&-D"), name("R&D"));
    assert_eq!(deleted("a DELETE \"a b\""), name("a b"));
    assert_eq!(deleted("a DELETE a]"), name("a]"));
    assert_eq!(deleted("a DELETE iNbOx/a"), name("INBOX/a"));
    let utf8 = parse_command(b"a DELETE R&-D", &Config::default(), MailboxEncoding::Utf8);
    assert_eq!(
        utf8.unwrap().command,
        Command::Delete {
            mailbox: name("R&-D")
        }
    );
    for line in [
        "a DELETE",
        "a DELETE 日本語",
        "a DELETE a*",
        "a DELETE a b",
        "a DELETE \"a\tb\"",
        "a DELETE {3}\r\na\r\n",
        "a DELETE &AAo-",
        "a DELETE (a)",
    ] {
        rejected(line);
    }
    let long = "é".repeat(501);
    assert_eq!(rejected(format!("a DELETE \"{long}\"")).fault, Fault::Limit);
}

#[test]
fn create_and_its_kin() {
    let create = |name: &str, special_use: &[SpecialUse], unsupported_use| Command::Create {
        mailbox: MailboxName::new(name),
        special_use: special_use.to_vec(),
        unsupported_use,
    };
    assert_eq!(
        command("A003 CREATE owatagusiam/"),
        create("owatagusiam", &[], false)
    );
    assert_eq!(command("a CREATE /"), create("/", &[], false));
    // RFC 6154 §5.2
    assert_eq!(
        command(r"t2 CREATE MySpecial (USE (\Drafts \sent \Drafts))"),
        create("MySpecial", &[SpecialUse::Drafts, SpecialUse::Sent], false)
    );
    assert_eq!(command(r"t CREATE a (USE (\All))"), create("a", &[], true));
    assert_eq!(command(r"t CREATE a (use ())"), create("a", &[], false));
    for line in [
        r"a CREATE a (USE \Sent)",
        r"a CREATE a (USE (Sent))",
        "a CREATE a ()",
        "a CREATE a (X)",
        r"a CREATE a (USE (\Sent)",
    ] {
        rejected(line);
    }
    assert_eq!(
        command("A683 RENAME blurdybloop sarasoop"),
        Command::Rename {
            from: name("blurdybloop"),
            to: name("sarasoop")
        }
    );
    rejected("a RENAME a");
    assert_eq!(
        command("A002 SUBSCRIBE #news.comp.mail.mime"),
        Command::Subscribe {
            mailbox: name("#news.comp.mail.mime")
        }
    );
    assert_eq!(
        command("a UNSUBSCRIBE a"),
        Command::Unsubscribe { mailbox: name("a") }
    );
}

#[test]
fn list_in_its_basic_form() {
    let plain = list("A682 LIST \"\" *");
    assert_eq!(plain.kind, ListKind::List);
    assert!(!plain.extended && !plain.asks_separator);
    assert_eq!(plain.patterns, [ListPattern::new("", "*")]);
    assert_eq!(plain.return_options, ListReturn::default());
    assert_eq!(list("A202 LIST ~/Mail/ %").patterns[0].as_str(), "~/Mail/%");
    assert_eq!(
        list("a LIST \"\" \"&ZeVnLIqe-/%\"").patterns[0].as_str(),
        "日本語/%"
    );
    assert_eq!(
        list("a LSUB \"#news.\" \"comp.mail.*\"").kind,
        ListKind::Lsub
    );
    assert_eq!(list("a xlist \"\" %").kind, ListKind::Xlist);
    let separator = list("A101 LIST \"\" \"\"");
    assert!(separator.asks_separator && separator.patterns.is_empty());
    for line in [
        "a LIST",
        "a LIST \"\"",
        "a LIST \"\" * x",
        "a LIST \"\" *()",
        "a LSUB () \"\" *",
        "a LSUB \"\" (a b)",
        "a XLIST \"\" * RETURN ()",
        "a LIST \"\" ()",
        "a LIST * *",
    ] {
        rejected(line);
    }
}

/// RFC 5258 §5, RFC 5819 §4, RFC 6154 §5.1.
#[test]
fn list_extended() {
    let selection = |subscribed, remote, recursive_match, special_use| ListSelection {
        subscribed,
        remote,
        recursive_match,
        special_use,
    };
    assert_eq!(
        list("A02 LIST (SUBSCRIBED) \"\" \"*\"").selection,
        selection(true, false, false, false)
    );
    assert_eq!(
        list("A03 LIST () \"\" \"%\" RETURN (CHILDREN)").selection,
        ListSelection::default()
    );
    assert_eq!(
        list("A04 list (remote subscribed) \"\" \"%\" return (children)").selection,
        selection(true, true, false, false)
    );
    assert_eq!(
        list("C04 LIST (SUBSCRIBED RECURSIVEMATCH) \"\" \"%\"").selection,
        selection(true, false, true, false)
    );
    assert_eq!(
        list("t2 LIST (SPECIAL-USE) \"\" \"*\"").selection,
        selection(false, false, false, true)
    );
    let several = list("BBB LIST \"\" (\"INBOX\" \"\" \"Drafts\" Sent/%)");
    let patterns: Vec<&str> = several.patterns.iter().map(ListPattern::as_str).collect();
    assert_eq!(patterns, ["INBOX", "Drafts", "Sent/%"]);
    assert!(several.extended);
    let status = list("A01 LIST \"\" % RETURN (STATUS (MESSAGES UNSEEN) SUBSCRIBED SPECIAL-USE)");
    assert_eq!(
        status.return_options,
        ListReturn {
            subscribed: true,
            children: false,
            special_use: true,
            status: Some(vec![StatusItem::Messages, StatusItem::Unseen]),
        }
    );
    let ignored = list("a LIST (SUBSCRIBED) \"\" \"\"");
    assert!(!ignored.asks_separator && ignored.patterns.is_empty());
    for line in [
        "a LIST (RECURSIVEMATCH) \"\" *",
        "a LIST (REMOTE RECURSIVEMATCH) \"\" *",
        "a LIST (X) \"\" *",
        "a LIST \"\" * RETURN",
        "a LIST \"\" * RETURN (X)",
        "a LIST \"\" * RETURN (STATUS)",
        "a LIST \"\" * RETURN (STATUS ())",
        "a LIST (SUBSCRIBED)\"\" *",
        "a LIST \"\" (* RETURN ()",
    ] {
        rejected(line);
    }
    let patterns = vec!["a"; 65].join(" ");
    assert_eq!(
        rejected(format!("a LIST \"\" ({patterns})")).fault,
        Fault::Limit
    );
}

#[test]
fn status() {
    assert_eq!(
        command("A042 STATUS blurdybloop (UIDNEXT messages MESSAGES)"),
        Command::Status {
            mailbox: name("blurdybloop"),
            items: vec![StatusItem::UidNext, StatusItem::Messages]
        }
    );
    for (item, text) in StatusItem::NAMES {
        assert_eq!(
            command(&format!("a STATUS INBOX ({text})")),
            Command::Status {
                mailbox: MailboxName::inbox(),
                items: vec![item]
            }
        );
    }
    for line in [
        "a STATUS a",
        "a STATUS a ()",
        "a STATUS a MESSAGES",
        "a STATUS a (X)",
        "a STATUS a (MESSAGES",
    ] {
        rejected(line);
    }
}

#[test]
fn fetch() {
    use FetchItem::{Body, BodyStructure, Envelope, Flags, InternalDate, ModSeq, Rfc822Size, Uid};
    assert_eq!(
        fetch_items("ALL"),
        [Flags, InternalDate, Rfc822Size, Envelope]
    );
    assert_eq!(fetch_items("fast"), [Flags, InternalDate, Rfc822Size]);
    assert_eq!(
        fetch_items("FULL "),
        [Flags, InternalDate, Rfc822Size, Envelope, Body]
    );
    assert_eq!(fetch_items("FLAGS"), [Flags]);
    assert_eq!(
        fetch_items("(UID FLAGS BODYSTRUCTURE MODSEQ uid)"),
        [Uid, Flags, BodyStructure, ModSeq]
    );
    assert_eq!(
        fetch_items("(RFC822 RFC822.HEADER RFC822.TEXT)"),
        [
            FetchItem::Rfc822,
            FetchItem::Rfc822Header,
            FetchItem::Rfc822Text
        ]
    );
    // RFC 7162 §3.1.4.1 and §3.2.6
    assert_eq!(
        command("s UID FETCH 300:500 (FLAGS) (CHANGEDSINCE 12345 VANISHED)"),
        Command::Fetch {
            uid: true,
            set: set("300:500"),
            items: vec![Flags],
            changed_since: Some(12345),
            vanished: true
        }
    );
    for line in [
        "a FETCH 1",
        "a FETCH 1 ()",
        "a FETCH 1 (ALL)",
        "a FETCH 1:* (FLAGS))",
        "a FETCH 1 (FLAGS",
        "a FETCH 1 FLAGS UID",
        "a FETCH 1 (FLAGS  UID)",
        "a FETCH 1 (FLAGS )",
        "a FETCH $ FLAGS",
        "a FETCH 0 FLAGS",
        "a FETCH 1 X",
        "a FETCH 1 FLAGS[]",
        "a FETCH 1 BODY.PEEK",
        "a FETCH 1 BODY[",
        "a FETCH 1 BODY[]<0>",
        "a FETCH 1 BODY[]<0.0>",
        "a FETCH 1 BODY[]<.1>",
        "a FETCH 1 BODY[0]",
        "a FETCH 1 BODY[1.]",
        "a FETCH 1 BODY[.1]",
        "a FETCH 1 BODY[MIME]",
        "a FETCH 1 BODY[1.X]",
        "a FETCH 1 BODY[HEADER.FIELDS]",
        "a FETCH 1 BODY[HEADER.FIELDS ()]",
        "a FETCH 1 BODY[HEADER.FIELDS (\"a\tb\")]",
        "a FETCH 1 BODY[TEXT.1]",
        "a FETCH 1 FLAGS (VANISHED)",
        "a FETCH 1 FLAGS (CHANGEDSINCE 1 VANISHED)",
        "a UID FETCH 1 FLAGS (VANISHED)",
        "a FETCH 1 FLAGS ()",
        "a FETCH 1 FLAGS (CHANGEDSINCE 9223372036854775808)",
        "a FETCH 1 BODY[4294967296]",
    ] {
        rejected(line);
    }
    let deep = vec!["1"; 101].join(".");
    assert_eq!(
        rejected(format!("a FETCH 1 BODY[{deep}]")).fault,
        Fault::Limit
    );
    let many = vec!["UID"; 257].join(" ");
    assert_eq!(rejected(format!("a FETCH 1 ({many})")).fault, Fault::Limit);
}

#[test]
fn sections() {
    let section = |part: &[u32], text: Option<SectionText>, partial: Option<(u64, u64)>, peek| {
        vec![FetchItem::Section {
            section: Section {
                part: part.to_vec(),
                text,
            },
            partial: partial.map(|(offset, len)| Partial {
                offset,
                len: NonZeroU64::new(len).unwrap(),
            }),
            peek,
        }]
    };
    let fields = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    assert_eq!(fetch_items("BODY[]"), section(&[], None, None, false));
    assert_eq!(
        fetch_items("body.peek[]<0.2048>"),
        section(&[], None, Some((0, 2048)), true)
    );
    assert_eq!(
        fetch_items("BODY[4.2.2.1]"),
        section(&[4, 2, 2, 1], None, None, false)
    );
    assert_eq!(
        fetch_items("BODY[3.HEADER]"),
        section(&[3], Some(SectionText::Header), None, false)
    );
    assert_eq!(
        fetch_items("(BODY[4.1.MIME])"),
        section(&[4, 1], Some(SectionText::Mime), None, false)
    );
    assert_eq!(
        fetch_items("(BODY.PEEK[text])"),
        section(&[], Some(SectionText::Text), None, true)
    );
    assert_eq!(
        fetch_items("BODY[HEADER.FIELDS (DATE \"From\" {2}\r\nTo)]"),
        section(
            &[],
            Some(SectionText::HeaderFields(fields(&["DATE", "From", "To"]))),
            None,
            false
        )
    );
    assert_eq!(
        fetch_items("BODY[1.header.fields.not (x-spam)]<1.1>"),
        section(
            &[1],
            Some(SectionText::HeaderFieldsNot(fields(&["x-spam"]))),
            Some((1, 1)),
            false
        )
    );
}

/// RFC 3501 §7.4.2: the response names what was asked for.
#[test]
fn names_of_items_in_responses() {
    for (asked, answered) in [
        (
            "BODY.PEEK[1.2.HEADER.FIELDS (SUBJECT FROM)]<0.100>",
            "BODY[1.2.HEADER.FIELDS (SUBJECT FROM)]<0>",
        ),
        ("body[]", "BODY[]"),
        ("BODY[1.mime]", "BODY[1.MIME]"),
        ("BODY[TEXT]<7.1>", "BODY[TEXT]<7>"),
        (
            "BODY[header.fields.not (a \"b c\" \"d\\\"e\" f])]",
            "BODY[HEADER.FIELDS.NOT (a \"b c\" \"d\\\"e\" \"f]\")]",
        ),
        ("rfc822.size", "RFC822.SIZE"),
        ("body", "BODY"),
    ] {
        let mut out = Vec::new();
        fetch_items(asked)[0].write_name(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), answered);
    }
    assert!(fetch_items("BODY[]")[0].sets_seen());
    assert!(!fetch_items("BODY.PEEK[]")[0].sets_seen());
    assert!(fetch_items("RFC822")[0].sets_seen());
    assert!(!fetch_items("RFC822.HEADER")[0].sets_seen());
}

#[test]
fn store() {
    let expected =
        |uid, set: SequenceSet, action, flags: &[Flag], silent, unchanged_since| Command::Store {
            uid,
            set,
            change: crate::mailbox::FlagChange {
                action,
                flags: flags.to_vec(),
            },
            silent,
            unchanged_since,
        };
    // RFC 3501 §6.4.6
    assert_eq!(
        command(r"A003 STORE 2:4 +FLAGS (\Deleted)"),
        expected(
            false,
            set("2:4"),
            FlagAction::Add,
            &[Flag::Deleted],
            false,
            None
        )
    );
    assert_eq!(
        command(r"a uid store 1 -flags.silent \seen $Junk"),
        expected(
            true,
            set("1"),
            FlagAction::Remove,
            &[Flag::Seen, Flag::Keyword(Keyword::new("$junk"))],
            true,
            None
        )
    );
    assert_eq!(
        command("a STORE * FLAGS ()"),
        expected(false, set("*"), FlagAction::Replace, &[], false, None)
    );
    // RFC 7162 §3.1.3
    assert_eq!(
        command(r"d105 STORE 7,5,9 (UNCHANGEDSINCE 320162338) +FLAGS.SILENT (\Deleted)"),
        expected(
            false,
            set("7,5,9"),
            FlagAction::Add,
            &[Flag::Deleted],
            true,
            Some(320_162_338)
        )
    );
    for line in [
        r"a STORE 1 +FLAGS (\Recent)",
        r"a STORE 1 FLAGS \Recent",
        r"a STORE 1 +FLAGS (\*)",
        r"a STORE 1 +FLAGS (\Foo)",
        r"a STORE 1 ++FLAGS (\Seen)",
        r"a STORE 1 FLAGS",
        r"a STORE 1 FLAGS (\Seen",
        r"a STORE 1 FLAGS.LOUD ()",
        r"a STORE 1 (X 1) FLAGS ()",
        r"a STORE 1 () FLAGS ()",
        r"a STORE 1 FLAGS (\Seen) x",
        r"a STORE 1 FLAGS (a[) b",
    ] {
        rejected(line);
    }
    let flags = vec!["a"; 65].join(" ");
    assert_eq!(
        rejected(format!("a STORE 1 FLAGS {flags}")).fault,
        Fault::Limit
    );
    assert_eq!(
        rejected(format!("a STORE 1 FLAGS ({flags})")).fault,
        Fault::Limit
    );
    let long = "a".repeat(256);
    assert_eq!(
        rejected(format!("a STORE 1 FLAGS {long}")).fault,
        Fault::Limit
    );
}

#[test]
fn copy_and_move() {
    assert_eq!(
        command("A003 COPY 2:4 MEETING"),
        Command::Copy {
            uid: false,
            set: set("2:4"),
            mailbox: name("MEETING")
        }
    );
    assert_eq!(
        command("a UID MOVE 42:69 foo"),
        Command::Move {
            uid: true,
            set: set("42:69"),
            mailbox: name("foo")
        }
    );
    rejected("a COPY 1");
    rejected("a COPY INBOX 1:2");
}

#[test]
fn search_examples_of_the_rfcs() {
    use DateField::{Internal, Sent};
    use DateTest::{Before, Since};
    // RFC 3501 §6.4.4
    assert_eq!(
        search_key("FLAGGED SINCE 1-Feb-1994 NOT FROM \"Smith\""),
        SearchKey::And(vec![
            flagged(Flag::Flagged),
            date(Internal, Since, 1994, 2, 1),
            SearchKey::Not(Box::new(header("FROM", "Smith"))),
        ])
    );
    assert_eq!(
        search_key("TEXT \"string not in mailbox\""),
        SearchKey::Text("string not in mailbox".into())
    );
    assert_eq!(
        command("A284 SEARCH CHARSET UTF-8 TEXT {6}\r\nпри"),
        Command::Search {
            uid: false,
            charset: Some("UTF-8".to_owned()),
            key: SearchKey::Text("при".into()),
            return_options: None
        }
    );
    // RFC 4731 §3.1
    assert_eq!(
        command("A282 UID SEARCH RETURN (MIN COUNT) FLAGGED SINCE 1-Feb-1994"),
        Command::Search {
            uid: true,
            charset: None,
            key: SearchKey::And(vec![
                flagged(Flag::Flagged),
                date(Internal, Since, 1994, 2, 1)
            ]),
            return_options: Some(vec![ReturnOption::Min, ReturnOption::Count]),
        }
    );
    let Command::Search { return_options, .. } =
        command("A284 SEARCH RETURN () CHARSET \"us-ascii\" ALL")
    else {
        unreachable!("SEARCH was parsed");
    };
    assert_eq!(return_options, Some(vec![ReturnOption::All]));
    // RFC 5032 §3, RFC 7162 §3.1.5
    assert_eq!(
        search_key("UNSEEN YOUNGER 259200"),
        SearchKey::And(vec![
            unflagged(Flag::Seen),
            SearchKey::Younger(NonZeroU32::new(259_200).unwrap()),
        ])
    );
    assert_eq!(
        search_key("MODSEQ 620162338"),
        SearchKey::ModSeq(620_162_338)
    );
    assert_eq!(
        search_key(r#"MODSEQ "/flags/\\draft" all 620162338"#),
        SearchKey::ModSeq(620_162_338)
    );
    assert_eq!(
        search_key("SENTBEFORE \"2-Mar-2020\""),
        date(Sent, Before, 2020, 3, 2)
    );
}

#[test]
fn search_keys() {
    for (text, key) in [
        ("ALL", SearchKey::All),
        ("answered", flagged(Flag::Answered)),
        ("UNDELETED", unflagged(Flag::Deleted)),
        ("UNDRAFT", unflagged(Flag::Draft)),
        (
            "KEYWORD $Forwarded",
            flagged(Flag::Keyword(Keyword::new("$Forwarded"))),
        ),
        ("UNKEYWORD a", unflagged(Flag::Keyword(Keyword::new("a")))),
        ("OLD", SearchKey::Recent(false)),
        (
            "NEW",
            SearchKey::And(vec![SearchKey::Recent(true), unflagged(Flag::Seen)]),
        ),
        ("1:3,7", SearchKey::Numbers(set("1:3,7"))),
        ("*", SearchKey::Numbers(set("*"))),
        ("UID 3:*", SearchKey::Uids(set("3:*"))),
        ("LARGER 4294967296", SearchKey::Larger(4_294_967_296)),
        ("SMALLER 0", SearchKey::Smaller(0)),
        ("OLDER 1", SearchKey::Older(NonZeroU32::MIN)),
        ("HEADER Message-ID <a@b>", header("Message-ID", "<a@b>")),
        ("HEADER \"X\" \"\"", header("X", "")),
        ("SUBJECT {3}\r\na b", header("SUBJECT", "a b")),
        ("BODY a]", SearchKey::Body("a]".into())),
        ("((SEEN))", flagged(Flag::Seen)),
        ("NOT NOT SEEN", flagged(Flag::Seen)),
        (
            "NOT NOT NOT SEEN",
            SearchKey::Not(Box::new(flagged(Flag::Seen))),
        ),
        ("NOT (NOT SEEN)", flagged(Flag::Seen)),
        (
            "(SEEN) (1)",
            SearchKey::And(vec![flagged(Flag::Seen), SearchKey::Numbers(set("1"))]),
        ),
    ] {
        assert_eq!(search_key(text), key, "{text}");
    }
    for text in [
        "",
        "X",
        "()",
        "(",
        "(SEEN",
        "SEEN)",
        "( SEEN)",
        "(SEEN )",
        "NOT",
        "NOT ",
        "OR SEEN",
        "OR SEEN ",
        "OR OR SEEN SEEN",
        "KEYWORD \\Seen",
        "KEYWORD",
        "SINCE 1",
        "SINCE 30-Feb-2000",
        "LARGER -1",
        "LARGER",
        "OLDER 0",
        "UID",
        "UID ()",
        "$",
        "MODSEQ",
        "MODSEQ \"x\" all 1",
        "MODSEQ \"/flags/a\" none 1",
        "HEADER a",
        "FROM",
        "SEENX",
        "SEEN  ANSWERED",
        "RETURN ALL",
        "RETURN (X) ALL",
        "RETURN (ALL)",
        "CHARSET",
        "CHARSET UTF-8",
        "CHARSET US-ASCII TEXT \"é\"",
        "NOTSEEN",
    ] {
        assert_eq!(
            rejected(format!("a SEARCH {text}")).fault,
            Fault::Syntax,
            "{text:?}"
        );
    }
}

#[test]
fn a_run_of_or_is_one_choice() {
    let [a, b, c, d] = [Flag::Seen, Flag::Draft, Flag::Deleted, Flag::Flagged].map(flagged);
    let three = SearchKey::Or(vec![a.clone(), b.clone(), c.clone()]);
    assert_eq!(search_key("OR SEEN OR DRAFT DELETED"), three);
    assert_eq!(search_key("OR OR SEEN DRAFT DELETED"), three);
    assert_eq!(search_key("or (or seen draft) deleted"), three);
    assert_eq!(
        search_key("OR SEEN DRAFT DELETED"),
        SearchKey::And(vec![SearchKey::Or(vec![a.clone(), b.clone()]), c.clone()])
    );
    assert_eq!(
        search_key("OR NOT OR SEEN DRAFT (DELETED FLAGGED)"),
        SearchKey::Or(vec![
            SearchKey::Not(Box::new(SearchKey::Or(vec![a, b]))),
            SearchKey::And(vec![c, d]),
        ])
    );
}

#[test]
fn an_unknown_charset_is_told_apart() {
    let refused = rejected("a SEARCH CHARSET ISO-8859-1 TEXT \"x\"");
    assert_eq!(refused.fault, Fault::Charset);
    assert_eq!(refused.tag.unwrap().as_str(), "a");
    // Whatever the octets of that charset are.
    assert_eq!(
        rejected(b"a SEARCH CHARSET KOI8-R TEXT {1}\r\n\xff").fault,
        Fault::Charset
    );
    // Without one, UTF-8 is taken (RFC 9051 §6.4.4).
    assert_eq!(search_key("TEXT \"é\""), SearchKey::Text("é".into()));
}

#[test]
fn bombs_are_refused() {
    for (bomb, fault) in [
        (
            format!("{}SEEN{}", "(".repeat(10_000), ")".repeat(10_000)),
            Fault::Limit,
        ),
        ("(".repeat(10_000), Fault::Limit),
        (format!("{}SEEN", "NOT ".repeat(10_000)), Fault::Limit),
        (format!("{}SEEN", "NOT (".repeat(10_000)), Fault::Limit),
        (format!("{}SEEN", "OR SEEN ".repeat(10_000)), Fault::Limit),
        (format!("{}SEEN", "OR ".repeat(10_000)), Fault::Limit),
        (format!("{}SEEN", "OR NOT ".repeat(10_000)), Fault::Limit),
        (format!("{}SEEN", "OR (NOT ".repeat(10_000)), Fault::Limit),
        ("SEEN ".repeat(10_000), Fault::Limit),
    ] {
        assert_eq!(rejected(format!("a SEARCH {bomb}")).fault, fault);
    }
    // What clients do send: a choice among hundreds of senders.
    let senders = format!("{}FROM z", "OR FROM a ".repeat(400));
    assert!(matches!(search_key(&senders), SearchKey::Or(keys) if keys.len() == 401));
    let deep = format!("{}SEEN{}", "(".repeat(64), ")".repeat(64));
    assert_eq!(search_key(&deep), flagged(Flag::Seen));
    assert_eq!(rejected(format!("a SEARCH ({deep})")).fault, Fault::Limit);
}

#[test]
fn literal_headers() {
    let header = |len, synchronising, binary, header_len| {
        Some(LiteralHeader {
            len,
            synchronising,
            binary,
            header_len,
        })
    };
    assert_eq!(
        parse_literal_header(b"a LOGIN {11}"),
        header(11, true, false, 4)
    );
    assert_eq!(
        parse_literal_header(b"a LOGIN {11+}"),
        header(11, false, false, 5)
    );
    assert_eq!(parse_literal_header(b"{0}"), header(0, true, false, 3));
    assert_eq!(
        parse_literal_header(b"a APPEND b ~{3}"),
        header(3, true, true, 4)
    );
    assert_eq!(
        parse_literal_header(b"a APPEND b ~{3+}"),
        header(3, false, true, 5)
    );
    let huge = b"{99999999999999999999999+}";
    assert_eq!(
        parse_literal_header(huge),
        header(u64::MAX, false, false, huge.len())
    );
    for line in [
        "", "}", "{}", "{+}", "a {1} ", "{1}\"", "{-1}", "{1-}", "{1++}", "{ 1}", "{1", "1}",
    ] {
        assert_eq!(parse_literal_header(line.as_bytes()), None, "{line:?}");
    }
}

fn start(octets: &str) -> AppendStart {
    append_start(
        octets.as_bytes(),
        &Config::default(),
        MailboxEncoding::default(),
    )
}

#[test]
fn append() {
    let message = |mailbox: &str, flags: &[Flag], date: Option<(i64, i16)>| AppendStart::Message {
        tag: Tag("A003".to_owned()),
        mailbox: name(mailbox),
        message: AppendMessage {
            flags: flags.to_vec(),
            date: date.map(|(seconds, zone)| InternalDate::new(seconds, zone)),
        },
    };
    // RFC 3501 §6.3.11
    assert_eq!(
        start(r"A003 APPEND saved-messages (\Seen) "),
        message("saved-messages", &[Flag::Seen], None)
    );
    assert_eq!(start("A003 append inbox "), message("INBOX", &[], None));
    assert_eq!(
        start("A003 APPEND \"a b\" () \" 7-Feb-1994 21:52:25 -0800\" "),
        message("a b", &[], Some((760_686_745, -480)))
    );
    assert_eq!(
        start("A003 APPEND {9+}\r\n日本語 \"17-Jul-1996 02:44:25 -0700\" "),
        message("日本語", &[], Some((837_596_665, -420)))
    );
    assert_eq!(start("A003 APPEND "), AppendStart::Argument);
    for octets in [
        "A003 LOGIN ",
        "A003 LOGIN {6}\r\nAPPEND ",
        "A003 ",
        "A003",
        "",
        "A003 APPENDIX a ",
        "(A) APPEND a ",
        " APPEND a ",
    ] {
        assert_eq!(start(octets), AppendStart::NotAppend, "{octets:?}");
    }
    for octets in [
        "A APPEND",
        "A APPEND inbox",
        "A APPEND inbox  ",
        "A APPEND inbox x ",
        "A APPEND inbox (",
        "A APPEND inbox (\\Seen)",
        "A APPEND inbox (\\Recent) ",
        "A APPEND inbox \"x\" ",
        "A APPEND inbox \"17-Jul-1996 02:44:25 -0700\" () ",
        "A APPEND  inbox ",
        "A APPEND inbox UTF8 (",
        "A APPEND inbox CATENATE (TEXT ",
        "A APPEND inbox {3}\r\nabc ",
    ] {
        let AppendStart::Rejected(rejected) = start(octets) else {
            panic!("{octets:?} was taken");
        };
        assert_eq!(rejected.tag.unwrap().as_str(), "A");
    }
    // One that has no literal comes as a whole command.
    rejected("A APPEND inbox");
    rejected("A APPEND inbox \"hello\"");
}

/// RFC 3502 §6.3.11
#[test]
fn append_of_several_messages() {
    let limits = Config::default();
    let next =
        |octets: &str, before_literal| append_next(octets.as_bytes(), before_literal, &limits);
    assert_eq!(next("", false), AppendNext::End);
    assert_eq!(next("  ", false), AppendNext::End);
    let message = |flags: &[Flag], date: Option<InternalDate>| {
        AppendNext::Message(AppendMessage {
            flags: flags.to_vec(),
            date,
        })
    };
    assert_eq!(next(" ", true), message(&[], None));
    assert_eq!(
        next(" (\\Seen) \" 7-Feb-1994 22:43:04 -0800\" ", true),
        message(&[Flag::Seen], Some(InternalDate::new(760_689_784, -480)))
    );
    for (octets, before_literal) in [
        ("", true),
        ("x", false),
        (" (\\Seen) ", false),
        (" (\\Seen)", true),
        ("  ", true),
        (")", false),
    ] {
        assert!(
            matches!(next(octets, before_literal), AppendNext::Rejected(_)),
            "{octets:?}"
        );
    }
}

#[test]
fn done_ends_idle() {
    assert!(is_done(b"DONE") && is_done(b"done "));
    assert!(!is_done(b"DONE x") && !is_done(b"a DONE") && !is_done(b""));
}

/// Commands that parse, to mutate.
const VALID: &[&str] = &[
    "a001 LOGIN {5}\r\nSMITH \"SES\\\"AME\"",
    "a AUTHENTICATE PLAIN dGVzdAB0ZXN0AHRlc3Q=",
    "a ID (\"name\" \"sodr\" \"vendor\" NIL)",
    "a SELECT &ZeVnLIqe- (CONDSTORE QRESYNC (7 9 1:3 (1 2)))",
    "a CREATE b (USE (\\Sent))",
    "a LIST (SUBSCRIBED RECURSIVEMATCH) \"\" (\"a*\" %) RETURN (CHILDREN STATUS (MESSAGES))",
    "a STATUS \"a b\" (MESSAGES UIDNEXT)",
    "a SEARCH RETURN (MIN ALL) CHARSET UTF-8 OR NOT (SEEN 1:*) HEADER a {2}\r\nbc SINCE 1-Feb-1994",
    "a UID FETCH 1:*,3 (FLAGS BODY.PEEK[1.2.HEADER.FIELDS (A \"b\")]<0.9>) (CHANGEDSINCE 3 VANISHED)",
    "a STORE 1:2 (UNCHANGEDSINCE 3) +FLAGS.SILENT (\\Seen $x)",
    "a UID MOVE 1,2 {3}\r\nabc",
    "a APPEND b (\\Seen) \" 7-Feb-1994 21:52:25 -0800\" ",
];

fn try_everything(octets: &[u8]) {
    let limits = Config::default();
    for names in [MailboxEncoding::ModifiedUtf7, MailboxEncoding::Utf8] {
        if let Ok(Tagged {
            command: Command::Fetch { items, .. },
            ..
        }) = parse_command(octets, &limits, names)
        {
            let mut out = Vec::new();
            items.iter().for_each(|item| item.write_name(&mut out));
            assert!(out.iter().all(|octet| (b' '..=b'~').contains(octet)));
        }
        let _ = append_start(octets, &limits, names);
    }
    for before_literal in [false, true] {
        let _ = append_next(octets, before_literal, &limits);
    }
    if let Some(header) = parse_literal_header(octets) {
        assert!(header.header_len <= octets.len());
    }
}

#[test]
fn the_commands_to_mutate_are_valid() {
    for line in VALID.iter().filter(|line| !line.contains("APPEND")) {
        command(line);
    }
}

proptest! {
    #[test]
    fn no_octets_make_it_panic(octets: Vec<u8>) {
        try_everything(&octets);
        try_everything(&[b"a ", octets.as_slice()].concat());
    }

    #[test]
    fn no_mutation_makes_it_panic(
        line in prop::sample::select(VALID),
        edits in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(&b" ()[]{}<>\"\\*%$&-+.,:09aZ\r\n\0\xff~="[..]), 0..3_u8), 1..6),
    ) {
        let mut octets = line.as_bytes().to_vec();
        for (place, octet, edit) in edits {
            let place = place.index(octets.len());
            match edit {
                0 => octets[place] = octet,
                1 => octets.insert(place, octet),
                _ if octets.len() > 1 => { octets.remove(place); }
                _ => {}
            }
        }
        try_everything(&octets);
    }

    #[test]
    fn a_truncated_command_does_not_panic(line in prop::sample::select(VALID), end in any::<prop::sample::Index>()) {
        try_everything(&line.as_bytes()[..end.index(line.len())]);
    }

    #[test]
    fn case_does_not_matter(line in prop::sample::select(VALID), upper: bool) {
        prop_assume!(!line.contains('{') && !line.contains('&') && !line.contains("AUTHENTICATE"));
        let changed = if upper { line.to_ascii_uppercase() } else { line.to_ascii_lowercase() };
        prop_assert_eq!(parse(line).is_ok(), parse(changed).is_ok());
    }
}
