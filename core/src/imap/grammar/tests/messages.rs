//! Commands on messages of a mailbox.

use super::*;

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
    // What is not known is not kept (`flag-extension`, RFC 3501 §9).
    assert_eq!(
        command(r"a STORE 1 +FLAGS (\Foo \Seen \Bar)"),
        expected(false, set("1"), FlagAction::Add, &[Flag::Seen], false, None)
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
        r"a STORE 1 +FLAGS (\)",
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
