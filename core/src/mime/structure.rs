//! The parts of a message, with the octets where each lies, as a flat list.

use super::{Description, Envelope};

/// Where octets lie in the whole message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Octets of the message before them.
    pub offset: u64,
    /// How many they are.
    pub len: u64,
}

impl Span {
    /// The octet after the last one.
    #[must_use]
    pub fn end(self) -> u64 {
        self.offset + self.len
    }
}

/// A part, by its place in the order in which parts begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PartId(pub(super) u32);

impl PartId {
    /// The message itself.
    pub const ROOT: Self = Self(0);

    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// One part: a leaf, a multipart, or a message in a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its MIME header (of the root and of a nested message: the whole header), with
    /// the blank line.
    pub header: Span,
    /// Its content. The line end before a boundary belongs to the boundary.
    pub body: Span,
    /// Line ends in the body.
    pub body_lines: u64,
    /// What the header says.
    pub description: Description,
    /// What the body holds.
    pub kind: Kind,
}

/// What the body of a part holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Octets.
    Leaf,
    /// Parts between boundaries; there may be none.
    Multipart {
        /// The parts.
        children: Vec<PartId>,
    },
    /// A message (message/rfc822).
    Message {
        /// The envelope of that message.
        envelope: Box<Envelope>,
        /// That message.
        child: PartId,
    },
}

/// All parts of a message in the order in which they begin; the first is the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Structure {
    parts: Vec<Part>,
}

/// The octets that sections of FETCH name (RFC 3501 §6.4.5).
#[derive(Clone, Copy, Debug)]
pub struct PartRef<'a> {
    /// The part.
    pub part: &'a Part,
    /// `BODY[<part>]`; of the root, `BODY[]`.
    pub body: Span,
    /// `BODY[<part>.MIME]`; there is none of the root.
    pub mime: Option<Span>,
    /// `BODY[<part>.HEADER]`: only messages have one.
    pub header: Option<Span>,
    /// `BODY[<part>.TEXT]`: only messages have one.
    pub text: Option<Span>,
}

/// Octets that a search for text looks at, after the top header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Searchable {
    /// The header of a part or of a nested message.
    Header {
        /// The part whose header it is.
        part: PartId,
        /// Where it lies.
        span: Span,
    },
    /// The body of a text part.
    Text {
        /// The part.
        part: PartId,
        /// Where it lies.
        span: Span,
    },
}

impl Part {
    fn weight(&self) -> usize {
        let kind = match &self.kind {
            Kind::Leaf => 0,
            Kind::Multipart { children } => size_of_val(&**children),
            Kind::Message { envelope, .. } => size_of::<Envelope>() + envelope.weight(),
        };
        size_of::<Self>() + self.description.weight() + kind
    }
}

impl Searchable {
    /// The part and where its octets lie.
    #[must_use]
    pub fn place(&self) -> (PartId, Span) {
        match *self {
            Self::Header { part, span } | Self::Text { part, span } => (part, span),
        }
    }
}

impl Structure {
    /// A structure of parts that a scanner or a decoder has put in order: not empty,
    /// each child after its parent and named once.
    pub(super) fn new(parts: Vec<Part>) -> Self {
        assert!(!parts.is_empty(), "a message is a part");
        Self { parts }
    }

    /// The message as a part.
    #[must_use]
    pub fn root(&self) -> &Part {
        self.part(PartId::ROOT)
    }

    /// A part of this structure.
    ///
    /// # Panics
    ///
    /// If `id` comes from another structure that has more parts.
    #[must_use]
    pub fn part(&self, id: PartId) -> &Part {
        &self.parts[id.index()]
    }

    /// All parts in the order in which they begin.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// About how many octets of memory this takes.
    pub(crate) fn weight(&self) -> usize {
        self.parts.iter().map(Part::weight).sum()
    }

    /// Finds a part by its number (RFC 3501 §6.4.5). No number is the message itself;
    /// part 1 of a message that is not a multipart is its body. `None` if there is no
    /// such part.
    #[must_use]
    pub fn resolve(&self, path: &[u32]) -> Option<PartRef<'_>> {
        let mut found = None;
        // The message whose parts the next number counts, while it counts those.
        let mut message = Some(PartId::ROOT);
        for &number in path {
            let index = usize::try_from(number).ok()?.checked_sub(1)?;
            let container = message.or(found)?;
            let id = match &self.part(container).kind {
                Kind::Multipart { children } => *children.get(index)?,
                _ if message.is_some() && index == 0 => container,
                _ => return None,
            };
            found = Some(id);
            message = match self.part(id).kind {
                Kind::Message { child, .. } => Some(child),
                _ => None,
            };
        }
        Some(match found {
            Some(id) => self.part_ref(id),
            None => self.root_ref(),
        })
    }

    /// What a search for text looks at besides the top header, in the order of the
    /// message: headers of parts and nested messages, and bodies of text parts. SEARCH
    /// TEXT looks at all of it, SEARCH BODY at [`Searchable::Text`] only, as in Dovecot.
    pub fn searchable_parts(&self) -> impl Iterator<Item = Searchable> {
        self.parts.iter().zip(0_u32..).flat_map(|(part, index)| {
            let id = PartId(index);
            let header =
                (id != PartId::ROOT && part.header.len > 0).then_some(Searchable::Header {
                    part: id,
                    span: part.header,
                });
            let text = (matches!(part.kind, Kind::Leaf) && part.description.is_type("text"))
                .then_some(Searchable::Text {
                    part: id,
                    span: part.body,
                });
            header.into_iter().chain(text)
        })
    }

    fn root_ref(&self) -> PartRef<'_> {
        let part = self.root();
        PartRef {
            part,
            body: Span {
                offset: 0,
                len: part.body.end(),
            },
            mime: None,
            header: Some(part.header),
            text: Some(part.body),
        }
    }

    fn part_ref(&self, id: PartId) -> PartRef<'_> {
        let part = self.part(id);
        let message = match part.kind {
            Kind::Message { child, .. } => Some(self.part(child)),
            _ => None,
        };
        PartRef {
            part,
            body: part.body,
            mime: Some(part.header),
            header: message.map(|it| it.header),
            text: message.map(|it| it.body),
        }
    }
}

#[cfg(test)]
mod tests;
