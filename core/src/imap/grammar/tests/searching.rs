//! SEARCH, and what is too much of it.

use super::*;

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
