//! An independent reader of the same grammar, imap-codec, says what commands mean. What
//! it reads is translated to our [`Command`], and must be equal to what we read. Where
//! the two differ on purpose, `DIFFERENCES` says who takes the command, and why.

mod comparison;
mod lines;
mod translation;

use super::tests::{VALID, edits, mutate};
use super::*;
use comparison::{REFUSED, append_meanings, meanings, ours, refusal, theirs};
use lines::{AGREED, APPENDS, DIFFERENCES, Taker};
use proptest::prelude::*;
use proptest::sample::Index;
use translation::{translate, translate_append};

#[test]
fn both_take_or_refuse_the_same_commands_and_mean_the_same() {
    let mut taken = 0;
    for line in AGREED {
        match (ours(line.as_bytes()), theirs(line.as_bytes())) {
            (Ok(ours), Some(theirs)) => {
                let theirs = translate(&theirs).expect("a command that both know");
                assert_eq!(ours.command.name(), theirs.command.name(), "{line:?}");
                assert!(ours == theirs, "{line:?} means something else");
                taken += 1;
            }
            (Err(_), None) => {}
            (Ok(_), None) => panic!("only we take {line:?}"),
            (Err(rejected), Some(_)) => panic!("only they take {line:?}: {}", rejected.text),
        }
    }
    assert!(
        AGREED.len() >= 150 && taken >= 100,
        "{taken} of {}",
        AGREED.len()
    );
}

#[test]
fn differences_are_what_we_say_they_are() {
    for &(line, taker, reason) in DIFFERENCES {
        let (ours, theirs) = (ours(line.as_bytes()), theirs(line.as_bytes()));
        match taker {
            Taker::We => assert!(ours.is_ok() && theirs.is_none(), "{line:?}: {reason}"),
            Taker::They => {
                let text = ours.expect_err(line).text;
                assert!(theirs.is_some(), "{line:?}: {reason}");
                assert!(REFUSED.contains(&text), "{line:?}: {text}");
            }
            Taker::BothUnlike => {
                let theirs = theirs.as_ref().and_then(translate);
                assert!(ours.is_ok() && theirs.is_some(), "{line:?}: {reason}");
                assert!(ours.ok() != theirs, "{line:?}: {reason}");
            }
        }
    }
}

#[test]
fn append_means_the_same() {
    for (before, message) in APPENDS {
        let start = append_start(
            before.as_bytes(),
            &Config::default(),
            MailboxEncoding::default(),
        );
        let theirs = theirs(format!("{before}{message}").as_bytes());
        match (start, theirs) {
            (AppendStart::Rejected(_), None) => {}
            (start @ AppendStart::Message { .. }, Some(theirs)) => {
                assert_eq!(Some(start), translate_append(&theirs), "{before:?}");
            }
            (start, theirs) => panic!("{before:?}: {start:?} and {theirs:?}"),
        }
    }
}

/// RFC 3502: we read it in pieces, imap-codec not at all.
#[test]
fn several_messages_that_imap_codec_refuses() {
    assert!(theirs(b"a APPEND b {3}\r\nabc").is_some());
    assert!(theirs(b"a APPEND b {3}\r\nabc {3}\r\nabc").is_none());
    let next = append_next(b" ", true, &Config::default());
    assert!(matches!(next, AppendNext::Message(_)));
}

#[test]
fn nests_that_imap_codec_refuses() {
    let nest = |depth: usize| format!("a SEARCH {}SEEN{}", "(".repeat(depth), ")".repeat(depth));
    assert!(theirs(nest(8).as_bytes()).is_some());
    assert!(theirs(nest(9).as_bytes()).is_none());
    assert!(ours(nest(64).as_bytes()).is_ok());
    let choice = |terms: usize| format!("a SEARCH {}SEEN", "OR SEEN ".repeat(terms));
    assert!(theirs(choice(8).as_bytes()).is_some());
    assert!(theirs(choice(9).as_bytes()).is_none());
    assert!(ours(choice(400).as_bytes()).is_ok());
}

/// Whether both readers take `octets`. They must then mean the same by it.
fn both_take(octets: &[u8]) -> Result<bool, TestCaseError> {
    prop_assert_eq!(refusal(octets), None);
    let Some((ours, theirs)) = meanings(octets) else {
        return Ok(false);
    };
    prop_assert!(ours == theirs, "{:?}", String::from_utf8_lossy(octets));
    Ok(true)
}

/// Words of all commands, put in place of others or beside them.
fn recombine(line: &str, edits: &[(Index, Index, u8)]) -> String {
    let mut words: Vec<&str> = line.split(' ').collect();
    let pool: Vec<&str> = AGREED
        .iter()
        .flat_map(|line| line.split(' ').skip(2))
        .collect();
    for (place, word, edit) in edits {
        let place = place.index(words.len());
        let word = word.get(&pool);
        match edit {
            0 if place > 1 => words[place] = word,
            1 if place > 1 => words.insert(place, word),
            _ => words.push(word),
        }
    }
    words.join(" ")
}

/// A key of SEARCH, nested no deeper than imap-codec reads.
fn search_key() -> impl Strategy<Value = String> {
    let simple = prop::sample::select(
        &[
            "ALL",
            "new",
            "OLD",
            "UNSEEN",
            "KEYWORD $x",
            "1:*,3",
            "UID 7",
            "FROM {2}\r\na\"",
            "TO \"\"",
            "HEADER X y]",
            "BODY NOT",
            "TEXT OR",
            "SENTSINCE 1-Feb-1994",
            "ON \"29-Feb-2000\"",
            "LARGER 0",
            "YOUNGER 1",
            "MODSEQ 1",
        ][..],
    )
    .prop_map(str::to_owned);
    simple.prop_recursive(6, 24, 3, |key| {
        prop_oneof![
            key.clone().prop_map(|key| format!("NOT {key}")),
            (key.clone(), key.clone()).prop_map(|(left, right)| format!("OR {left} {right}")),
            prop::collection::vec(key, 1..4).prop_map(|keys| format!("({})", keys.join(" "))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]
    #[test]
    fn every_search_means_the_same(keys in prop::collection::vec(search_key(), 1..4)) {
        let line = format!("a UID SEARCH {}", keys.join(" "));
        prop_assert!(both_take(line.as_bytes())?, "{}", line);
    }

    /// Mutated commands may be taken by one only, but never mean two things.
    #[test]
    fn octets_changed_at_random_never_mean_two_things(
        line in prop::sample::select([VALID, AGREED].concat()),
        edits in edits(),
    ) {
        both_take(&mutate(line, edits))?;
    }

    #[test]
    fn appends_changed_at_random_never_mean_two_things(
        (line, _) in prop::sample::select(APPENDS),
        edits in edits(),
    ) {
        if let Some((ours, theirs)) = append_meanings(&mutate(line, edits)) {
            prop_assert!(ours == theirs);
        }
    }

    #[test]
    fn words_mixed_at_random_never_mean_two_things(
        line in prop::sample::select(AGREED),
        edits in prop::collection::vec((any::<Index>(), any::<Index>(), 0..3_u8), 1..3),
    ) {
        both_take(recombine(line, &edits).as_bytes())?;
    }
}
