//! Reads choices from the fuzzer's input: the first octets decide, the rest is data.

/// What is left of an input. When nothing is left, every choice is 0.
pub(crate) struct Source<'a>(&'a [u8]);

impl<'a> Source<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self(data)
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    pub(crate) fn number(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    /// The next octets, fewer at the end.
    pub(crate) fn take(&mut self, count: usize) -> &'a [u8] {
        let (now, later) = self.0.split_at(count.min(self.0.len()));
        self.0 = later;
        now
    }

    /// Octets whose number stands before them.
    pub(crate) fn octets(&mut self) -> &'a [u8] {
        let count = self.number();
        self.take(usize::from(count))
    }

    pub(crate) fn rest(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.0)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Cuts `octets` into pieces of lengths that `pattern` says, over and over. No pattern: one
/// piece.
pub(crate) fn pieces<'a>(octets: &'a [u8], pattern: &[u8]) -> Vec<&'a [u8]> {
    let mut lengths = pattern.iter().map(|&it| usize::from(it) + 1).cycle();
    let mut rest = octets;
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        let length = lengths.next().unwrap_or(rest.len());
        let (now, later) = rest.split_at(length.min(rest.len()));
        pieces.push(now);
        rest = later;
    }
    pieces
}
