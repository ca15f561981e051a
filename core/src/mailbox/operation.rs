//! The operations of a mailbox's log, and the batches that carry them.
//!
//! What must happen together (all messages of a MULTIAPPEND and their UIDs) is one
//! batch: it counts as a whole or not at all, however many items of the log it takes
//! (see `part.rs`). The encoding begins with a version; batches live until a checkpoint
//! covers them, so each version must be read for ever.

use super::clock::Stamp;
use super::encoding::{DecodeError, Decoder, Encoder};
use super::history::Past;
use super::{ContentId, Flag, Keyword, MessageId, ModSeq, Uid};
use crate::account::{InternalDate, NewMessage};
use crate::seal::ContentKind;

/// Version of the encoding; written only where tombstones are forgotten, so that a server of
/// before reads all else.
const VERSION: u8 = 4;
/// The version of what says what its writer had read, and forgets nothing.
const VERSION_WITH_PAST: u8 = 3;
/// The version of what does not say what its writer had read.
const VERSION_WITHOUT_PAST: u8 = 2;

/// A change of a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// A message is in the mailbox, still without UID.
    Arrive {
        message: MessageId,
        arrival: NewMessage,
    },
    /// A message has a UID, unless another message claims it as well.
    Claim { message: MessageId, uid: Uid },
    /// Flags are set or cleared. With no flags: only MODSEQ rises.
    SetFlags {
        messages: Vec<MessageId>,
        changes: Vec<(Flag, bool)>,
    },
    /// Messages are gone for ever.
    Expunge { messages: Vec<MessageId> },
    /// Messages below this UID are `\Recent` for nobody any more.
    RecentFrom { uid: Uid },
    /// That these messages were expunged need not be known any more. It changes nothing that
    /// clients see.
    Forget { messages: Vec<MessageId> },
}

/// Changes that happen together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    /// When it was written. A writer uses no stamp twice.
    pub(crate) stamp: Stamp,
    /// Above every MODSEQ that its writer had seen.
    pub(crate) modseq: ModSeq,
    /// What its writer had read; unknown of what earlier versions wrote, of deliveries, and
    /// where it makes no difference.
    pub(crate) past: Option<Past>,
    /// In order.
    pub(crate) operations: Vec<Operation>,
}

const ARRIVE: u8 = 1;
const CLAIM: u8 = 2;
const SET_FLAGS: u8 = 3;
const EXPUNGE: u8 = 4;
const RECENT_FROM: u8 = 5;
const FORGET: u8 = 6;

/// Bytes of an encoded identity.
const ID: usize = 16;

impl Batch {
    /// How many changes of single messages it stands for.
    pub(crate) fn weight(&self) -> usize {
        let weight = |operation: &Operation| match operation {
            Operation::SetFlags { messages, .. }
            | Operation::Expunge { messages }
            | Operation::Forget { messages } => messages.len().max(1),
            _ => 1,
        };
        self.operations.iter().map(weight).sum()
    }

    /// Whether it changes what clients see, and so HIGHESTMODSEQ. They see a message when
    /// it is claimed; and what is not recent any more, or forgotten, has no MODSEQ.
    pub(crate) fn is_change(operations: &[Operation]) -> bool {
        let is_change = |operation: &Operation| {
            !matches!(
                operation,
                Operation::Arrive { .. } | Operation::RecentFrom { .. } | Operation::Forget { .. }
            )
        };
        operations.iter().any(is_change)
    }

