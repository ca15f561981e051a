//! From the types of imap-types to ours. Written from the RFCs and the documentation of
//! imap-types, not from our parser.

use imap_types::command::{self as theirs, CommandBody, FetchModifier, StoreModifier};
use imap_types::fetch::{MacroOrMessageDataItemNames, MessageDataItemName, Part};
use imap_types::flag::{Flag as TheirFlag, StoreResponse, StoreType};
use imap_types::mailbox::{ListMailbox, Mailbox};
use imap_types::search::SearchKey as Key;
use imap_types::sequence::{SeqOrUid, Sequence, SequenceSet as TheirSet};
use imap_types::status::StatusDataItemName as Status;
use restante_core::config::Config;
use restante_core::imap::grammar::{
    AppendMessage, AppendStart, Command, Date, DateField, DateTest, FetchItem, InitialResponse,
    InternalDate, ListCommand, ListKind, ListPattern, ListReturn, ListSelection, MailboxEncoding,
    Partial, QResync, SearchKey, Section, SectionText, SelectParameters, SequenceSet, SetNumber,
    SetRange, StatusItem, Tag, Tagged, read_tag,
};
use restante_core::mailbox::{Flag, FlagAction, FlagChange, Keyword, MailboxName, UidValidity};

/// What imap-codec read, in our types; `None` for what only it knows.
pub(super) fn translate(command: &theirs::Command<'_>) -> Option<Tagged> {
    let translated = simple(&command.body)
        .or_else(|| on_mailboxes(&command.body))
        .or_else(|| on_messages(&command.body))?;
    Some(Tagged {
        tag: tag(command),
        command: translated,
    })
}

/// An APPEND with what stands before its message.
pub(super) fn translate_append(command: &theirs::Command<'_>) -> Option<AppendStart> {
    let CommandBody::Append {
        mailbox,
        flags,
        date,
        ..
    } = &command.body
    else {
        return None;
    };
    Some(AppendStart::Message {
        tag: tag(command),
        mailbox: name(mailbox),
        message: AppendMessage {
            flags: self::flags(flags),
            date: date.as_ref().map(|date| {
                let date = date.as_ref();
                let zone = date.offset().local_minus_utc() / 60;
                InternalDate::new(date.timestamp(), i16::try_from(zone).unwrap())
            }),
        },
    })
}

fn tag(command: &theirs::Command<'_>) -> Tag {
    read_tag(command.tag.as_ref().as_bytes(), &Config::default()).unwrap()
}

fn simple(body: &CommandBody<'_>) -> Option<Command> {
    Some(match body {
        CommandBody::Capability => Command::Capability,
        CommandBody::Noop => Command::Noop,
        CommandBody::Logout => Command::Logout,
        CommandBody::StartTLS => Command::StartTls,
        CommandBody::Namespace => Command::Namespace,
        CommandBody::Idle => Command::Idle,
        CommandBody::Check => Command::Check,
        CommandBody::Close => Command::Close,
        CommandBody::Unselect => Command::Unselect,
        CommandBody::Expunge => Command::Expunge,
        CommandBody::Authenticate {
            mechanism,
            initial_response,
        } => Command::Authenticate {
            mechanism: mechanism.to_string().to_ascii_uppercase(),
            initial: initial_response
                .as_ref()
                .map(|octets| InitialResponse(octets.declassify().to_vec().into())),
        },
        CommandBody::Login { username, password } => Command::Login {
            user: text(username),
            password: text(password.declassify()).into(),
        },
        CommandBody::Id { parameters } => Command::Id(parameters.as_ref().map(|pairs| {
            let pair = |(field, value): &(_, imap_types::core::NString<'_>)| {
                (text(field), value.0.as_ref().map(text))
            };
            pairs.iter().map(pair).collect()
        })),
        CommandBody::Enable { capabilities } => {
            let name = |capability: &imap_types::extensions::enable::CapabilityEnable<'_>| {
                capability.to_string().to_ascii_uppercase()
            };
            Command::Enable(capabilities.as_ref().iter().map(name).collect())
        }
        _ => return None,
    })
}

