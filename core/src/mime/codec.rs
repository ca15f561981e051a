//! The stored form of a [`Structure`], part of a summary: numbers as LEB128, octets
//! with their length before them, parts in the order in which they begin.
//!
//! Reading trusts nothing: what is read is bounded by what is there, counts by
//! [`PARTS_MAX`] and [`ITEMS_MAX`].

use super::structure::{Kind, Part, PartId, Span, Structure};
use super::{Address, Description, Disposition, Envelope, Octets, Parameter};

/// Parts of a stored structure.
pub(super) const PARTS_MAX: usize = 10_000;

/// Parameters, addresses and language tags of a stored structure in all.
const ITEMS_MAX: usize = 100_000;

const LEAF: u64 = 0;
const MULTIPART: u64 = 1;
const MESSAGE: u64 = 2;

/// Writes numbers and octets.
#[derive(Default)]
pub(crate) struct Writer {
    out: Vec<u8>,
}

impl Writer {
    pub(crate) fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.out.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        self.out.push(number as u8);
    }

    pub(crate) fn octets(&mut self, octets: &[u8]) {
        self.number(octets.len() as u64);
        self.out.extend_from_slice(octets);
    }

    pub(crate) fn structure(&mut self, structure: &Structure) {
        let mut before = 0;
        self.number(structure.parts().len() as u64);
        for part in structure.parts() {
            self.number(part.header.offset - before);
            before = part.header.offset;
            self.number(part.header.len);
            self.number(part.body.len);
            self.number(part.body_lines);
            self.description(&part.description);
            match &part.kind {
                Kind::Leaf => self.number(LEAF),
                Kind::Multipart { children } => {
                    self.number(MULTIPART);
                    self.number(children.len() as u64);
                }
                Kind::Message { envelope, .. } => {
                    self.number(MESSAGE);
                    self.envelope(envelope);
                }
            }
        }
    }

    pub(crate) fn into_octets(self) -> Vec<u8> {
        self.out
    }

    fn optional(&mut self, octets: Option<&Octets>) {
        match octets {
            Some(octets) => {
                self.number(octets.len() as u64 + 1);
                self.out.extend_from_slice(octets);
            }
            None => self.number(0),
        }
    }

    fn parameters(&mut self, parameters: &[Parameter]) {
        self.number(parameters.len() as u64);
        for parameter in parameters {
            self.octets(&parameter.name);
            self.octets(&parameter.value);
        }
    }

    fn description(&mut self, it: &Description) {
        self.octets(&it.media_type);
        self.octets(&it.subtype);
        self.parameters(&it.parameters);
        for text in [&it.id, &it.description, &it.encoding, &it.md5, &it.location] {
            self.optional(text.as_ref());
        }
        self.optional(it.disposition.as_ref().map(|it| &it.value));
        if let Some(disposition) = &it.disposition {
            self.parameters(&disposition.parameters);
        }
        self.number(it.language.len() as u64);
        for tag in &it.language {
            self.octets(tag);
        }
    }

    fn envelope(&mut self, it: &Envelope) {
        for text in [&it.date, &it.subject, &it.in_reply_to, &it.message_id] {
            self.optional(text.as_ref());
        }
        for list in [&it.from, &it.sender, &it.reply_to, &it.to, &it.cc, &it.bcc] {
            self.number(list.len() as u64);
            for address in list {
                for text in [&address.name, &address.adl, &address.mailbox, &address.host] {
                    self.optional(text.as_ref());
                }
            }
        }
    }
}

/// Reads what a [`Writer`] wrote; `None` if it cannot have.
pub(crate) struct Reader {
    rest: Octets,
    items_left: usize,
}

impl Reader {
    pub(crate) fn new(octets: Octets) -> Self {
        Self {
            rest: octets,
            items_left: ITEMS_MAX,
        }
    }

    /// What has not been read.
    pub(crate) fn rest(self) -> Octets {
        self.rest
    }