    /// The encoded form.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let keywords = self.keywords();
        let mut operations = self.operations.iter();
        let forgets = operations.any(|it| matches!(it, Operation::Forget { .. }));
        let version = match (forgets, &self.past) {
            (true, _) => VERSION,
            (false, Some(_)) => VERSION_WITH_PAST,
            (false, None) => VERSION_WITHOUT_PAST,
        };
        let mut encoder = Encoder::new(version);
        encoder.number(self.stamp.0);
        encoder.number(self.modseq.0);
        if forgets {
            encoder.byte(u8::from(self.past.is_some()));
        }
        if let Some(past) = &self.past {
            past.encode(&mut encoder);
        }
        encoder.count(keywords.len());
        for keyword in &keywords {
            encoder.text(keyword.as_str());
        }
        encoder.count(self.operations.len());
        for operation in &self.operations {
            encode_operation(&mut encoder, operation, &keywords);
        }
        encoder.finish()
    }

    /// Reads the encoded form.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (mut decoder, version) = Decoder::up_to(bytes, VERSION)?;
        let stamp = Stamp(decoder.number()?);
        let modseq = decoder.modseq()?;
        let has_past = match version {
            ..=VERSION_WITHOUT_PAST => false,
            VERSION_WITH_PAST => true,
            _ => match decoder.byte()? {
                0 => false,
                1 => true,
                _ => return Err(DecodeError::Invalid("past")),
            },
        };
        let past = has_past.then(|| Past::decode(&mut decoder));
        let past = past.transpose()?;
        let mut keywords = Vec::new();
        for _ in 0..decoder.count(1)? {
            keywords.push(Keyword::new(decoder.text()?));
        }
        let mut operations = Vec::new();
        for _ in 0..decoder.count(2)? {
            operations.push(decode_operation(&mut decoder, &keywords, version)?);
        }
        decoder.finish()?;
        Ok(Self {
            stamp,
            modseq,
            past,
            operations,
        })
    }

    /// Reads a batch that somebody without the account's keys has left. It can be anybody,
    /// so it may do nothing but let delivered messages arrive, with modest values, and what
    /// it says of its time and of MODSEQ is not believed: nothing of it counts before
    /// somebody with the keys claims UIDs, and of a message that is there already it changes
    /// nothing (its stamp says that it came without keys).
    pub(crate) fn decode_arrival(bytes: &[u8]) -> Result<Self, DecodeError> {
        let batch = Self::decode(bytes)?;
        let modest = batch.operations.iter().all(|operation| match operation {
            Operation::Arrive { arrival, .. } => is_modest(arrival),
            _ => false,
        });
        if !modest || batch.operations.is_empty() {
            return Err(DecodeError::Invalid("arrival"));
        }
        Ok(Self {
            stamp: Stamp::default(),
            modseq: ModSeq(1),
            past: None,
            operations: batch.operations,
        })
    }

    /// The keywords that occur, sorted, each once.
    fn keywords(&self) -> Vec<Keyword> {
        let mut keywords = Vec::new();
        let mut note = |flag: &Flag| {
            if let Flag::Keyword(keyword) = flag
                && let Err(at) = keywords.binary_search(keyword)
            {
                keywords.insert(at, keyword.clone());
            }
        };
        for operation in &self.operations {
            match operation {
                Operation::Arrive { arrival, .. } => arrival.flags.iter().for_each(&mut note),
                Operation::SetFlags { changes, .. } => {
                    changes.iter().for_each(|(flag, _)| note(flag));
                }
                _ => {}
            }
        }
        keywords
    }
}

/// The last second of the year 9999.
const UNIX_S_MAX: i64 = 253_402_300_799;
/// Minutes between Greenwich and any zone, at most.
const ZONE_MIN_MAX: u16 = 24 * 60 - 1;

/// Whether a message that anybody may have sent is one that can be shown. Keywords are
/// not taken from it: a mailbox has room for few.
fn is_modest(arrival: &NewMessage) -> bool {
    arrival.kind == ContentKind::Delivery
        && u32::try_from(arrival.size).is_ok()
        && (0..=UNIX_S_MAX).contains(&arrival.internal_date.unix_s)
        && arrival.internal_date.zone_min.unsigned_abs() <= ZONE_MIN_MAX
        && !arrival
            .flags
            .iter()
            .any(|flag| matches!(flag, Flag::Keyword(_)))
}

fn encode_operation(encoder: &mut Encoder, operation: &Operation, keywords: &[Keyword]) {
    match operation {
        Operation::Arrive { message, arrival } => {
            encoder.byte(ARRIVE);
            encoder.array(&message.0);
            encoder.array(&arrival.content.0);
            encoder.byte(arrival.kind as u8);
            encoder.number(arrival.size);
            encoder.number(arrival.summary_offset);
            encoder.number(u64::from(arrival.summary_len));
            encode_date(encoder, arrival.internal_date);
            encoder.count(arrival.flags.len());
            for flag in &arrival.flags {
                encoder.number(flag_code(flag, keywords));
            }
        }
        Operation::Claim { message, uid } => {
            encoder.byte(CLAIM);
            encoder.array(&message.0);
            encoder.number(u64::from(uid.get()));
        }
        Operation::SetFlags { messages, changes } => {
            encoder.byte(SET_FLAGS);
            encoder.count(changes.len());
            for (flag, set) in changes {
                encoder.number(flag_code(flag, keywords) << 1 | u64::from(*set));
            }
            encode_ids(encoder, messages);
        }
        Operation::Expunge { messages } => {
            encoder.byte(EXPUNGE);
            encode_ids(encoder, messages);
        }
        Operation::RecentFrom { uid } => {
            encoder.byte(RECENT_FROM);
            encoder.number(u64::from(uid.get()));
        }
        Operation::Forget { messages } => {
            encoder.byte(FORGET);
            encode_ids(encoder, messages);
        }
    }
}