fn on_mailboxes(body: &CommandBody<'_>) -> Option<Command> {
    Some(match body {
        CommandBody::Select {
            mailbox,
            parameters,
        } => Command::Select {
            mailbox: name(mailbox),
            parameters: select_parameters(parameters),
        },
        CommandBody::Examine {
            mailbox,
            parameters,
        } => Command::Examine {
            mailbox: name(mailbox),
            parameters: select_parameters(parameters),
        },
        CommandBody::Create { mailbox } => Command::Create {
            mailbox: created(&name(mailbox)),
            special_use: vec![],
            unsupported_use: false,
        },
        CommandBody::Delete { mailbox } => Command::Delete {
            mailbox: name(mailbox),
        },
        CommandBody::Rename { from, to } => Command::Rename {
            from: name(from),
            to: name(to),
        },
        CommandBody::Subscribe { mailbox } => Command::Subscribe {
            mailbox: name(mailbox),
        },
        CommandBody::Unsubscribe { mailbox } => Command::Unsubscribe {
            mailbox: name(mailbox),
        },
        CommandBody::List {
            reference,
            mailbox_wildcard,
        } => list(ListKind::List, reference, mailbox_wildcard),
        CommandBody::Lsub {
            reference,
            mailbox_wildcard,
        } => list(ListKind::Lsub, reference, mailbox_wildcard),
        CommandBody::Status {
            mailbox,
            item_names,
        } => Command::Status {
            mailbox: name(mailbox),
            items: without_repeats(item_names.iter().filter_map(status_item)),
        },
        _ => return None,
    })
}

fn on_messages(body: &CommandBody<'_>) -> Option<Command> {
    Some(match body {
        CommandBody::ExpungeUid { sequence_set } => Command::UidExpunge(set(sequence_set)),
        CommandBody::Search {
            charset,
            criteria,
            uid,
        } => Command::Search {
            uid: *uid,
            charset: charset
                .as_ref()
                .map(|charset| charset.as_ref().to_ascii_uppercase()),
            key: all(criteria.as_ref()),
            return_options: None,
        },
        CommandBody::Fetch {
            sequence_set,
            macro_or_item_names,
            uid,
            modifiers,
        } => Command::Fetch {
            uid: *uid,
            set: set(sequence_set),
            items: items(macro_or_item_names)?,
            changed_since: modifiers.iter().find_map(|modifier| match modifier {
                FetchModifier::ChangedSince(since) => Some(since.get()),
                FetchModifier::Vanished => None,
            }),
            vanished: modifiers.contains(&FetchModifier::Vanished),
        },
        CommandBody::Store {
            sequence_set,
            kind,
            response,
            flags,
            uid,
            modifiers,
        } => Command::Store {
            uid: *uid,
            set: set(sequence_set),
            change: FlagChange {
                action: match kind {
                    StoreType::Replace => FlagAction::Replace,
                    StoreType::Add => FlagAction::Add,
                    StoreType::Remove => FlagAction::Remove,
                },
                flags: self::flags(flags),
            },
            silent: *response == StoreResponse::Silent,
            unchanged_since: modifiers
                .first()
                .map(|StoreModifier::UnchangedSince(since)| *since),
        },
        CommandBody::Copy {
            sequence_set,
            mailbox,
            uid,
        } => Command::Copy {
            uid: *uid,
            set: set(sequence_set),
            mailbox: name(mailbox),
        },
        CommandBody::Move {
            sequence_set,
            mailbox,
            uid,
        } => Command::Move {
            uid: *uid,
            set: set(sequence_set),
            mailbox: name(mailbox),
        },
        _ => return None,
    })
}