    pub(crate) fn at_end(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let octet = *self.rest.first()?;
            self.rest = self.rest.slice(1..);
            let bits = u64::from(octet & 0x7f);
            if bits << shift >> shift != bits {
                return None;
            }
            number |= bits << shift;
            if octet < 0x80 {
                return Some(number);
            }
        }
        None
    }

    pub(crate) fn octets(&mut self) -> Option<Octets> {
        let len = self.number()?;
        self.take(len)
    }

    pub(crate) fn structure(&mut self) -> Option<Structure> {
        let count = usize::try_from(self.number()?)
            .ok()
            .filter(|&it| it <= PARTS_MAX)?;
        let mut parts: Vec<Part> = Vec::new();
        // Parts whose children are still to come, and how many.
        let mut open: Vec<(PartId, u64)> = Vec::new();
        for index in 0..u32::try_from(count).ok()? {
            let id = PartId(index);
            while open.last().is_some_and(|&(_, left)| left == 0) {
                open.pop();
            }
            match open.last_mut() {
                Some((parent, left)) => {
                    *left -= 1;
                    match &mut parts[parent.index()].kind {
                        Kind::Multipart { children } => children.push(id),
                        Kind::Message { child, .. } => *child = id,
                        Kind::Leaf => return None,
                    }
                }
                None if index == 0 => {}
                None => return None,
            }
            let before = parts.last().map_or(0, |it| it.header.offset);
            let (part, children) = self.part(before)?;
            parts.push(part);
            open.push((id, children));
        }
        let complete = open.iter().all(|&(_, left)| left == 0);
        (complete && !parts.is_empty()).then(|| Structure::new(parts))
    }

    /// A part, and how many parts in it follow.
    fn part(&mut self, before: u64) -> Option<(Part, u64)> {
        let header = Span {
            offset: before.checked_add(self.number()?)?,
            len: self.number()?,
        };
        let body = Span {
            offset: header.offset.checked_add(header.len)?,
            len: self.number()?,
        };
        body.offset.checked_add(body.len)?;
        let body_lines = self.number()?;
        let description = self.description()?;
        let (kind, children) = match self.number()? {
            LEAF => (Kind::Leaf, 0),
            MULTIPART => (
                Kind::Multipart {
                    children: Vec::new(),
                },
                self.number()?,
            ),
            MESSAGE => {
                let envelope = Box::new(self.envelope()?);
                (
                    Kind::Message {
                        envelope,
                        child: PartId::ROOT,
                    },
                    1,
                )
            }
            _ => return None,
        };
        Some((
            Part {
                header,
                body,
                body_lines,
                description,
                kind,
            },
            children,
        ))
    }

    fn take(&mut self, len: u64) -> Option<Octets> {
        let len = usize::try_from(len)
            .ok()
            .filter(|&len| len <= self.rest.len())?;
        Some(self.rest.split_to(len))
    }

    fn optional(&mut self) -> Option<Option<Octets>> {
        match self.number()? {
            0 => Some(None),
            len => self.take(len - 1).map(Some),
        }
    }

    /// As many items as a number says, which `read` reads.
    fn items<T>(&mut self, read: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = usize::try_from(self.number()?).ok()?;
        self.items_left = self.items_left.checked_sub(count)?;
        (0..count).map(|_| read(self)).collect()
    }

    fn parameters(&mut self) -> Option<Vec<Parameter>> {
        self.items(|it| {
            Some(Parameter {
                name: it.octets()?,
                value: it.octets()?,
            })
        })
    }

    fn description(&mut self) -> Option<Description> {
        Some(Description {
            media_type: self.octets()?,
            subtype: self.octets()?,
            parameters: self.parameters()?,
            id: self.optional()?,
            description: self.optional()?,
            encoding: self.optional()?,
            md5: self.optional()?,
            location: self.optional()?,
            disposition: match self.optional()? {
                Some(value) => Some(Disposition {
                    value,
                    parameters: self.parameters()?,
                }),
                None => None,
            },
            language: self.items(Self::octets)?,
        })
    }

    fn addresses(&mut self) -> Option<Vec<Address>> {
        self.items(|it| {
            Some(Address {
                name: it.optional()?,
                adl: it.optional()?,
                mailbox: it.optional()?,
                host: it.optional()?,
            })
        })
    }

    fn envelope(&mut self) -> Option<Envelope> {
        Some(Envelope {
            date: self.optional()?,
            subject: self.optional()?,
            in_reply_to: self.optional()?,
            message_id: self.optional()?,
            from: self.addresses()?,
            sender: self.addresses()?,
            reply_to: self.addresses()?,
            to: self.addresses()?,
            cc: self.addresses()?,
            bcc: self.addresses()?,
        })
    }
}
