//! What a server says, as far as the clients of the simulation understand it.

/// One response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// `+ …`
    Continue,
    /// `* n EXISTS`
    Exists(u32),
    /// `* n EXPUNGE`
    Expunge(u32),
    /// `* VANISHED …`: UIDs, and whether they vanished earlier.
    Vanished(Vec<(u32, u32)>, bool),
    /// `* n FETCH (…)`
    Fetch(Fetched),
    /// `* OK [CODE value] …`, `* NO …` and the like: the code with its arguments.
    Status(String),
    /// `* STATUS name (…)`: the words and their numbers.
    StatusOf(Vec<(String, u32)>),
    /// `* LIST … name`, `* LSUB … name`
    List(String),
    /// `* SEARCH 2 3 (MODSEQ 5)`
    Search(Vec<u32>, Option<u64>),
    /// `* BYE …`
    Bye,
    /// `tag OK/NO/BAD [CODE] …`
    Tagged {
        /// The tag.
        tag: String,
        /// OK.
        ok: bool,
        /// BAD.
        bad: bool,
        /// What is in brackets.
        code: String,
        /// The whole line.
        line: String,
    },
    /// `* FLAGS (…)`: SELECT begins to answer.
    Flags,
    /// Anything else.
    Other,
}

/// What a FETCH response says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fetched {
    /// The sequence number.
    pub(crate) number: u32,
    /// UID.
    pub(crate) uid: Option<u32>,
    /// FLAGS without `\Recent`, sorted.
    pub(crate) flags: Option<Vec<String>>,
    /// MODSEQ.
    pub(crate) modseq: Option<u64>,
    /// INTERNALDATE.
    pub(crate) date: Option<String>,
    /// The one literal.
    pub(crate) literal: Option<Vec<u8>>,
}

/// Takes the first whole response off what was received.
pub(crate) fn take(received: &mut Vec<u8>) -> Option<Answer> {
    let mut at = 0;
    let mut literal = None;
    let mut text = Vec::new();
    loop {
        let end = at + find(&received[at..], b"\r\n")?;
        let line = &received[at..end];
        text.extend_from_slice(line);
        at = end + 2;
        let Some(len) = literal_len(line) else { break };
        if received.len() < at + len {
            return None;
        }
        literal = Some(received[at..at + len].to_vec());
        at += len;
    }
    received.drain(..at);
    let text = String::from_utf8_lossy(&text).into_owned();
    Some(understand(&text, literal))
}

fn find(octets: &[u8], what: &[u8]) -> Option<usize> {
    octets.windows(what.len()).position(|it| it == what)
}

fn literal_len(line: &[u8]) -> Option<usize> {
    let digits = line.strip_suffix(b"}")?;
    let from = digits.iter().rposition(|octet| *octet == b'{')?;
    core::str::from_utf8(&digits[from + 1..]).ok()?.parse().ok()
}

fn understand(text: &str, literal: Option<Vec<u8>>) -> Answer {
    let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
    match first {
        "+" => Answer::Continue,
        "*" => untagged(rest, literal),
        tag => {
            let (word, rest) = rest.split_once(' ').unwrap_or((rest, ""));
            Answer::Tagged {
                tag: tag.to_owned(),
                ok: word == "OK",
                bad: word == "BAD",
                code: code(rest).to_owned(),
                line: text.to_owned(),
            }
        }
    }
}

fn untagged(text: &str, literal: Option<Vec<u8>>) -> Answer {
    let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
    if let Ok(number) = first.parse::<u32>() {
        return match rest.split_once(' ').map_or(rest, |(word, _)| word) {
            "EXISTS" => Answer::Exists(number),
            "EXPUNGE" => Answer::Expunge(number),
            "FETCH" => Answer::Fetch(fetched(number, rest, literal)),
            _ => Answer::Other,
        };
    }
    match first {
        "OK" | "NO" | "BAD" => Answer::Status(code(rest).to_owned()),
        "BYE" => Answer::Bye,
        "STATUS" => Answer::StatusOf(pairs(rest)),
        "FLAGS" => Answer::Flags,
        "SEARCH" => {
            let (numbers, modseq) = rest.split_once('(').unwrap_or((rest, ""));
            let numbers = numbers.split(' ').filter_map(|it| it.parse().ok());
            let modseq = modseq.strip_prefix("MODSEQ ");
            let modseq = modseq.and_then(|it| it.trim_end_matches(')').parse().ok());
            Answer::Search(numbers.collect(), modseq)
        }
        "LIST" | "LSUB" => {
            let name = rest.rsplit_once("\"/\" ").map_or(rest, |(_, name)| name);
            Answer::List(name.trim_matches('"').to_owned())
        }
        "VANISHED" => {
            let earlier = rest.starts_with("(EARLIER)");
            let set = rest.rsplit(' ').next().unwrap_or_default();
            Answer::Vanished(ranges(set), earlier)
        }
        _ => Answer::Other,
    }
}

