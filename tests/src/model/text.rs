//! Messages of the model: each is written once, so that its text says which it is.

/// A message that somebody appends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Text {
    /// Counts the messages of a run.
    pub number: u32,
    /// Which form it has.
    pub form: u8,
}

/// How many forms there are.
pub const FORMS: u8 = 4;

/// Octets of the text of a message that takes more than one chunk.
const LARGE: usize = 70_000;

impl Text {
    /// What is appended.
    #[must_use]
    pub fn octets(self) -> Vec<u8> {
        [self.header().as_bytes(), self.body().as_bytes()].concat()
    }

    /// The header with the empty line.
    #[must_use]
    pub fn header(self) -> String {
        let number = self.number;
        let more = match self.form {
            1 => "To: bob@example.net,\r\n carol@example.net\r\nIn-Reply-To: <0@example.org>\r\n",
            _ => "",
        };
        format!(
            "From: Alice <alice@example.org>\r\n{more}{}Date: Mon, 7 Feb 1994 21:52:25 -0800\r\n\
             Message-ID: <{number}@example.org>\r\n\r\n",
            self.subject_field()
        )
    }

    /// The field with its CRLF.
    #[must_use]
    pub fn subject_field(self) -> String {
        format!("Subject: number {} of many\r\n", self.number)
    }

    /// What follows the header.
    #[must_use]
    pub fn body(self) -> String {
        let line = format!("word{} of form{}\r\n", self.number, self.form);
        match self.form {
            2 => line.repeat(40),
            3 => line.repeat(LARGE / line.len()),
            _ => line,
        }
    }

    /// ENVELOPE, as [`Value`](crate::Value) shows it.
    #[must_use]
    pub fn envelope(self) -> String {
        let alice = "((\"Alice\" NIL \"alice\" \"example.org\"))";
        let (to, reply) = match self.form {
            1 => (
                "((NIL NIL \"bob\" \"example.net\") (NIL NIL \"carol\" \"example.net\"))",
                "\"<0@example.org>\"",
            ),
            _ => ("NIL", "NIL"),
        };
        let number = self.number;
        format!(
            "(\"Mon, 7 Feb 1994 21:52:25 -0800\" \"number {number} of many\" {alice} {alice} {alice} \
             {to} NIL NIL {reply} \"<{number}@example.org>\")"
        )
    }
}

/// INTERNALDATEs that APPEND gives.
pub const DATES: [&str; 3] = [
    "17-Jul-1996 02:44:25 -0700",
    " 5-Mar-2022 23:59:59 +0200",
    " 1-Jan-2020 00:00:00 +0000",
];

/// The same as numbers that ascend by day, and that day as SEARCH writes it.
pub const DAYS: [(u32, &str); 3] = [
    (19_960_717, "17-Jul-1996"),
    (20_220_305, "5-Mar-2022"),
    (20_200_101, "1-Jan-2020"),
];
