//! Tags, literals, and commands of any state.

use super::*;

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

#[test]
fn done_ends_idle() {
    assert!(is_done(b"DONE") && is_done(b"done "));
    assert!(!is_done(b"DONE x") && !is_done(b"a DONE") && !is_done(b""));
}