/// What is in the brackets at the beginning.
fn code(text: &str) -> &str {
    let inner = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    inner.map_or("", |(code, _)| code)
}

/// The words and numbers between the last parentheses.
fn pairs(text: &str) -> Vec<(String, u32)> {
    let list = text.rsplit_once('(').map_or("", |(_, list)| list);
    let words: Vec<&str> = list.trim_end_matches(')').split(' ').collect();
    let pair = |pair: &[&str]| Some((pair[0].to_owned(), pair.get(1)?.parse().ok()?));
    words.chunks(2).filter_map(pair).collect()
}

/// The ranges of a sequence set, `*` left out.
pub(crate) fn ranges(set: &str) -> Vec<(u32, u32)> {
    let range = |part: &str| {
        let (from, to) = part.split_once(':').unwrap_or((part, part));
        let (from, to): (u32, u32) = (from.parse().ok()?, to.parse().ok()?);
        Some((from.min(to), from.max(to)))
    };
    set.split(',').filter_map(range).collect()
}

/// The numbers of a set, in its order.
pub(crate) fn numbers(set: &str) -> Vec<u32> {
    ranges(set)
        .into_iter()
        .flat_map(|(from, to)| from..=to)
        .collect()
}

fn fetched(number: u32, text: &str, literal: Option<Vec<u8>>) -> Fetched {
    let after = |word: &str| {
        let at = text.find(word)? + word.len();
        Some(&text[at..])
    };
    let digits = |text: &str| -> Option<u64> {
        let end = text.find(|it: char| !it.is_ascii_digit());
        text[..end.unwrap_or(text.len())].parse().ok()
    };
    let flags = after("FLAGS (").and_then(|rest| rest.split_once(')'));
    let flags = flags.map(|(list, _)| {
        let words = list.split(' ').filter(|word| !word.is_empty());
        let mut flags: Vec<String> = words
            .filter(|word| *word != "\\Recent")
            .map(str::to_owned)
            .collect();
        flags.sort();
        flags
    });
    let date = after("INTERNALDATE \"").and_then(|rest| rest.split_once('"'));
    Fetched {
        number,
        date: date.map(|(date, _)| date.to_owned()),
        uid: after("UID ")
            .and_then(digits)
            .and_then(|uid| uid.try_into().ok()),
        flags,
        modseq: after("MODSEQ (").and_then(digits),
        literal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_are_taken_one_by_one_when_they_are_whole() {
        let mut octets = b"* 3 EXISTS\r\n* 2 FETCH (UID 7 FLAGS (\\Seen \\Recent) INTERNALDATE \" 7-Feb-2021 01:02:07 +0130\" BODY[] {4}\r\na\r\nb MODSEQ (9))\r\nt OK [APPENDUID 5 6] Done\r\n* 1 EXP".to_vec();
        assert_eq!(take(&mut octets), Some(Answer::Exists(3)));
        let fetched = Fetched {
            date: Some(" 7-Feb-2021 01:02:07 +0130".to_owned()),
            number: 2,
            uid: Some(7),
            flags: Some(vec!["\\Seen".to_owned()]),
            modseq: Some(9),
            literal: Some(b"a\r\nb".to_vec()),
        };
        assert_eq!(take(&mut octets), Some(Answer::Fetch(fetched)));
        let Some(Answer::Tagged { tag, ok, code, .. }) = take(&mut octets) else {
            panic!()
        };
        assert_eq!((&*tag, ok, &*code), ("t", true, "APPENDUID 5 6"));
        assert_eq!(take(&mut octets), None);
        assert_eq!(numbers("3:5,9"), [3, 4, 5, 9]);
        let mut octets = b"* STATUS INBOX (UIDNEXT 4 UIDVALIDITY 6)\r\n".to_vec();
        let told = vec![("UIDNEXT".to_owned(), 4), ("UIDVALIDITY".to_owned(), 6)];
        assert_eq!(take(&mut octets), Some(Answer::StatusOf(told)));
    }
}