fn decode_operation(
    decoder: &mut Decoder<'_>,
    keywords: &[Keyword],
    version: u8,
) -> Result<Operation, DecodeError> {
    Ok(match decoder.byte()? {
        ARRIVE => Operation::Arrive {
            message: MessageId(decoder.array()?),
            arrival: NewMessage {
                content: ContentId(decoder.array()?),
                kind: decode_kind(decoder, version)?,
                size: decoder.number()?,
                summary_offset: decoder.number()?,
                summary_len: decoder.number32()?,
                internal_date: decode_date(decoder)?,
                flags: {
                    let mut flags = Vec::new();
                    for _ in 0..decoder.count(1)? {
                        flags.push(flag_of(decoder.number()?, keywords)?);
                    }
                    flags
                },
            },
        },
        CLAIM => Operation::Claim {
            message: MessageId(decoder.array()?),
            uid: decode_uid(decoder)?,
        },
        SET_FLAGS => {
            let mut changes = Vec::new();
            for _ in 0..decoder.count(1)? {
                let code = decoder.number()?;
                changes.push((flag_of(code >> 1, keywords)?, code & 1 == 1));
            }
            let messages = decode_ids(decoder)?;
            Operation::SetFlags { messages, changes }
        }
        EXPUNGE => Operation::Expunge {
            messages: decode_ids(decoder)?,
        },
        RECENT_FROM => Operation::RecentFrom {
            uid: decode_uid(decoder)?,
        },
        FORGET if version >= VERSION => Operation::Forget {
            messages: decode_ids(decoder)?,
        },
        _ => return Err(DecodeError::Invalid("operation")),
    })
}

fn encode_ids(encoder: &mut Encoder, messages: &[MessageId]) {
    encoder.count(messages.len());
    for message in messages {
        encoder.array(&message.0);
    }
}

fn decode_ids(decoder: &mut Decoder<'_>) -> Result<Vec<MessageId>, DecodeError> {
    let count = decoder.count(ID)?;
    (0..count)
        .map(|_| Ok(MessageId(decoder.array()?)))
        .collect()
}

/// Reads how a message is sealed, which version 1 does not say; also used by checkpoints.
pub(super) fn decode_kind(
    decoder: &mut Decoder<'_>,
    version: u8,
) -> Result<ContentKind, DecodeError> {
    if version == 1 {
        return Ok(ContentKind::Message);
    }
    let code = decoder.byte()?;
    let kinds = [ContentKind::Message, ContentKind::Delivery];
    let kind = kinds.into_iter().find(|kind| *kind as u8 == code);
    kind.ok_or(DecodeError::Invalid("kind of content"))
}

/// Appends a UID's number; also used by checkpoints.
pub(super) fn decode_uid(decoder: &mut Decoder<'_>) -> Result<Uid, DecodeError> {
    Uid::new(decoder.number32()?).ok_or(DecodeError::Invalid("UID"))
}

/// Appends a date; also used by checkpoints.
pub(super) fn encode_date(encoder: &mut Encoder, date: InternalDate) {
    encoder.signed(date.unix_s);
    encoder.signed(i64::from(date.zone_min));
}

/// Reads a date.
pub(super) fn decode_date(decoder: &mut Decoder<'_>) -> Result<InternalDate, DecodeError> {
    Ok(InternalDate {
        unix_s: decoder.signed()?,
        zone_min: i16::try_from(decoder.signed()?).map_err(|_| DecodeError::Invalid("zone"))?,
    })
}

/// The number of a flag; keywords are numbered in a table. Also used by checkpoints.
pub(super) fn flag_code(flag: &Flag, keywords: &[Keyword]) -> u64 {
    match flag {
        Flag::Answered => 0,
        Flag::Flagged => 1,
        Flag::Deleted => 2,
        Flag::Seen => 3,
        Flag::Draft => 4,
        Flag::Keyword(keyword) => {
            let index = keywords
                .binary_search(keyword)
                .expect("the table holds every keyword of the batch");
            5 + index as u64
        }
    }
}

