//! How a command ends: the tagged response, and what it leaves of the session.

use super::asleep::Asleep;
use super::view::View;
use crate::account::AccountFailure;
use crate::imap::grammar::Tag;

/// A condition with its response code and text (RFC 3501 §7.1).
#[derive(Debug)]
pub(super) struct Completion {
    condition: Condition,
    /// With its brackets, or empty.
    code: String,
    text: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Ok,
    No,
    Bad,
}

impl Completion {
    pub(super) fn ok(text: &'static str) -> Self {
        Self {
            condition: Condition::Ok,
            code: String::new(),
            text,
        }
    }

    pub(super) fn no(text: &'static str) -> Self {
        Self {
            condition: Condition::No,
            code: String::new(),
            text,
        }
    }

    pub(super) fn bad(text: &'static str) -> Self {
        Self {
            condition: Condition::Bad,
            code: String::new(),
            text,
        }
    }

    /// An account's reply that does not fit its request: a bug of ours, told as one.
    pub(super) fn out_of_step() -> Self {
        Self::no("The server lost its thread").with_code("SERVERBUG")
    }

    /// Whether it says OK.
    pub(super) fn is_ok(&self) -> bool {
        self.condition == Condition::Ok
    }

    /// With a response code, given without its brackets.
    pub(super) fn with_code(mut self, code: &str) -> Self {
        self.set_code(code);
        self
    }

    /// Gives it a response code, without its brackets.
    pub(super) fn set_code(&mut self, code: &str) {
        self.code = format!("[{code}] ");
    }

    /// Whether it says OK and has no response code yet.
    pub(super) fn takes_code(&self) -> bool {
        self.is_ok() && self.code.is_empty()
    }

    /// `a1 OK [CODE] text`
    pub(super) fn write(&self, tag: &Tag, out: &mut Vec<u8>) {
        let word: &[u8] = match self.condition {
            Condition::Ok => b" OK ",
            Condition::No => b" NO ",
            Condition::Bad => b" BAD ",
        };
        for piece in [
            tag.as_str().as_bytes(),
            word,
            self.code.as_bytes(),
            self.text.as_bytes(),
            b"\r\n",
        ] {
            out.extend_from_slice(piece);
        }
    }
}

impl From<AccountFailure> for Completion {
    /// The response codes of RFC 5530.
    fn from(failure: AccountFailure) -> Self {
        match failure {
            AccountFailure::NonExistent => {
                Self::no("There is no such mailbox").with_code("NONEXISTENT")
            }
            AccountFailure::AlreadyExists => {
                Self::no("There is a mailbox of this name already").with_code("ALREADYEXISTS")
            }
            AccountFailure::Cannot(why) => Self::no(why).with_code("CANNOT"),
            AccountFailure::Limit(why) => Self::no(why).with_code("LIMIT"),
            AccountFailure::OverQuota => Self::no("Storage is full").with_code("OVERQUOTA"),
            AccountFailure::Unavailable => {
                Self::no("Storage does not answer, try again later").with_code("UNAVAILABLE")
            }
            AccountFailure::Corrupt => {
                Self::no("What is stored is damaged; the server's log says more")
                    .with_code("CORRUPTION")
            }
        }
    }
}

/// For APPEND and COPY, which tell the client when CREATE would help (RFC 3501 §7.1).
pub(super) fn target_failure(failure: AccountFailure) -> Completion {
    match failure {
        AccountFailure::NonExistent => {
            Completion::no("There is no such mailbox").with_code("TRYCREATE")
        }
        failure => failure.into(),
    }
}

/// What a command's body leaves behind.
#[derive(Debug)]
pub(super) struct Outcome {
    /// The tagged response.
    pub(super) completion: Completion,
    /// The selected mailbox from now on.
    pub(super) view: Option<View>,
    /// The same, if it still sleeps.
    pub(super) asleep: Option<Box<Asleep>>,
    /// It was to be woken and could not be: what stirred it is told later.
    pub(super) unread: bool,
    /// What was asleep is selected no more.
    pub(super) left: bool,
    /// The socket must be closed: a literal was begun and cannot be finished.
    pub(super) abort: Option<&'static str>,
    /// The connection ends with these words.
    pub(super) bye: Option<&'static str>,
}

impl Outcome {
    pub(super) fn new(completion: Completion, view: Option<View>) -> Self {
        Self {
            completion,
            view,
            asleep: None,
            unread: false,
            left: false,
            abort: None,
            bye: None,
        }
    }

    /// Nothing is selected any more.
    pub(super) fn left(completion: Completion) -> Self {
        Self {
            left: true,
            ..Self::new(completion, None)
        }
    }

    /// The command was not about the mailbox that is asleep.
    pub(super) fn asleep(completion: Completion, asleep: Box<Asleep>) -> Self {
        Self {
            asleep: Some(asleep),
            ..Self::new(completion, None)
        }
    }

    /// The mailbox could not be read.
    pub(super) fn unread(completion: Completion, asleep: Box<Asleep>) -> Self {
        Self {
            unread: true,
            ..Self::asleep(completion, asleep)
        }
    }

    /// The mailbox cannot stay selected.
    pub(super) fn bye(words: &'static str) -> Self {
        Self::last(Completion::no(words), words)
    }

    /// The same, though the command came to its own end.
    pub(super) fn last(completion: Completion, words: &'static str) -> Self {
        Self {
            bye: Some(words),
            ..Self::new(completion, None)
        }
    }

    pub(super) fn abort(reason: &'static str) -> Self {
        Self {
            abort: Some(reason),
            ..Self::new(Completion::no(reason), None)
        }
    }
}