/// imap-codec takes any octets in literals; what is not UTF-8 is refused here, so nothing is
/// compared with it.
fn text(octets: impl AsRef<[u8]>) -> String {
    String::from_utf8_lossy(octets.as_ref()).into_owned()
}

fn decoded(octets: impl AsRef<[u8]>) -> String {
    MailboxEncoding::ModifiedUtf7.decode(text(octets))
}

fn raw_name(mailbox: &Mailbox<'_>) -> String {
    match mailbox {
        Mailbox::Inbox => "INBOX".to_owned(),
        Mailbox::Other(other) => decoded(other),
    }
}

fn name(mailbox: &Mailbox<'_>) -> MailboxName {
    let name = raw_name(mailbox);
    MailboxName::new(&name)
}

/// A separator at the end only announces names below (RFC 3501 §6.3.3): "the name
/// created is without the trailing hierarchy delimiter".
fn created(name: &MailboxName) -> MailboxName {
    match name.as_str().strip_suffix('/') {
        Some(shorter) if !shorter.is_empty() => MailboxName::new(shorter),
        _ => name.clone(),
    }
}

fn select_parameters(parameters: &[theirs::SelectParameter]) -> SelectParameters {
    let mut translated = SelectParameters::default();
    for parameter in parameters {
        match parameter {
            theirs::SelectParameter::CondStore => translated.condstore = true,
            theirs::SelectParameter::QResync {
                uid_validity,
                mod_sequence_value,
                known_uids,
                seq_match_data,
            } => {
                translated.qresync = Some(QResync {
                    uid_validity: UidValidity(*uid_validity),
                    mod_seq: mod_sequence_value.get(),
                    known_uids: known_uids.as_ref().map(set),
                    seq_match: seq_match_data
                        .as_ref()
                        .map(|(numbers, uids)| (set(numbers), set(uids))),
                });
            }
        }
    }
    translated
}

fn list(kind: ListKind, reference: &Mailbox<'_>, pattern: &ListMailbox<'_>) -> Command {
    let reference = raw_name(reference);
    let pattern = match pattern {
        ListMailbox::Token(token) => decoded(token),
        ListMailbox::String(string) => decoded(string),
    };
    Command::List(ListCommand {
        kind,
        selection: ListSelection::default(),
        return_options: ListReturn::default(),
        extended: false,
        asks_separator: pattern.is_empty(),
        patterns: if pattern.is_empty() {
            vec![]
        } else {
            vec![ListPattern::new(&reference, &pattern)]
        },
        reference,
    })
}

fn status_item(item: &Status) -> Option<StatusItem> {
    Some(match item {
        Status::Messages => StatusItem::Messages,
        Status::Recent => StatusItem::Recent,
        Status::UidNext => StatusItem::UidNext,
        Status::UidValidity => StatusItem::UidValidity,
        Status::Unseen => StatusItem::Unseen,
        Status::Deleted => StatusItem::Deleted,
        Status::Size => StatusItem::Size,
        Status::HighestModSeq => StatusItem::HighestModSeq,
        _ => return None,
    })
}

fn without_repeats<T: PartialEq>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut once = Vec::new();
    for item in items {
        if !once.contains(&item) {
            once.push(item);
        }
    }
    once
}

fn set(set: &TheirSet) -> SequenceSet {
    let number = |number: &SeqOrUid| match number {
        SeqOrUid::Value(value) => SetNumber::Number(*value),
        SeqOrUid::Asterisk => SetNumber::Last,
    };
    let range = |sequence: &Sequence| match sequence {
        Sequence::Single(single) => SetRange(number(single), number(single)),
        Sequence::Range(first, last) => SetRange(number(first), number(last)),
    };
    SequenceSet::from_ranges(set.0.as_ref().iter().map(range).collect())
}

