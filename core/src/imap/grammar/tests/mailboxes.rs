//! Commands that name mailboxes.

use super::*;

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
    assert_eq!(
        command(&format!("{start} (1:2,4,6 1,5:6,9)))")),
        qresync(None, Some(("1:2,4,6", "1,5:6,9")))
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
        // RFC 7162 §3.2.5.2: as many of one as of the other, both ascending
        "a SELECT a (QRESYNC (1 1 (1:3 1:2)))",
        "a SELECT a (QRESYNC (1 1 (2,1 3,4)))",
        "a SELECT a (QRESYNC (1 1 (1:2 4,4)))",
        "a SELECT a (QRESYNC (1 1 (3:2 3:4)))",
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
        "a LIST (SPECIAL-USE RECURSIVEMATCH) \"\" *",
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
    let patterns = vec!["a"; 33].join(" ");
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
