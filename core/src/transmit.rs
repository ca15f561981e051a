//! What is to be sent to a client: octets that wait until the socket takes them.

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Transmit {
    octets: Vec<u8>,
    /// Octets that were sent.
    sent: usize,
}

impl Transmit {
    /// What waits.
    pub(crate) fn waiting(&self) -> &[u8] {
        &self.octets[self.sent..]
    }

    /// How many octets wait.
    pub(crate) fn len(&self) -> usize {
        self.octets.len() - self.sent
    }

    /// Where more is appended to.
    pub(crate) fn end(&mut self) -> &mut Vec<u8> {
        &mut self.octets
    }

    /// Octets were sent; `sent_max` of them are kept at most.
    pub(crate) fn sent(&mut self, count: usize, sent_max: usize) {
        self.sent = (self.sent + count).min(self.octets.len());
        if self.len() == 0 {
            self.octets.clear();
            self.sent = 0;
        } else if self.sent >= sent_max {
            // A client that never reads everything must not make it grow for ever.
            self.octets.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// Forgets what waits.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Gives its memory back if nothing waits: for a connection that comes to rest.
    pub(crate) fn rest(&mut self) {
        if self.len() == 0 {
            self.clear();
        }
    }

    /// Octets of memory that it takes.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.octets.capacity()
    }
}

impl From<String> for Transmit {
    fn from(text: String) -> Self {
        Self {
            octets: text.into_bytes(),
            sent: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_is_forgotten_now_and_then_and_everything_at_the_end() {
        let mut transmit = Transmit::from("0123456789".to_owned());
        transmit.sent(3, 5);
        transmit.end().extend_from_slice(b"ab");
        assert_eq!((transmit.waiting(), transmit.len()), (&b"3456789ab"[..], 9));
        assert_eq!(transmit.octets.len(), 12);
        transmit.sent(2, 5);
        assert_eq!(
            (transmit.waiting(), transmit.octets.len()),
            (&b"56789ab"[..], 7)
        );
        transmit.rest();
        assert_eq!(transmit.len(), 7);
        transmit.sent(100, 5);
        assert!(transmit.len() == 0 && transmit.capacity() > 0);
        transmit.rest();
        assert_eq!(transmit.capacity(), 0);
    }
}
