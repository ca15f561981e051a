//! What this process does for an LMTP connection: who is a recipient, room for messages,
//! and the writers of INBOXes, each lent to one message after the other.

use super::Server;
use super::room::Places;
use crate::accounts::address::Addresses;
use crate::runtime::Runtime;
use crate::seed::seed;
use crate::storage::BoxFuture;
use core::task::{Context, Poll};
use futures_util::lock::OwnedMutexGuard;
use restante_core::delivery::{InboxWriter, Recipient};
use restante_core::lmtp::{NoRecipient, PostReply, PostRequest};
use restante_core::storage::RequestId;
use std::sync::Arc;

/// One connection's part of it.
pub(super) struct Post<R: Runtime> {
    server: Arc<Server<R>>,
    addresses: Arc<Addresses>,
    /// At most one for each recipient of a transaction.
    asked: Vec<(RequestId, BoxFuture<'static, Answer>)>,
    room: Option<Places>,
    turns: Vec<(Recipient, Turn)>,
}

/// While it is held, nobody else in this process writes to this INBOX.
type Turn = OwnedMutexGuard<Option<InboxWriter>>;

enum Answer {
    Found(Result<Recipient, NoRecipient>),
    Room(Places),
    Turn(Recipient, Turn),
}

impl<R: Runtime> Post<R> {
    pub(super) fn new(server: Arc<Server<R>>, addresses: Arc<Addresses>) -> Self {
        Self {
            server,
            addresses,
            asked: Vec::new(),
            room: None,
            turns: Vec::new(),
        }
    }

    pub(super) fn ask(&mut self, id: RequestId, request: PostRequest) {
        let server = Arc::clone(&self.server);
        let answer: BoxFuture<'static, Answer> = match request {
            PostRequest::Find(address) => {
                let addresses = Arc::clone(&self.addresses);
                Box::pin(async move {
                    Answer::Found(server.accounts.addressee(address, addresses).await)
                })
            }
            PostRequest::Room(copies) => {
                let room = Arc::clone(&server.room);
                Box::pin(async move { Answer::Room(room.take(copies).await) })
            }
            PostRequest::Turn(recipient) => {
                let writer = server.writers.of(recipient.account);
                Box::pin(async move { Answer::Turn(recipient, writer.lock_owned().await) })
            }
            PostRequest::Leave => return self.room = None,
            PostRequest::Done(recipient, writer) => return self.done(recipient, writer),
        };
        self.asked.push((id, answer));
    }

    /// A copy has come to its end; it is there, or may be, or come yet.
    fn done(&mut self, recipient: Recipient, writer: Option<InboxWriter>) {
        let place = self.turns.iter().position(|(whose, _)| *whose == recipient);
        if let Some(place) = place {
            let (_, mut turn) = self.turns.swap_remove(place);
            *turn = writer;
        }
        self.server.rang(recipient);
    }

    /// Whether this was asked for here; it is not any more.
    pub(super) fn abandon(&mut self, id: RequestId) -> bool {
        let place = self.asked.iter().position(|(asked, _)| *asked == id);
        place.map(|place| self.asked.swap_remove(place)).is_some()
    }

    /// The next answer.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(RequestId, PostReply)> {
        for place in 0..self.asked.len() {
            if let Poll::Ready(answer) = self.asked[place].1.as_mut().poll(cx) {
                let (id, _) = self.asked.swap_remove(place);
                return Poll::Ready((id, self.answered(answer)));
            }
        }
        Poll::Pending
    }

    fn answered(&mut self, answer: Answer) -> PostReply {
        match answer {
            Answer::Found(found) => PostReply::Found(found),
            Answer::Room(places) => {
                self.room = Some(places);
                PostReply::Room
            }
            Answer::Turn(recipient, mut turn) => {
                let writer = turn.take();
                self.turns.push((recipient, turn));
                let new = || InboxWriter::new(self.server.clock.now(), seed());
                PostReply::Turn(writer.unwrap_or_else(new))
            }
        }
    }
}

impl<R: Runtime> Drop for Post<R> {
    /// The connection ends. What was under way may come all the same, by a writer that is
    /// never lent again.
    fn drop(&mut self) {
        for (recipient, _) in &self.turns {
            self.server.rang(*recipient);
        }
    }
}
