//! Talking to a server, whichever it is: what is sent, and what comes back.

use super::command::{Command, Names};
use crate::{Response, Status};
use std::collections::VecDeque;
use std::time::Duration;

/// A server that the model talks to.
pub trait Wire {
    /// What the two mailboxes are called, which are there and empty.
    fn mailboxes(&self) -> Names;
    /// Connects a client and logs it in; clients are counted from 0.
    fn connect(&mut self) -> usize;
    /// A client sends octets.
    fn send(&mut self, client: usize, octets: &[u8]);
    /// Waits until something has come for one of the clients, or nothing will; so long at
    /// most.
    fn wait(&mut self, most: Duration);
    /// Takes what has come for a client.
    fn take(&mut self, client: usize) -> Vec<u8>;
    /// Whether what nobody asked for is there as soon as [`wait`](Self::wait) returns.
    fn is_prompt(&self) -> bool;
}

/// A command and all that came until its end.
#[derive(Clone, Debug)]
pub struct Said {
    /// Its tag.
    pub tag: String,
    /// The command.
    pub command: Command,
    /// Untagged responses.
    pub lines: Vec<Response>,
    /// The tagged response; an IDLE that lasts has none yet.
    pub answer: Option<Response>,
}

impl Said {
    /// A command that nothing was said to.
    #[must_use]
    pub fn new(tag: String, command: Command) -> Self {
        Self {
            tag,
            command,
            lines: Vec::new(),
            answer: None,
        }
    }

    /// How it ended.
    ///
    /// # Errors
    /// Not at all, or in no way there is.
    pub fn status(&self) -> Result<Status, String> {
        let answer = self.answer.as_ref().map(Response::text).unwrap_or_default();
        match answer.split(' ').nth(1) {
            Some("OK") => Ok(Status::Ok),
            Some("NO") => Ok(Status::No),
            Some("BAD") => Ok(Status::Bad),
            _ => Err(format!("not an answer: {answer:?}")),
        }
    }

    /// A response code of the tagged response.
    #[must_use]
    pub fn code(&self, name: &str) -> Option<String> {
        self.answer.as_ref().and_then(|answer| answer.code(name))
    }
}

/// One client's side of what goes on at the same time.
pub struct Talk {
    /// Which client.
    pub client: usize,
    /// What was said, in order; complete up to `at`.
    pub said: Vec<Said>,
    at: usize,
    /// What is still to be sent, each when the server says `+`.
    pieces: VecDeque<Vec<u8>>,
    /// The last command is an IDLE that is to last.
    lasts: bool,
    /// It has begun.
    idles: bool,
}

impl Talk {
    /// A client that says all of this at once; it may be idle already.
    #[must_use]
    pub fn new(
        client: usize,
        idle: Option<Said>,
        commands: Vec<(String, Command)>,
        names: &Names,
    ) -> Self {
        let mut pieces: VecDeque<Vec<u8>> = VecDeque::from([Vec::new()]);
        let mut before = idle.is_some();
        for (tag, command) in &commands {
            if core::mem::take(&mut before) {
                pieces
                    .back_mut()
                    .expect("one at least")
                    .extend_from_slice(b"DONE\r\n");
            }
            let mut more = command.pieces(tag, names).into_iter();
            let first = more.next().unwrap_or_default();
            pieces
                .back_mut()
                .expect("one at least")
                .extend_from_slice(&first);
            pieces.extend(more);
            if *command == Command::Idle {
                pieces.push_back(Vec::new());
                before = true;
            }
        }
        let lasts = before;
        let idles = lasts && commands.is_empty();
        if lasts && !idles {
            pieces.pop_back();
        }
        let new = commands
            .into_iter()
            .map(|(tag, command)| Said::new(tag, command));
        Self {
            client,
            said: idle.into_iter().chain(new).collect(),
            at: 0,
            pieces,
            lasts,
            idles,
        }
    }

    /// What is to be sent first.
    pub fn begin(&mut self) -> Vec<u8> {
        self.pieces.pop_front().unwrap_or_default()
    }

    /// Whether everything was answered.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let last = self.said.len() - usize::from(self.lasts);
        self.at >= last && (!self.lasts || self.idles)
    }

    /// Takes a response in; what is to be sent now.
    ///
    /// # Errors
    /// Something that must not come now.
    pub fn hear(&mut self, response: Response) -> Result<Vec<u8>, String> {
        let Some(said) = self.said.get_mut(self.at) else {
            return Err(format!("nobody asked for {response:?}"));
        };
        if response.starts_with("* BYE") {
            return Err(format!("{response:?} to {:?}", said.command));
        }
        if response.starts_with("* ") {
            said.lines.push(response);
            return Ok(Vec::new());
        }
        if response.starts_with("+") {
            self.idles = self.lasts && self.at + 1 == self.said.len();
            return match self.pieces.pop_front() {
                Some(piece) => Ok(piece),
                None if self.idles => Ok(Vec::new()),
                None => Err("the server waits for nothing".to_owned()),
            };
        }
        if !response.starts_with(&format!("{} ", said.tag)) {
            return Err(format!("{response:?} is no answer to {}", said.tag));
        }
        said.answer = Some(response);
        self.at += 1;
        Ok(Vec::new())
    }

    /// The IDLE that lasts, without what was said in it.
    #[must_use]
    pub fn idle(&self) -> Option<Said> {
        let last = self.said.last().filter(|_| self.lasts)?;
        Some(Said::new(last.tag.clone(), Command::Idle))
    }
}

/// Takes the first whole response off what was received.
pub fn take_response(received: &mut Vec<u8>) -> Option<Response> {
    let mut at = 0;
    loop {
        let end = at + received[at..].windows(2).position(|two| two == b"\r\n")?;
        let line = &received[at..end];
        let literal = line.strip_suffix(b"}").and_then(|rest| {
            let open = rest.iter().rposition(|&octet| octet == b'{')?;
            std::str::from_utf8(&rest[open + 1..])
                .ok()?
                .parse::<usize>()
                .ok()
        });
        let Some(octets) = literal else {
            let response = received[..end].to_vec();
            received.drain(..end + 2);
            return Some(Response(response));
        };
        at = end + 2 + octets;
        if received.len() < at {
            return None;
        }
    }
}
