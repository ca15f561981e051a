//! What a client is told: one line for each (RFC 5321 §4.2), with an enhanced status code
//! (RFC 2034, RFC 3463) wherever one belongs.

/// A line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reply(&'static str);

impl Reply {
    pub(super) fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.as_bytes());
        out.extend_from_slice(b"\r\n");
    }

    /// For the log.
    pub(super) fn text(self) -> &'static str {
        self.0
    }
}

macro_rules! replies {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        $($(#[$doc])* pub(super) const $name: Reply = Reply($text);)*
    };
}

replies! {
    // What went well.
    BYE = "221 2.0.0 Until next time";
    OK = "250 2.0.0 OK";
    SENDER_OK = "250 2.1.0 Sender taken down";
    RECIPIENT_OK = "250 2.1.5 Recipient taken down";
    STORED = "250 2.0.0 Stored";
    CHUNK_OK = "250 2.0.0 Chunk taken";
    /// RFC 5321 §3.5.3: who is there is not for everybody to know.
    VERIFY = "252 2.5.0 Send it a message and see";
    GO_AHEAD = "354 End the message with a line of one dot";

    // What may go well later.
    SHUTDOWN = "421 4.3.2 The server is going down";
    SILENT = "421 4.4.2 You were silent for too long";
    TOO_SLOW = "421 4.4.2 The message took too long to come";
    HOPELESS = "421 4.7.0 Too many commands that make no sense";
    DIRECTORY = "451 4.3.0 The accounts cannot be read just now";
    NOT_YET = "451 4.2.1 The account has to log in once before it can get mail";
    BUSY = "451 4.3.2 Too many messages are being stored";
    UNAVAILABLE = "451 4.3.0 Storage does not answer";
    BAD_KEY = "451 4.3.5 The account has no usable key";
    TOO_MANY_RECIPIENTS = "452 4.5.3 Too many recipients in one transaction";
    FULL = "452 4.3.1 Storage is full";

    // What the client does wrong.
    UNKNOWN = "500 5.5.1 There is no such command";
    NOT_LMTP = "500 5.5.1 This is LMTP: say LHLO";
    LINE_TOO_LONG = "500 5.5.2 The line is too long";
    BARE_LINE_END = "500 5.5.2 A line ends with CR LF and nothing else";
    SYNTAX = "501 5.5.4 The arguments make no sense";
    BAD_SENDER = "501 5.1.7 This is not an address in angle brackets";
    BAD_RECIPIENT = "501 5.1.3 This is not an address in angle brackets";
    NOT_OFFERED = "502 5.5.1 This command is not offered";
    SEQUENCE = "503 5.5.1 Not at this point";
    NO_RECIPIENT = "503 5.5.1 There is no recipient";
    NO_SUCH_ACCOUNT = "550 5.1.1 There is no such account";
    TOO_BIG = "552 5.3.4 The message is too big";
    NEEDS_UTF8 = "553 5.6.7 An address that is not ASCII needs SMTPUTF8";
    BARE_IN_MESSAGE = "554 5.6.0 The message has a CR or LF that is not part of a line end";
    BAD_PARAMETER = "555 5.5.4 This parameter is not offered";
}
