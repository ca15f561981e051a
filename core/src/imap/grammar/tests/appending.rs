//! APPEND, in its pieces.

use super::*;

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