fn flags(flags: &[TheirFlag<'_>]) -> Vec<Flag> {
    let flag = |flag: &TheirFlag<'_>| match flag {
        TheirFlag::Answered => Some(Flag::Answered),
        TheirFlag::Deleted => Some(Flag::Deleted),
        TheirFlag::Draft => Some(Flag::Draft),
        TheirFlag::Flagged => Some(Flag::Flagged),
        TheirFlag::Seen => Some(Flag::Seen),
        TheirFlag::Keyword(atom) => Some(Flag::Keyword(Keyword::new(atom.as_ref()))),
        // Nothing is kept of these.
        TheirFlag::Extension(_) => None,
    };
    flags.iter().filter_map(flag).collect()
}

fn items(items: &MacroOrMessageDataItemNames<'_>) -> Option<Vec<FetchItem>> {
    let expanded = match items {
        MacroOrMessageDataItemNames::Macro(name) => name.expand(),
        MacroOrMessageDataItemNames::MessageDataItemNames(names) => names.clone(),
    };
    let items: Option<Vec<FetchItem>> = expanded.iter().map(item).collect();
    items.map(|items| without_repeats(items.into_iter()))
}

fn item(item: &MessageDataItemName<'_>) -> Option<FetchItem> {
    Some(match item {
        MessageDataItemName::Body => FetchItem::Body,
        MessageDataItemName::BodyStructure => FetchItem::BodyStructure,
        MessageDataItemName::Envelope => FetchItem::Envelope,
        MessageDataItemName::Flags => FetchItem::Flags,
        MessageDataItemName::InternalDate => FetchItem::InternalDate,
        MessageDataItemName::Rfc822 => FetchItem::Rfc822,
        MessageDataItemName::Rfc822Header => FetchItem::Rfc822Header,
        MessageDataItemName::Rfc822Size => FetchItem::Rfc822Size,
        MessageDataItemName::Rfc822Text => FetchItem::Rfc822Text,
        MessageDataItemName::Uid => FetchItem::Uid,
        MessageDataItemName::ModSeq => FetchItem::ModSeq,
        MessageDataItemName::BodyExt {
            section,
            partial,
            peek,
        } => FetchItem::Section {
            section: section.as_ref().map(self::section).unwrap_or_default(),
            partial: partial.map(|(offset, len)| Partial {
                offset: offset.into(),
                len: len.into(),
            }),
            peek: *peek,
        },
        _ => return None,
    })
}

fn section(section: &imap_types::fetch::Section<'_>) -> Section {
    use imap_types::fetch::Section as Theirs;
    let of = |part: Option<&Part>, text: Option<SectionText>| Section {
        part: part.map_or(vec![], |part| {
            part.0.as_ref().iter().map(|number| number.get()).collect()
        }),
        text,
    };
    let names = |fields: &imap_types::core::Vec1<imap_types::core::AString<'_>>| {
        fields.as_ref().iter().map(text).collect()
    };
    match section {
        Theirs::Part(part) => of(Some(part), None),
        Theirs::Header(part) => of(part.as_ref(), Some(SectionText::Header)),
        Theirs::HeaderFields(part, fields) => of(
            part.as_ref(),
            Some(SectionText::HeaderFields(names(fields))),
        ),
        Theirs::HeaderFieldsNot(part, fields) => of(
            part.as_ref(),
            Some(SectionText::HeaderFieldsNot(names(fields))),
        ),
        Theirs::Text(part) => of(part.as_ref(), Some(SectionText::Text)),
        Theirs::Mime(part) => of(Some(part), Some(SectionText::Mime)),
    }
}