/// Reads the number of a flag.
pub(super) fn flag_of(code: u64, keywords: &[Keyword]) -> Result<Flag, DecodeError> {
    Ok(match code {
        0 => Flag::Answered,
        1 => Flag::Flagged,
        2 => Flag::Deleted,
        3 => Flag::Seen,
        4 => Flag::Draft,
        code => {
            let keyword = usize::try_from(code - 5)
                .ok()
                .and_then(|at| keywords.get(at));
            Flag::Keyword(keyword.ok_or(DecodeError::Invalid("flag"))?.clone())
        }
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::history::BatchId;
    use super::super::{WriterId, convergence};
    use super::*;

    pub(crate) fn arrival(number: u8) -> NewMessage {
        let mut arrival = convergence::arrival(number, vec![]);
        arrival.internal_date.zone_min = -330;
        arrival
    }

    fn every_operation() -> Batch {
        let message = |number| MessageId([number; 16]);
        let mut arrival = arrival(1);
        arrival.flags = vec![Flag::Seen, Flag::Keyword(Keyword::new("$Junk"))];
        Batch {
            stamp: Stamp(0x0123_4567_89ab_0001),
            modseq: ModSeq(77),
            past: None,
            operations: vec![
                Operation::Arrive {
                    message: message(1),
                    arrival,
                },
                Operation::Claim {
                    message: message(1),
                    uid: Uid::new(300).unwrap(),
                },
                Operation::SetFlags {
                    messages: vec![message(2), message(3)],
                    changes: vec![
                        (Flag::Answered, true),
                        (Flag::Draft, false),
                        (Flag::Keyword(Keyword::new("$Junk")), false),
                        (Flag::Keyword(Keyword::new("Later")), true),
                    ],
                },
                Operation::Expunge {
                    messages: vec![message(4)],
                },
                Operation::RecentFrom {
                    uid: Uid::new(301).unwrap(),
                },
            ],
        }
    }

    #[test]
    fn version_1_is_read_for_ever() {
        let golden = include_bytes!("golden/batch-1.bin");
        assert_eq!(Batch::decode(golden), Ok(every_operation()));
    }

    #[test]
    fn version_2_says_how_a_message_is_sealed() {
        let mut batch = every_operation();
        if let Operation::Arrive { arrival, .. } = &mut batch.operations[0] {
            arrival.kind = ContentKind::Delivery;
        }
        let golden = include_bytes!("golden/batch-2.bin");
        assert_eq!(batch.encode(), golden);
        assert_eq!(Batch::decode(golden), Ok(batch));
    }

    #[test]
    fn version_3_says_what_its_writer_had_read() {
        let mut batch = every_operation();
        let head = |number| BatchId::of(WriterId([number; 16]), Stamp(5));
        batch.past = Some(Past {
            lead: 300,
            heads: vec![head(1), head(2)],
        });
        let golden = include_bytes!("golden/batch-3.bin");
        assert_eq!(batch.encode(), golden);
        assert_eq!(Batch::decode(golden), Ok(batch));
    }

    #[test]
    fn version_4_forgets_who_was_expunged() {
        let mut batch = every_operation();
        batch.operations.push(Operation::Forget {
            messages: vec![MessageId([5; 16]), MessageId([6; 16])],
        });
        let golden = include_bytes!("golden/batch-4.bin");
        assert_eq!(batch.encode(), golden);
        assert_eq!(Batch::decode(golden), Ok(batch.clone()));
        // Before this version nobody could forget.
        let mut older = golden.to_vec();
        older[0] = VERSION_WITH_PAST;
        assert!(Batch::decode(&older).is_err());
        batch.past = Some(Past {
            lead: 300,
            heads: vec![BatchId::of(WriterId([1; 16]), Stamp(5))],
        });
        assert_eq!(Batch::decode(&batch.encode()), Ok(batch));
    }

    #[test]
    fn what_its_writer_had_read_is_mostly_said_in_ten_octets() {
        let mut batch = every_operation();
        let without = batch.encode().len();
        batch.past = Some(Past {
            lead: 0,
            heads: vec![BatchId::of(WriterId([1; 16]), Stamp(5))],
        });
        assert_eq!(batch.encode().len(), without + 10);
    }

    #[test]
    fn a_batch_cut_short_anywhere_is_refused() {
        let bytes = every_operation().encode();
        for len in 0..bytes.len() {
            assert!(Batch::decode(&bytes[..len]).is_err(), "{len}");
        }
    }

    proptest::proptest! {
        #[test]
        fn damaged_bytes_never_panic(at in 0usize..200, value: u8) {
            let mut bytes = every_operation().encode();
            let len = bytes.len();
            bytes[at % len] = value;
            let _ = Batch::decode(&bytes);
        }
    }
}