fn all(keys: &[Key<'_>]) -> SearchKey {
    match keys {
        [one] => key(one),
        several => SearchKey::And(several.iter().map(key).collect()),
    }
}

fn key(theirs: &Key<'_>) -> SearchKey {
    match theirs {
        Key::And(keys) => all(keys.as_ref()),
        Key::Not(inner) => match key(inner) {
            SearchKey::Not(inner) => *inner,
            inner => SearchKey::Not(Box::new(inner)),
        },
        Key::Or(left, right) => {
            let choices = [key(left), key(right)];
            let flat = choices.into_iter().flat_map(|choice| match choice {
                SearchKey::Or(more) => more,
                one => vec![one],
            });
            SearchKey::Or(flat.collect())
        }
        Key::SequenceSet(numbers) => SearchKey::Numbers(set(numbers)),
        Key::Uid(uids) => SearchKey::Uids(set(uids)),
        Key::All => SearchKey::All,
        Key::New => SearchKey::And(vec![SearchKey::Recent(true), without(Flag::Seen)]),
        Key::Old => SearchKey::Recent(false),
        Key::Recent => SearchKey::Recent(true),
        Key::Answered => with(Flag::Answered),
        Key::Deleted => with(Flag::Deleted),
        Key::Draft => with(Flag::Draft),
        Key::Flagged => with(Flag::Flagged),
        Key::Seen => with(Flag::Seen),
        Key::Unanswered => without(Flag::Answered),
        Key::Undeleted => without(Flag::Deleted),
        Key::Undraft => without(Flag::Draft),
        Key::Unflagged => without(Flag::Flagged),
        Key::Unseen => without(Flag::Seen),
        Key::Keyword(atom) => with(Flag::Keyword(Keyword::new(atom.as_ref()))),
        Key::Unkeyword(atom) => without(Flag::Keyword(Keyword::new(atom.as_ref()))),
        _ => key_with_argument(theirs),
    }
}

fn key_with_argument(theirs: &Key<'_>) -> SearchKey {
    use {DateField::Internal, DateField::Sent, DateTest::Before, DateTest::On, DateTest::Since};
    match theirs {
        Key::Bcc(value) => header("BCC", value),
        Key::Cc(value) => header("CC", value),
        Key::From(value) => header("FROM", value),
        Key::Subject(value) => header("SUBJECT", value),
        Key::To(value) => header("TO", value),
        Key::Header(field, value) => header(&text(field), value),
        Key::Body(value) => SearchKey::Body(text(value).as_str().into()),
        Key::Text(value) => SearchKey::Text(text(value).as_str().into()),
        Key::Before(day) => date(Internal, Before, day),
        Key::On(day) => date(Internal, On, day),
        Key::Since(day) => date(Internal, Since, day),
        Key::SentBefore(day) => date(Sent, Before, day),
        Key::SentOn(day) => date(Sent, On, day),
        Key::SentSince(day) => date(Sent, Since, day),
        Key::Larger(octets) => SearchKey::Larger((*octets).into()),
        Key::Smaller(octets) => SearchKey::Smaller((*octets).into()),
        Key::Older(seconds) => SearchKey::Older(*seconds),
        Key::Younger(seconds) => SearchKey::Younger(*seconds),
        Key::ModSequence { modseq, .. } => SearchKey::ModSeq(*modseq),
        other => unreachable!("{other:?} has no argument"),
    }
}

fn with(flag: Flag) -> SearchKey {
    SearchKey::Flag { flag, set: true }
}

fn without(flag: Flag) -> SearchKey {
    SearchKey::Flag { flag, set: false }
}

fn header(name: &str, value: impl AsRef<[u8]>) -> SearchKey {
    SearchKey::Header {
        name: name.to_owned(),
        text: text(value).as_str().into(),
    }
}

fn date(field: DateField, test: DateTest, day: &imap_types::datetime::NaiveDate) -> SearchKey {
    // `Display` of chrono is ISO 8601, and spares naming chrono here.
    let shown = day.as_ref().to_string();
    let mut numbers = shown
        .split('-')
        .map(|number| number.parse::<u16>().unwrap());
    let mut next = || numbers.next().unwrap();
    let (year, month, day) = (next(), next(), next());
    let small = |number: u16| u8::try_from(number).unwrap();
    SearchKey::Date {
        field,
        test,
        day: Date::new(year, small(month), small(day)).unwrap(),
    }
}
